//! `sock_recv` and its like, natively: each method here tries at once, and gives the result, or a future that will have
//! it once the socket is ready.
//!
//! `riata._sock` puts a thin coroutine function before each: asyncio's are coroutine functions, and everybody may ask.
//!
//! - `attempt`: what each of them does, once; `direct`: the same without the socket object's methods
//! - `waiting`: until the socket is ready

mod attempt;
mod direct;
mod waiting;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::EventLoop;
use crate::imports::imports;
pub use attempt::datagram_family;
use attempt::{Attempt, Call, Manner, Request};
pub use direct::{audit_sendto, is_audited};
pub use waiting::{Idle, Waiting, Which};

impl EventLoop {
    /// Refuses what asyncio refuses; tells whether it is a `socket.socket` and not of a class derived from that.
    fn check_socket(slf: &Bound<'_, Self>, socket: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        let plain = socket.get_type().is(imports(py)?.socket.bind(py));
        if !plain {
            let check = intern!(py, "_check_ssl_socket");
            imports(py)?
                .base_events
                .bind(py)
                .call_method1(check, (socket,))?;
        }
        if slf.get().debug(py) && !socket.call_method0(intern!(py, "gettimeout"))?.eq(0)? {
            return Err(PyValueError::new_err("the socket must be non-blocking"));
        }
        Ok(plain)
    }

    /// Does `call`, or begins to.
    ///
    /// # Errors
    /// asyncio's: TypeError for an `ssl.SSLSocket`, ValueError in debug mode for a blocking socket, what the call
    /// raises, RuntimeError for a descriptor that a transport uses.
    fn begin<'py>(
        slf: &Bound<'py, Self>,
        call: Call,
        socket: &Bound<'py, PyAny>,
        first: &Bound<'py, PyAny>,
        second: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let plain = Self::check_socket(slf, socket)?;
        let request = Request {
            call,
            manner: Manner::of(call, socket, plain)?,
            socket,
            first,
            second,
            sent: None,
        };
        match request.attempt(slf)? {
            Attempt::Done(result) => Ok(result),
            Attempt::Part(sent) => Self::wait(slf, &request, sent),
            Attempt::Blocked => Self::wait(slf, &request, 0),
        }
    }
}

impl EventLoop {
    /// A future that is done when `socket`, which is connecting to `address`, is connected.
    ///
    /// # Errors
    /// As `wait`.
    pub(super) fn wait_connected<'py>(
        slf: &Bound<'py, Self>,
        socket: &Bound<'py, PyAny>,
        address: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = Request {
            call: Call::Connect,
            manner: Manner::Method,
            socket,
            first: address,
            second: None,
            sent: None,
        };
        Self::wait(slf, &request, 0)
    }
}

#[pymethods]
impl EventLoop {
    /// Raise what sock_recv and its like raise for a socket that they do not take.
    fn _sock_check(slf: &Bound<'_, Self>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::check_socket(slf, sock).map(drop)
    }

    /// recv(n) on a socket: bytes, or a future of them.
    fn _sock_try_recv<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        n: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::begin(slf, Call::Recv, sock, n, None)
    }

    /// recv_into(buf) on a socket: how many bytes there are, or a future of that.
    fn _sock_try_recv_into<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        buf: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::begin(slf, Call::RecvInto, sock, buf, None)
    }

    /// recvfrom(bufsize) on a socket: bytes and an address, or a future of them.
    fn _sock_try_recvfrom<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        bufsize: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::begin(slf, Call::RecvFrom, sock, bufsize, None)
    }

    /// recvfrom_into(buf, nbytes) on a socket: how many bytes there are and an address, or a future of that.
    fn _sock_try_recvfrom_into<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        buf: &Bound<'py, PyAny>,
        nbytes: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let nbytes = match nbytes.is_truthy()? {
            true => nbytes.clone(),
            false => buf.len()?.into_pyobject(slf.py())?.into_any(),
        };
        Self::begin(slf, Call::RecvFromInto, sock, buf, Some(&nbytes))
    }

    /// sendall(data) on a socket: None, or a future of it.
    fn _sock_try_sendall<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::begin(slf, Call::SendAll, sock, data, None)
    }

    /// sendto(data, address) on a socket: how many bytes were sent, or a future of that.
    fn _sock_try_sendto<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        address: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::begin(slf, Call::SendTo, sock, data, Some(address))
    }

    /// connect(address) on a socket, an address that needs no look-up: None, or a future of it.
    fn _sock_try_connect<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        address: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::begin(slf, Call::Connect, sock, address, None)
    }

    /// accept() on a socket: a non-blocking socket and an address, or a future of them.
    fn _sock_try_accept<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let none = slf.py().None().into_bound(slf.py());
        Self::begin(slf, Call::Accept, sock, &none, None)
    }
}
