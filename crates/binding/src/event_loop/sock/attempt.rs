//! One attempt at a socket call, as asyncio makes it: by the socket object's own method.

use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

use super::direct;
use crate::event_loop::EventLoop;
use crate::part::part;
use crate::unwind;

/// What is to be done with a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `recv(first)`
    Recv,
    /// `recv_into(first)`
    RecvInto,
    /// `recvfrom(first)`
    RecvFrom,
    /// `recvfrom_into(first, second)`
    RecvFromInto,
    /// `send(first)` until all of it is sent
    SendAll,
    /// `sendto(first, second)`
    SendTo,
    /// `connect(first)`
    Connect,
    /// `accept()`
    Accept,
}

impl Call {
    fn method(self, py: Python<'_>) -> &Bound<'_, PyString> {
        match self {
            Self::Recv => intern!(py, "recv"),
            Self::RecvInto => intern!(py, "recv_into"),
            Self::RecvFrom => intern!(py, "recvfrom"),
            Self::RecvFromInto => intern!(py, "recvfrom_into"),
            Self::SendAll => intern!(py, "send"),
            Self::SendTo => intern!(py, "sendto"),
            Self::Connect => intern!(py, "connect"),
            Self::Accept => intern!(py, "accept"),
        }
    }

    /// Whether it waits until the socket can be read, and not until it can be written.
    pub fn reads(self) -> bool {
        match self {
            Self::Recv | Self::RecvInto | Self::RecvFrom | Self::RecvFromInto | Self::Accept => {
                true
            }
            Self::SendAll | Self::SendTo | Self::Connect => false,
        }
    }
}

/// How a call is made.
#[derive(Clone, Copy)]
pub enum Manner {
    /// By the socket object's method: a program may have overridden it.
    Method,
    /// By the system call that the method stands for, on a socket of this address family (0 where that does not
    /// matter): no exception is made only to say that it would block.
    Direct(i32),
}

impl Manner {
    /// How `call` is made on `socket`, which is `plain` if its class is `socket.socket` itself.
    ///
    /// # Errors
    /// What looking up attributes of its class raises.
    pub fn of(call: Call, socket: &Bound<'_, PyAny>, plain: bool) -> PyResult<Self> {
        let py = socket.py();
        // Their methods are more than one system call.
        if matches!(call, Call::Connect | Call::Accept) {
            return Ok(Self::Method);
        }
        if !is_original(socket, call.method(py))?
            || !plain && !is_original(socket, intern!(py, "fileno"))?
        {
            return Ok(Self::Method);
        }
        Ok(Self::Direct(match call {
            Call::RecvFrom | Call::RecvFromInto | Call::SendTo => family(socket)?,
            _ => 0,
        }))
    }
}

/// Whether a socket's method `name` is no more than the system call.
fn is_original(socket: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    let py = socket.py();
    match socket.get_type().getattr_opt(name)? {
        Some(method) => Ok(method.is(&raw_socket(py)?.bind(py).getattr(name)?)),
        None => Ok(false),
    }
}

/// The address family of a socket over which datagrams can be sent and received by system calls: none of its methods is
/// overridden, and its addresses are known here. None for others, which have to be asked by method.
///
/// # Errors
/// What looking up attributes of its class raises.
pub fn datagram_family(socket: &Bound<'_, PyAny>) -> PyResult<Option<i32>> {
    let py = socket.py();
    for name in [
        intern!(py, "fileno"),
        intern!(py, "recvfrom"),
        intern!(py, "send"),
        intern!(py, "sendto"),
    ] {
        if !is_original(socket, name)? {
            return Ok(None);
        }
    }
    let family = family(socket)?;
    Ok(direct::is_known(family).then_some(family))
}

/// `_socket.socket`, whose methods are the system calls.
fn raw_socket(py: Python<'_>) -> PyResult<&'static Py<PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CLASS.get_or_try_init(py, || Ok(py.import("_socket")?.getattr("socket")?.unbind()))
}

/// A socket's address family, as a plain number: `socket.socket.family` makes an enum of it each time.
///
/// # Errors
/// TypeError for what is no socket.
fn family(socket: &Bound<'_, PyAny>) -> PyResult<i32> {
    static FAMILY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = socket.py();
    FAMILY
        .get_or_try_init(py, || {
            let member = raw_socket(py)?.bind(py).getattr("family")?;
            Ok::<_, PyErr>(member.getattr("__get__")?.unbind())
        })?
        .bind(py)
        .call1((socket,))?
        .extract()
}

/// What an attempt has come to.
pub enum Attempt<'py> {
    /// It is done: the result.
    Done(Bound<'py, PyAny>),
    /// So many bytes are sent, and not all.
    Part(usize),
    /// Not yet.
    Blocked,
}

impl<'py> Attempt<'py> {
    /// None, as a result.
    pub fn nothing(py: Python<'py>) -> Self {
        Self::Done(py.None().into_bound(py))
    }
}

/// A call with its arguments.
pub struct Request<'a, 'py> {
    pub call: Call,
    pub manner: Manner,
    pub socket: &'a Bound<'py, PyAny>,
    pub first: &'a Bound<'py, PyAny>,
    pub second: Option<&'a Bound<'py, PyAny>>,
    /// How many bytes are sent already; None when nothing was tried yet.
    pub sent: Option<usize>,
}

impl<'py> Request<'_, 'py> {
    /// Tries once.
    ///
    /// # Errors
    /// What the call raises, unless that says to try again.
    pub fn attempt(&self, event_loop: &Bound<'py, EventLoop>) -> PyResult<Attempt<'py>> {
        if let Manner::Direct(family) = self.manner
            && let Some(attempt) = direct::attempt(self, family, event_loop)?
        {
            return Ok(attempt);
        }
        let py = event_loop.py();
        match self.by_method() {
            Err(error)
                if error.is_instance_of::<PyBlockingIOError>(py)
                    || error.is_instance_of::<PyInterruptedError>(py) =>
            {
                match self.call == Call::SendAll && self.first.len()? == 0 {
                    true => Ok(Attempt::nothing(py)),
                    false => Ok(Attempt::Blocked),
                }
            }
            outcome => outcome,
        }
    }

    fn by_method(&self) -> PyResult<Attempt<'py>> {
        let py = self.socket.py();
        let name = self.call.method(py);
        match (self.call, self.second) {
            (Call::Accept, _) => {
                let accepted = unwind::call_method(self.socket, name, [])?;
                let (connection, _): (Bound<'_, PyAny>, Bound<'_, PyAny>) = accepted.extract()?;
                connection.call_method1(intern!(py, "setblocking"), (false,))?;
                Ok(Attempt::Done(accepted))
            }
            (Call::Connect, _) if self.sent.is_some() => self.connected(),
            (Call::Connect, _) => {
                unwind::call_method(self.socket, name, [self.first])?;
                Ok(Attempt::nothing(py))
            }
            (Call::SendAll, _) => self.send(name),
            (_, Some(second)) => {
                unwind::call_method(self.socket, name, [self.first, second]).map(Attempt::Done)
            }
            (_, None) => unwind::call_method(self.socket, name, [self.first]).map(Attempt::Done),
        }
    }

    fn send(&self, name: &Bound<'py, PyString>) -> PyResult<Attempt<'py>> {
        let py = self.socket.py();
        let sent = self.sent.unwrap_or(0);
        let rest = match sent {
            0 => self.first.clone(),
            _ => part(self.first, sent, None)?,
        };
        let more: usize = unwind::call_method(self.socket, name, [&rest])?.extract()?;
        match sent + more == self.first.len()? {
            true => Ok(Attempt::nothing(py)),
            false => Ok(Attempt::Part(more)),
        }
    }

    /// The socket can be written: how connecting went.
    fn connected(&self) -> PyResult<Attempt<'py>> {
        let py = self.socket.py();
        let option = (libc::SOL_SOCKET, libc::SO_ERROR);
        let errno: i32 = self
            .socket
            .call_method1(intern!(py, "getsockopt"), option)?
            .extract()?;
        if errno == 0 {
            return Ok(Attempt::nothing(py));
        }
        let address = self.first.str()?;
        let text = format!("Connect call failed {}", address.to_string_lossy());
        Err(PyOSError::new_err((errno, text)))
    }
}

/// `memoryview(data)` by the byte.
///
/// # Errors
/// TypeError for what is no contiguous buffer.
pub fn bytes_view<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    let view = pyo3::types::PyMemoryView::from(data)?.into_any();
    let size: usize = view.getattr(intern!(py, "itemsize"))?.extract()?;
    let dimensions = view.getattr(intern!(py, "ndim"))?;
    match size == 1 && dimensions.eq(1)? {
        true => Ok(view),
        false => view.call_method1(intern!(py, "cast"), PyTuple::new(py, ["B"])?),
    }
}
