//! `create_connection` where nothing has to be looked up: a numeric address, plain TCP, and nothing overridden.
//!
//! To the same machine, and in a container that is the proxy and the database, a connection stands as soon as it is
//! asked for: then nobody has to wait for it, and no socket object is made until a program wants it. One that takes its
//! time is waited for as `sock_connect` waits. `riata._connect` decides what comes here.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};
use riata_engine::net::{self, SocketAddr};

use super::EventLoop;
use super::sock::is_audited;
use super::work::LoopRef;
use crate::context;
use crate::error::os_error;
use crate::future::Future;
use crate::transport::{Origin, Socket, StreamTransport, python_socket};

/// Where to connect to; None for names, ports that are no number, and families that do not fit.
fn numeric(
    host: &Bound<'_, PyAny>,
    port: &Bound<'_, PyAny>,
    family: &Bound<'_, PyAny>,
    proto: &Bound<'_, PyAny>,
) -> Option<std::net::SocketAddr> {
    let host = host.cast_exact::<PyString>().ok()?.to_str().ok()?;
    let port = port.cast_exact::<PyInt>().ok()?.extract::<u16>().ok()?;
    let host = host.parse::<IpAddr>().ok()?;
    let fits = match family.extract::<i32>().ok()? {
        libc::AF_UNSPEC => true,
        libc::AF_INET => host.is_ipv4(),
        libc::AF_INET6 => host.is_ipv6(),
        _ => false,
    };
    let is_tcp = matches!(proto.extract::<i32>().ok()?, 0 | libc::IPPROTO_TCP);
    (fits && is_tcp).then(|| std::net::SocketAddr::new(host, port))
}

/// The address as `getaddrinfo` gives it, for what is said of a connection that fails.
fn shown<'py>(
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    address: &std::net::SocketAddr,
) -> PyResult<Bound<'py, PyAny>> {
    let py = host.py();
    match address {
        std::net::SocketAddr::V4(_) => PyTuple::new(py, [host, port]),
        std::net::SocketAddr::V6(_) => (host, port, 0, 0).into_pyobject(py),
    }
    .map(Bound::into_any)
}

#[pymethods]
impl EventLoop {
    /// Connect to a numeric address; None when that is for asyncio's own code to do.
    ///
    /// A triple: the transport, its protocol and a future that is done when `connection_made` was called; or, of a
    /// connection that does not stand yet, its socket, None and a future that is done when it does.
    ///
    /// Raises OSError, and what `protocol_factory` raises.
    fn _try_connection<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: &Bound<'py, PyAny>,
        host: &Bound<'py, PyAny>,
        port: &Bound<'py, PyAny>,
        family: &Bound<'py, PyAny>,
        proto: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = slf.py();
        let Some(numeric) = numeric(host, port, family, proto) else {
            return Ok(None);
        };
        if !slf.get().connects_directly(py)? || is_audited(py) {
            return Ok(None);
        }
        let address = SocketAddr::from(numeric);
        let fd = net::stream_socket(&address).map_err(os_error)?;
        match net::begin_connect(&fd, &address).map_err(os_error)? {
            Some(peer) => Self::connected(slf, protocol_factory, fd, peer).map(Some),
            None => {
                let shown = shown(host, port, &numeric)?;
                Self::connecting(slf, fd, &address, &shown).map(Some)
            }
        }
    }
}

impl EventLoop {
    /// The transport of a connection that stands.
    fn connected<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: &Bound<'py, PyAny>,
        connection: OwnedFd,
        peer: SocketAddr,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let protocol = protocol_factory.call0()?;
        let waiter = Bound::new(py, Future::on(LoopRef::of(slf)))?.into_any();
        let _best_effort = net::set_nodelay(connection.as_fd());
        let origin = Origin {
            fd: connection.as_raw_fd(),
            local: net::local_addr(connection.as_fd()).unwrap_or(SocketAddr::Unspecified),
            peer,
            socket: Socket::Raw(connection),
            context: context::copy_current(py)?,
            extra: None,
            server: None,
            waiter: Some(waiter.clone()),
        };
        let transport = StreamTransport::create(slf, &protocol, origin)?;
        PyTuple::new(py, [transport.into_any(), protocol, waiter])
    }

    /// The socket of a connection that is under way.
    fn connecting<'py>(
        slf: &Bound<'py, Self>,
        connection: OwnedFd,
        address: &SocketAddr,
        shown: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let socket = python_socket(py, Some(connection.as_raw_fd()), address)?;
        let _owned_by_python = connection.into_raw_fd();
        match Self::wait_connected(slf, &socket, shown) {
            Ok(future) => PyTuple::new(py, [socket, py.None().into_bound(py), future]),
            Err(error) => {
                socket.call_method0(intern!(py, "close"))?;
                Err(error)
            }
        }
    }
}
