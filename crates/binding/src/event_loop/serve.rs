//! Making transports of sockets, and accepting connections: `_make_socket_transport`, `_start_serving`, and the look
//! whether a transport has a descriptor.
//!
//! `asyncio.base_events` and `asyncio.Server` call these by their private names; each Python version's own signature
//! is taken. Stopping to serve is asyncio's own code, which removes the descriptor's reader: a listener counts as one.

use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, WatchKey};
use riata_engine::error::{Error, Result as EngineResult};
use riata_engine::net::{self, SocketAddr};

use super::EventLoop;
use super::watch::{Watcher, descriptor};
use crate::cell::GilCell;
use crate::context;
use crate::error::os_error;
use crate::imports::{call_exception_handler, imports};
use crate::transport::{
    Origin, Socket, StreamTransport, address_to_python, borrow, check_owner, logger, python_socket,
};
use crate::version::version;

/// A listening socket, and what is done with those who connect.
pub struct Listener {
    fd: i32,
    socket: Py<PyAny>,
    protocol_factory: Py<PyAny>,
    ssl_context: Option<Py<PyAny>>,
    server: Option<Py<PyAny>>,
    backlog: usize,
    ssl_handshake_timeout: Option<Py<PyAny>>,
    ssl_shutdown_timeout: Option<Py<PyAny>>,
    /// As the program gave it (Python 3.15): each connection gets a copy.
    given_context: Option<Py<PyAny>>,
    /// What each connection's context is copied from.
    context: Py<PyAny>,
    pace: GilCell<Pace>,
}

/// Whether connections come one by one, as a listener finds out. Then an accept that only says that nobody else waits is
/// spared, like a recv after a short read: the kernel reports again whoever does wait.
#[derive(Clone, Copy, Default)]
struct Pace {
    /// For how many events one connection is taken, without a look for more.
    single: u8,
    /// How many such events the last look that found nobody was worth.
    trust: u8,
}

impl Pace {
    /// The most that it is worth: after so many turns at the latest, a crowd is noticed.
    const MOST: u8 = 16;

    /// Whether this event is to be taken for one connection.
    fn expects_one(&mut self) -> bool {
        let expects = self.single > 0;
        self.single -= u8::from(expects);
        expects
    }

    /// A look for more has found nobody, after so many connections.
    fn found_no_more(&mut self, taken: usize) {
        self.trust = match taken {
            0 | 1 => (self.trust * 2).clamp(1, Self::MOST),
            _ => 0,
        };
        self.single = self.trust;
    }
}

impl Listener {
    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.socket)?;
        visit.call(&self.protocol_factory)?;
        visit.call(&self.ssl_context)?;
        visit.call(&self.server)?;
        visit.call(&self.ssl_handshake_timeout)?;
        visit.call(&self.ssl_shutdown_timeout)?;
        visit.call(&self.given_context)?;
        visit.call(&self.context)
    }

    /// Takes the next connection.
    #[allow(unsafe_code)]
    fn next(&self, py: Python<'_>) -> EngineResult<(OwnedFd, SocketAddr)> {
        check_owner(self.socket.bind(py), self.fd)?;
        // SAFETY: B7: its owner has just been asked.
        net::accept(unsafe { borrow(self.fd) })
    }

    /// The arguments of `_start_serving`, to do the same again.
    fn arguments<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let options = PyDict::new(py);
        options.set_item(intern!(py, "sslcontext"), &self.ssl_context)?;
        options.set_item(intern!(py, "server"), &self.server)?;
        options.set_item(intern!(py, "backlog"), self.backlog)?;
        options.set_item(
            intern!(py, "ssl_handshake_timeout"),
            &self.ssl_handshake_timeout,
        )?;
        options.set_item(
            intern!(py, "ssl_shutdown_timeout"),
            &self.ssl_shutdown_timeout,
        )?;
        if self.given_context.is_some() {
            options.set_item(intern!(py, "context"), &self.given_context)?;
        }
        Ok((
            (&self.protocol_factory, &self.socket).into_pyobject(py)?,
            options,
        ))
    }
}

/// Errors of accept that say that something has run out, and that trying again at once is no use.
fn is_exhaustion(error: &Error) -> bool {
    matches!(
        error.errno,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM
    )
}

/// Whether `error` is one of those that end `run_forever`.
pub(super) fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

impl EventLoop {
    /// Takes the connections that wait, as many as asyncio would.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that a protocol factory raised.
    pub fn accept(slf: &Bound<'_, Self>, key: WatchKey, listener: &Arc<Listener>) -> PyResult<()> {
        let py = slf.py();
        let most = match listener.pace.with(py, Pace::expects_one) {
            true => 1,
            false => listener.backlog + usize::from(version(py)?.accepts_one_more),
        };
        for taken in 0..most {
            match listener.next(py) {
                Ok((connection, peer)) => Self::welcome(slf, listener, connection, peer)?,
                Err(error) if error.errno == libc::ECONNABORTED => {}
                Err(error) if error.is_would_block() || error.is_interrupted() => {
                    listener.pace.with(py, |pace| pace.found_no_more(taken));
                    return Ok(());
                }
                Err(error) => return Self::accept_failed(slf, key, listener, error),
            }
            // A factory may have closed the server.
            if slf
                .get()
                .registry
                .with(py, |registry| registry.interest(key).is_none())
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Nothing can be accepted: told of, and when something has run out tried again in a while.
    #[cold]
    fn accept_failed(
        slf: &Bound<'_, Self>,
        key: WatchKey,
        listener: &Arc<Listener>,
        error: Error,
    ) -> PyResult<()> {
        let py = slf.py();
        let exhausted = is_exhaustion(&error);
        let report = PyDict::new(py);
        let message = match exhausted {
            true => "socket.accept() out of system resource",
            false => "socket.accept() failed",
        };
        report.set_item(intern!(py, "message"), message)?;
        report.set_item(intern!(py, "exception"), os_error(error).into_value(py))?;
        let socket = imports(py)?
            .transport_socket
            .bind(py)
            .call1((&listener.socket,))?;
        report.set_item(intern!(py, "socket"), socket)?;
        if exhausted || error.errno == libc::EBADF {
            // It stays readable: it would be told of again and again.
            if let Some(kernel) = slf.get().kernel(py) {
                let removed = slf
                    .get()
                    .registry
                    .with(py, |registry| registry.remove(&kernel.poller, key));
                drop(removed);
            }
        }
        if exhausted {
            let delay = py
                .import(intern!(py, "asyncio.constants"))?
                .getattr(intern!(py, "ACCEPT_RETRY_DELAY"))?;
            let (args, options) = listener.arguments(py)?;
            let again = slf.getattr(intern!(py, "_resume_serving"))?;
            slf.call_method1(intern!(py, "call_later"), (delay, again, args, options))?;
        }
        call_exception_handler(slf.as_any(), &report)
    }

    /// Makes a transport of an accepted connection.
    fn welcome(
        slf: &Bound<'_, Self>,
        listener: &Listener,
        connection: OwnedFd,
        peer: SocketAddr,
    ) -> PyResult<()> {
        let py = slf.py();
        // A peer that has gone by now leaves no name, as with asyncio.
        let local = net::local_addr(connection.as_fd()).unwrap_or(SocketAddr::Unspecified);
        if slf.get().debug(py) {
            log_connection(py, listener, &connection, &local, &peer)?;
        }
        if listener.ssl_context.is_some() {
            return Self::welcome_to_tls(slf, listener, connection, local, peer);
        }
        let context = context::copy(listener.context.bind(py))?;
        let mut protocol = None;
        let made = context::run_in_or_copy(&context.clone_ref(py).into_bound(py), || {
            let protocol = protocol.insert(listener.protocol_factory.bind(py).call0()?);
            let origin = Origin {
                fd: connection.as_raw_fd(),
                socket: Socket::Raw(connection),
                local,
                peer,
                context,
                extra: None,
                server: listener
                    .server
                    .as_ref()
                    .map(|server| server.bind(py).clone()),
                waiter: None,
            };
            StreamTransport::create(slf, protocol, origin).map(drop)
        });
        match made {
            Ok(()) => Ok(()),
            Err(error) if is_interrupt(py, &error) => Err(error),
            Err(error) => {
                let report = PyDict::new(py);
                report.set_item(
                    intern!(py, "message"),
                    "Error on transport creation for incoming connection",
                )?;
                report.set_item(intern!(py, "exception"), error.into_value(py))?;
                if let Some(protocol) = protocol {
                    report.set_item(intern!(py, "protocol"), protocol)?;
                }
                call_exception_handler(slf.as_any(), &report)
            }
        }
    }

    /// With TLS asyncio's own `_accept_connection2` goes on with a Python socket: it awaits the handshake, and tells
    /// of what fails.
    fn welcome_to_tls(
        slf: &Bound<'_, Self>,
        listener: &Listener,
        connection: OwnedFd,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> PyResult<()> {
        let py = slf.py();
        let socket = python_socket(py, Some(connection.as_raw_fd()), &local)?;
        let _owned_by_python = connection.into_raw_fd();
        let extra = PyDict::new(py);
        extra.set_item(intern!(py, "peername"), address_to_python(py, &peer)?)?;
        let args = (
            &listener.protocol_factory,
            socket,
            extra,
            &listener.ssl_context,
            &listener.server,
            &listener.ssl_handshake_timeout,
            &listener.ssl_shutdown_timeout,
        );
        context::run_in_or_copy(
            &context::copy(listener.context.bind(py))?.into_bound(py),
            || {
                let accept = slf.call_method1(intern!(py, "_accept_connection2"), args)?;
                slf.call_method1(intern!(py, "create_task"), (accept,))
                    .map(drop)
            },
        )
    }
}

/// Debug mode's word about a new connection, which shows it as a socket.
fn log_connection(
    py: Python<'_>,
    listener: &Listener,
    connection: &OwnedFd,
    local: &SocketAddr,
    peer: &SocketAddr,
) -> PyResult<()> {
    let socket = python_socket(py, Some(connection.as_raw_fd()), local)?;
    let peer = address_to_python(py, peer);
    let logged = peer.and_then(|peer| {
        let text = "%r got a new connection from %r: %r";
        logger(py)?.call_method1(
            intern!(py, "debug"),
            (text, &listener.server, peer, &socket),
        )
    });
    socket.call_method0(intern!(py, "detach"))?;
    logged.map(drop)
}

#[pymethods]
impl EventLoop {
    /// A transport over a connected stream socket.
    #[pyo3(signature = (sock, protocol, waiter = None, *, extra = None, server = None, context = None))]
    fn _make_socket_transport<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
        server: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, StreamTransport>> {
        let py = slf.py();
        slf.call_method1(intern!(py, "_ensure_fd_no_transport"), (sock,))?;
        let context = match context.filter(context::is_exact) {
            Some(context) => context.unbind(),
            None => context::copy_current(py)?,
        };
        let (fd, local, peer) = names_of(sock)?;
        let extra = match (&local, &peer) {
            (SocketAddr::Other { .. } | SocketAddr::Unspecified, _)
            | (_, SocketAddr::Other { .. }) => Some(names_by_python(sock, extra)?),
            _ => extra,
        };
        let socket = Socket::Python(sock.clone().unbind());
        StreamTransport::create(
            slf,
            protocol,
            Origin {
                socket,
                fd,
                local,
                peer,
                context,
                extra,
                server,
                waiter,
            },
        )
    }

    /// Accept connections on a listening socket until its reader is removed.
    #[pyo3(signature = (
        protocol_factory, sock, sslcontext = None, server = None, backlog = 100,
        ssl_handshake_timeout = None, ssl_shutdown_timeout = None, context = None
    ))]
    #[allow(clippy::too_many_arguments)] // asyncio's own signature
    fn _start_serving(
        slf: &Bound<'_, Self>,
        protocol_factory: Py<PyAny>,
        sock: &Bound<'_, PyAny>,
        sslcontext: Option<Py<PyAny>>,
        server: Option<Py<PyAny>>,
        backlog: isize,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        let fd = listening(sock)?;
        this._remove_reader(sock)?;
        let given = context.filter(context::is_exact).map(Bound::unbind);
        let listener = Listener {
            fd,
            socket: sock.clone().unbind(),
            protocol_factory,
            ssl_context: sslcontext.filter(|context| !context.is_none(py)),
            server,
            backlog: usize::try_from(backlog).unwrap_or(0),
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            context: match &given {
                Some(context) => context.clone_ref(py),
                None => context::copy_current(py)?,
            },
            given_context: given,
            pace: GilCell::default(),
        };
        let Some(kernel) = this.own_kernel(py).map_err(os_error)? else {
            return Ok(());
        };
        let watcher = Watcher::Listener(Arc::new(listener));
        let added = this.registry.with(py, |registry| {
            registry.add(&kernel.poller, fd, Interest::READABLE, watcher)
        });
        added.map(drop).map_err(|rejected| os_error(rejected.error))
    }

    /// Try to accept again, unless the server was closed meanwhile.
    fn _resume_serving(
        slf: &Bound<'_, Self>,
        args: Bound<'_, PyTuple>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let py = slf.py();
        let fd: i64 = args
            .get_item(1)?
            .call_method0(intern!(py, "fileno"))?
            .extract()?;
        match fd < 0 {
            true => Ok(()),
            false => slf
                .getattr(intern!(py, "_start_serving"))?
                .call(args, Some(options))
                .map(drop),
        }
    }

    /// Raise RuntimeError if a transport uses `fd`, a number or an object with fileno().
    fn _ensure_fd_no_transport(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let number = match fd.extract::<i64>() {
            Ok(number) => number,
            Err(_) => match fd
                .call_method0(intern!(py, "fileno"))
                .and_then(|number| number.extract())
            {
                Ok(number) => number,
                Err(_) => {
                    let text = fd.repr()?;
                    return Err(PyValueError::new_err(format!(
                        "Invalid file object: {}",
                        text.to_string_lossy()
                    )));
                }
            },
        };
        let native = i32::try_from(number)
            .ok()
            .and_then(|number| slf.get().occupant(py, number));
        let user = match native {
            Some(transport) => Some(transport),
            None => other_transport(slf, number)?,
        };
        match user {
            None => Ok(()),
            Some(transport) => Err(PyRuntimeError::new_err(format!(
                "File descriptor {} is used by transport {}",
                fd.repr()?.to_string_lossy(),
                transport.repr()?.to_string_lossy()
            ))),
        }
    }
}

/// The transport of asyncio's own, which a program has made by hand, that has a descriptor, unless it is closing.
fn other_transport<'py>(
    slf: &Bound<'py, EventLoop>,
    fd: i64,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = slf.py();
    let Some(transports) = slf.getattr_opt(intern!(py, "_transports"))? else {
        return Ok(None);
    };
    if transports.len()? == 0 {
        return Ok(None);
    }
    let transport = transports.call_method1(intern!(py, "get"), (fd,))?;
    let closing = transport.is_none()
        || transport
            .call_method0(intern!(py, "is_closing"))?
            .is_truthy()?;
    Ok((!closing).then_some(transport))
}

/// A connected socket's number and names; small writes to it are sent at once (TCP_NODELAY), as asyncio has it.
#[allow(unsafe_code)]
fn names_of(socket: &Bound<'_, PyAny>) -> PyResult<(i32, SocketAddr, SocketAddr)> {
    let fd = descriptor(socket)?;
    // SAFETY: B7: the socket object has just given its number.
    let borrowed = unsafe { borrow(fd) };
    let local = net::local_addr(borrowed).unwrap_or(SocketAddr::Unspecified);
    let peer = net::peer_addr(borrowed).unwrap_or(SocketAddr::Unspecified);
    if matches!(local, SocketAddr::V4(_) | SocketAddr::V6(_)) {
        // It may be another protocol than TCP, which has no such option.
        let _other_protocol = net::set_nodelay(borrowed);
    }
    Ok((fd, local, peer))
}

/// A listening socket's number. Accepted connections inherit its TCP_NODELAY (tcp(7)): one call instead of one for
/// each.
#[allow(unsafe_code)]
fn listening(socket: &Bound<'_, PyAny>) -> PyResult<i32> {
    let py = socket.py();
    let family = socket
        .getattr(intern!(py, "family"))
        .and_then(|family| family.extract::<i32>());
    let fd = descriptor(socket)?;
    if matches!(family, Ok(libc::AF_INET | libc::AF_INET6)) {
        // SAFETY: B7: the socket object has just given its number.
        // Another protocol than TCP has no such option.
        let _other_protocol = net::set_nodelay(unsafe { borrow(fd) });
    }
    Ok(fd)
}

/// Names of a family that is not taken apart here, as Python's socket object gives them.
fn names_by_python<'py>(
    socket: &Bound<'py, PyAny>,
    extra: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = socket.py();
    let extra = extra.unwrap_or_else(|| PyDict::new(py));
    for (name, method) in [("sockname", "getsockname"), ("peername", "getpeername")] {
        if !extra.contains(name)? {
            extra.set_item(name, socket.call_method0(method).ok())?;
        }
    }
    Ok(extra)
}
