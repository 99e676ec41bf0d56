//! The transport object: what it holds, how it begins, what it wants to be told, and how it ends.
//!
//! The loop holds a reference to a transport that waits for anything, as asyncio's selector does; one that waits for
//! nothing (paused) is its owners' alone, and is collected when they are.

use std::os::fd::RawFd;

use pyo3::exceptions::{
    PyConnectionError, PyKeyboardInterrupt, PyOSError, PyResourceWarning, PySystemExit,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, Readiness, WatchKey};
use riata_engine::error::Error;
use riata_engine::net::SocketAddr;
use riata_engine::stream::{Abort, Lifecycle, Lost, Watermarks, WriteBuffer};

use super::memory::Chunk;
use super::socket::{self, Socket};
use crate::cell::GilCell;
use crate::context;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::event_loop::watch::{Unowned, Watcher};
use crate::event_loop::work::{Call, LoopRef, Work};
use crate::handle::Handle;
use crate::imports::{call_exception_handler, imports};
use crate::interop;

/// A step of a transport that goes through the ready queue, as asyncio's `call_soon` of one of its methods.
#[derive(Clone, Copy)]
pub enum Signal {
    /// `connection_made`, then reading starts, then who waits for the connection is told.
    Begin,
    /// `connection_lost`, and the descriptor is closed.
    Lost,
    /// What a poll reported: in debug mode, so that slow protocols are told of.
    Ready(Readiness),
}

impl Signal {
    /// The same as a call, for a loop whose `call_soon` is overridden, and for reports.
    ///
    /// # Errors
    /// MemoryError.
    pub fn into_call(self, transport: &Bound<'_, StreamTransport>) -> PyResult<Call> {
        let py = transport.py();
        let (method, args) = match self {
            Self::Begin => (intern!(py, "_begin"), vec![]),
            Self::Lost => (intern!(py, "_call_connection_lost"), vec![]),
            Self::Ready(readiness) => {
                let events = readiness.bits().into_pyobject(py)?;
                (intern!(py, "_read_ready"), vec![events.into_any().unbind()])
            }
        };
        Ok((transport.getattr(method)?.unbind(), args, None))
    }
}

/// How far reading has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// `connection_made` was not called yet.
    NotStarted,
    /// There may be more.
    Open,
    /// The peer has ended its side.
    Ended,
}

/// How the protocol takes bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// `data_received`.
    Data,
    /// `get_buffer` and `buffer_updated` (`asyncio.BufferedProtocol`).
    Buffered,
}

/// What few transports have, or only for a moment.
#[derive(Default)]
pub struct Rare {
    /// Who waits for the connection to be made.
    pub waiter: Option<Py<PyAny>>,
    /// Who waits for everything to be written: `sendfile`, which has the descriptor to itself meanwhile.
    pub empty_waiter: Option<Py<PyAny>>,
    /// What `connection_lost` is to be called with, and the context to call it in.
    pub lost_exception: Option<Py<PyAny>>,
    /// See above.
    pub lost_context: Option<Py<PyAny>>,
}

/// Everything that changes in a transport's life.
pub struct State {
    /// None once lost.
    pub event_loop: Option<Py<EventLoop>>,
    /// None once lost.
    pub protocol: Option<Py<PyAny>>,
    /// The context in which events are told.
    pub context: Option<Py<PyAny>>,
    /// The server it counts for.
    pub server: Option<Py<PyAny>>,
    /// What `get_extra_info` knows; made when it is needed.
    pub extra: Option<Py<PyDict>>,
    pub socket: Socket,
    /// The descriptor's number, kept when it is closed: `repr` shows it.
    pub fd: RawFd,
    pub key: Option<WatchKey>,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub buffer: WriteBuffer<Chunk>,
    pub lifecycle: Lifecycle,
    pub watermarks: Watermarks,
    pub reception: Reception,
    pub reading: Reading,
    /// By `pause_reading`.
    pub paused: bool,
    /// On the loop's list of those with something to write.
    pub enlisted: bool,
    /// Bytes wait that were never offered to the kernel.
    pub unsent: bool,
    /// The kernel had no room: waiting for some.
    pub wants_room: bool,
    /// asyncio's `_conn_lost`: nought, or one and the writes that came afterwards.
    pub lost_count: u32,
    pub rare: Option<Box<Rare>>,
}

impl State {
    /// Whether bytes are taken from the socket when there are any.
    pub fn reads(&self) -> bool {
        self.reading == Reading::Open && !self.paused && !self.lifecycle.is_closing()
    }

    /// What the transport wants to be told.
    pub fn wanted(&self) -> Interest {
        let mut wanted = Interest::NONE;
        if self.reads() {
            wanted = wanted | Interest::READABLE;
        }
        if self.wants_room {
            wanted = wanted | Interest::WRITABLE;
        }
        wanted
    }
}

/// What a transport is made of.
pub struct Origin<'py> {
    /// The descriptor's owner.
    pub socket: Socket,
    /// Its number.
    pub fd: RawFd,
    /// Where it is.
    pub local: SocketAddr,
    /// What it is connected to.
    pub peer: SocketAddr,
    /// The context in which events are told.
    pub context: Py<PyAny>,
    /// What `get_extra_info` is to know besides.
    pub extra: Option<Bound<'py, PyDict>>,
    /// The server it counts for.
    pub server: Option<Bound<'py, PyAny>>,
    /// A future to be set once the connection is made.
    pub waiter: Option<Bound<'py, PyAny>>,
}

/// A connected stream socket with its protocol: what `asyncio.Transport` documents.
#[pyclass(
    frozen,
    weakref,
    dict,
    name = "StreamTransport",
    module = "riata._native"
)]
pub struct StreamTransport {
    pub(super) state: GilCell<State>,
}

impl StreamTransport {
    /// Makes a transport and schedules `connection_made`.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed; what `server._attach` raises.
    pub fn create<'py>(
        event_loop: &Bound<'py, EventLoop>,
        protocol: &Bound<'py, PyAny>,
        origin: Origin<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let reception = reception_of(protocol)?;
        let rare = origin.waiter.map(|waiter| {
            Box::new(Rare {
                waiter: Some(waiter.unbind()),
                ..Rare::default()
            })
        });
        let state = State {
            event_loop: Some(event_loop.clone().unbind()),
            protocol: Some(protocol.clone().unbind()),
            context: Some(origin.context),
            server: None,
            extra: origin.extra.map(Bound::unbind),
            socket: origin.socket,
            fd: origin.fd,
            key: None,
            local: origin.local,
            peer: origin.peer,
            buffer: WriteBuffer::new(),
            lifecycle: Lifecycle::new(),
            watermarks: Watermarks::new(),
            reception,
            reading: Reading::NotStarted,
            paused: false,
            enlisted: false,
            unsent: false,
            wants_room: false,
            lost_count: 0,
            rare,
        };
        let transport = Bound::new(
            py,
            Self {
                state: GilCell::new(state),
            },
        )?;
        let begun = Self::attach(&transport, origin.server)
            .and_then(|()| Self::schedule(&transport, event_loop, Signal::Begin));
        match begun {
            Ok(()) => Ok(transport),
            // Nobody has it yet: it ends here, without a warning.
            Err(error) => Self::give_back(&transport).and(Err(error)),
        }
    }

    /// Counts for `server` until it is lost.
    fn attach(slf: &Bound<'_, Self>, server: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let Some(server) = server else {
            return Ok(());
        };
        match interop::version(py)?.server_takes_transport {
            true => server.call_method1(intern!(py, "_attach"), (slf,))?,
            false => server.call_method0(intern!(py, "_attach"))?,
        };
        slf.get()
            .with(py, |state| state.server = Some(server.unbind()));
        Ok(())
    }

    /// Opens the state for a moment: see `GilCell::with`.
    #[inline(always)]
    pub(super) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, f)
    }

    /// The loop, until the connection is lost.
    #[inline]
    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, EventLoop>> {
        self.with(py, |state| {
            state
                .event_loop
                .as_ref()
                .map(|event_loop| event_loop.bind(py).clone())
        })
    }

    /// The protocol, until the connection is lost.
    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |state| {
            state
                .protocol
                .as_ref()
                .map(|protocol| protocol.bind(py).clone())
        })
    }

    /// Whether `add_reader` and its like must leave the descriptor alone.
    pub fn occupies_descriptor(&self, py: Python<'_>) -> bool {
        self.with(py, |state| {
            let lent = state
                .rare
                .as_ref()
                .is_some_and(|rare| rare.empty_waiter.is_some());
            !lent && !state.lifecycle.is_closing()
        })
    }

    /// The descriptor's number, if it is still the transport's own, for one system call.
    ///
    /// # Errors
    /// EBADF when it was closed, by whomever.
    #[inline]
    pub(super) fn live_fd(&self, py: Python<'_>) -> Result<RawFd, Error> {
        let (fd, owner) = self.with(py, |state| match &state.socket {
            Socket::Raw(_) => (Some(state.fd), None),
            Socket::Python(socket) => (Some(state.fd), Some(socket.clone_ref(py))),
            Socket::Closed => (None, None),
        });
        let Some(fd) = fd else {
            return Err(Error {
                call: "fileno",
                errno: libc::EBADF,
            });
        };
        match owner {
            Some(owner) => socket::check_owner(owner.bind(py), fd).map(|()| fd),
            None => Ok(fd),
        }
    }

    /// Makes a step ready, by way of `call_soon` where that is overridden.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    fn schedule(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        signal: Signal,
    ) -> PyResult<()> {
        let work = Work::Stream(slf.clone().unbind(), signal);
        LoopRef::of(event_loop).push(slf.py(), work)
    }

    /// Runs a step. What a protocol raises comes back, to be reported.
    pub fn run(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        signal: Signal,
    ) -> PyResult<()> {
        match signal {
            Signal::Begin => Self::begin(slf, event_loop),
            Signal::Lost => Self::lost(slf, None),
            Signal::Ready(readiness) => Self::handle_ready(slf, event_loop, readiness),
        }
    }

    // What the loop is to watch for.

    /// Makes the kernel's view, and who holds whom, what the state says.
    ///
    /// # Errors
    /// Those of epoll_ctl: EBADF, ENOMEM, ENOSPC.
    pub(super) fn rewatch(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> Result<(), Error> {
        let py = slf.py();
        let (fd, key, wanted) = slf
            .get()
            .with(py, |state| (state.fd, state.key, state.wanted()));
        let this = event_loop.get();
        let Some(key) = key else {
            if wanted.is_none() {
                return Ok(());
            }
            let watcher = Watcher::Stream(slf.clone().unbind());
            let added = this.change_watchers(py, |registry, poller| {
                registry.add(poller, fd, wanted, watcher)
            })?;
            return match added {
                None => Ok(()),
                Some(Ok(key)) => {
                    slf.get().with(py, |state| state.key = Some(key));
                    Ok(())
                }
                Some(Err(rejected)) => Err(rejected.error),
            };
        };
        let changed = this.change_watchers(py, |registry, poller| {
            registry.set_interest(poller, key, wanted)
        })?;
        Self::hold(slf, event_loop);
        match changed {
            None => Ok(()),
            // A loop that was closed has forgotten it.
            Some(Err(error)) if error.errno == libc::ENOENT && wanted.is_none() => Ok(()),
            Some(changed) => changed,
        }
    }

    /// Lets the loop hold a reference as long as the transport wants to be told anything. No system call: what the
    /// kernel still reports of a paused transport is answered by asking it not to.
    pub(super) fn hold(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) {
        let py = slf.py();
        let (key, wanted) = slf.get().with(py, |state| (state.key, state.wanted()));
        let Some(key) = key else { return };
        let before = event_loop.get().registry.with(py, |registry| {
            let place = registry.get_mut(key)?;
            match (&*place, wanted.is_none()) {
                (Watcher::Stream(_), true) => Some(std::mem::replace(
                    place,
                    Watcher::Parked(Unowned::new(slf.as_any())),
                )),
                (Watcher::Parked(_), false) => Some(std::mem::replace(
                    place,
                    Watcher::Stream(slf.clone().unbind()),
                )),
                _ => None,
            }
        });
        drop(before);
    }

    /// Takes the transport out of the loop's table, before its descriptor is closed.
    fn unwatch(&self, py: Python<'_>) {
        let (key, event_loop) = self.with(py, |state| {
            (
                state.key.take(),
                state
                    .event_loop
                    .as_ref()
                    .map(|event_loop| event_loop.clone_ref(py)),
            )
        });
        let (Some(key), Some(event_loop)) = (key, event_loop) else {
            return;
        };
        let removed = event_loop
            .get()
            .change_watchers(py, |registry, poller| registry.remove(poller, key));
        if removed.is_err() {
            // No descriptor is left for that, in a forked child: its place must not name the transport.
            let left = event_loop.get().registry.with(py, |registry| {
                let place = registry.get_mut(key)?;
                Some(std::mem::replace(place, Watcher::Remote))
            });
            drop(left);
        }
    }

    /// A poll has reported something.
    pub fn handle_ready(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        readiness: Readiness,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (context, reads) = this.with(py, |state| {
            (
                state
                    .context
                    .as_ref()
                    .map(|context| context.bind(py).clone()),
                state.reads(),
            )
        });
        let Some(context) = context else {
            return Ok(());
        };
        context::run_in_or_copy(&context, || {
            if readiness.wakes_reader() {
                match reads {
                    true => Self::read(slf, event_loop)?,
                    false => Self::settle_watch(slf, event_loop)?,
                }
            }
            if readiness.wakes_writer() && this.with(py, |state| state.wants_room) {
                Self::send(slf, event_loop)?;
            }
            Ok(())
        })
    }

    /// As `rewatch`; a transport that cannot be watched has failed.
    ///
    /// # Errors
    /// As `fatal`.
    pub(super) fn settle_watch(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        match Self::rewatch(slf, event_loop) {
            Ok(()) => Ok(()),
            Err(error) => Self::fatal(slf, os_error(error), "Fatal error on transport"),
        }
    }

    // Begin and end.

    /// `connection_made`, then reading starts, then the waiter is set: asyncio's order.
    fn begin(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let context = this.with(py, |state| {
            state
                .context
                .as_ref()
                .map(|context| context.bind(py).clone())
        });
        let mut interrupt = Ok(());
        if let (Some(protocol), Some(context)) = (this.protocol(py), context) {
            let made = context::run_in(context::copy(&context)?.bind(py), || {
                protocol
                    .call_method1(intern!(py, "connection_made"), (slf,))
                    .map(drop)
            });
            if let Err(error) = made {
                interrupt = report_call(
                    event_loop,
                    &protocol,
                    "connection_made",
                    slf.as_any(),
                    error,
                );
            }
        }
        let waiter = this.with(py, |state| {
            if state.reading == Reading::NotStarted {
                state.reading = Reading::Open;
            }
            state.rare.as_mut().and_then(|rare| rare.waiter.take())
        });
        let started = Self::settle_watch(slf, event_loop);
        if let Some(waiter) = waiter {
            imports(py)?
                .set_result_unless_cancelled
                .bind(py)
                .call1((waiter, py.None()))?;
        }
        interrupt.and(started)
    }

    /// Ends the connection for `error`: the protocol is told in a later step. An `OSError` is the network's doing
    /// and only debug mode tells of it; anything else goes to the exception handler.
    ///
    /// # Errors
    /// `error` itself when it is SystemExit or KeyboardInterrupt, and then nothing ends.
    #[cold]
    pub(super) fn fatal(slf: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let py = slf.py();
        if error.is_instance_of::<PySystemExit>(py)
            || error.is_instance_of::<PyKeyboardInterrupt>(py)
        {
            return Err(error);
        }
        let exception = error.into_value(py).into_any();
        Self::report_fatal(slf, exception.bind(py), message)?;
        Self::force_close(slf, Some(exception))
    }

    /// Tells of a fatal error, by asyncio's `_fatal_error` rules.
    pub(super) fn report_fatal(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        message: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else {
            return Ok(());
        };
        if exception.is_instance_of::<PyOSError>() {
            if event_loop.get().debug(py) {
                let options = PyDict::new(py);
                options.set_item(intern!(py, "exc_info"), exception)?;
                let logger = logger(py)?;
                logger.call_method(
                    intern!(py, "debug"),
                    ("%r: %s", slf, message),
                    Some(&options),
                )?;
            }
            return Ok(());
        }
        Self::report_failure(slf, exception, message)
    }

    /// Tells the exception handler of `exception`.
    pub(super) fn report_failure(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        message: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else {
            return Ok(());
        };
        let report = PyDict::new(py);
        report.set_item(intern!(py, "message"), message)?;
        report.set_item(intern!(py, "exception"), exception)?;
        report.set_item(intern!(py, "transport"), slf)?;
        report.set_item(intern!(py, "protocol"), slf.get().protocol(py))?;
        call_exception_handler(event_loop.as_any(), &report)
    }

    /// Ends the connection at once: what the kernel has not taken is forgotten, and the protocol is told in a later
    /// step.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    pub(super) fn force_close(slf: &Bound<'_, Self>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        // Whatever was written in this turn would have been sent by now.
        if this.with(py, |state| {
            std::mem::take(&mut state.unsent) && !state.lifecycle.is_closed()
        }) {
            let _best_effort = Self::offer(slf);
        }
        if this.with(py, |state| state.lifecycle.abort()) == Abort::Ignored {
            return Ok(());
        }
        let forgotten = this.with(py, |state| {
            state.wants_room = false;
            state.buffer.clear()
        });
        drop(forgotten);
        Self::schedule_lost(slf, exception)
    }

    /// Schedules `connection_lost`: the lifecycle has just answered that it is to be called.
    pub(super) fn schedule_lost(
        slf: &Bound<'_, Self>,
        exception: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = context::copy_current(py)?;
        let this = slf.get();
        let before = this.with(py, |state| {
            state.lost_count += 1;
            let rare = state.rare.get_or_insert_default();
            let before = (rare.lost_exception.take(), rare.lost_context.take());
            rare.lost_exception = exception;
            rare.lost_context = Some(context);
            before
        });
        drop(before);
        let Some(event_loop) = this.event_loop(py) else {
            return Ok(());
        };
        // What epoll has to say against it no longer matters.
        let _ended = Self::rewatch(slf, &event_loop);
        Self::schedule(slf, &event_loop, Signal::Lost)
    }

    /// Tells the protocol that the connection is lost, once, and gives everything back.
    pub(super) fn lost(slf: &Bound<'_, Self>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (report, scheduled, context) = this.with(py, |state| {
            let report = state.lifecycle.report_lost();
            let rare = state.rare.as_deref_mut();
            let (scheduled, context) = rare.map_or((None, None), |rare| {
                (rare.lost_exception.take(), rare.lost_context.take())
            });
            (report, scheduled, context)
        });
        if report == Lost::AlreadyReported {
            return Ok(());
        }
        let mut told = Ok(());
        if let Some(protocol) = this.protocol(py) {
            let exception = exception.or(scheduled);
            let call = || {
                protocol
                    .call_method1(intern!(py, "connection_lost"), (exception,))
                    .map(drop)
            };
            told = match &context {
                Some(context) => context::run_in_or_copy(context.bind(py), call),
                None => call(),
            };
        }
        let closed = Self::give_back(slf);
        told.and(closed)
    }

    /// Gives the descriptor and everything else back: nothing happens on this transport any more.
    fn give_back(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.unwatch(py);
        let (socket, server, empty_waiter, rest) = this.with(py, |state| {
            state.wants_room = false;
            let rare = state.rare.take();
            let empty_waiter = rare.and_then(|rare| rare.empty_waiter);
            let rest = (
                state.protocol.take(),
                state.event_loop.take(),
                state.context.take(),
                std::mem::take(&mut state.buffer),
            );
            (
                std::mem::replace(&mut state.socket, Socket::Closed),
                state.server.take(),
                empty_waiter,
                rest,
            )
        });
        let closed = socket.close(py);
        drop(rest);
        let detached = match server {
            Some(server) => detach(slf, server.bind(py)),
            None => Ok(()),
        };
        if let Some(waiter) = empty_waiter.map(|waiter| waiter.into_bound(py))
            && !waiter.call_method0(intern!(py, "done"))?.is_truthy()?
        {
            let error = PyConnectionError::new_err("Connection is closed by peer");
            waiter.call_method1(intern!(py, "set_exception"), (error.into_value(py),))?;
        }
        closed.and(detached)
    }

    // The object's own end.

    /// Whether the finalizer has anything to do.
    pub fn is_open(&self, py: Python<'_>) -> bool {
        self.with(py, |state| !state.socket.is_closed())
    }

    /// The finalizer: an open transport that nobody holds is warned of and closed.
    pub fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().is_open(py) {
            return Ok(());
        }
        let warned = Self::warn_unclosed(slf);
        let _told_or_not = slf.get().with(py, |state| {
            let _once = state.lifecycle.abort();
            state.lifecycle.report_lost()
        });
        warned.and(Self::give_back(slf))
    }

    fn warn_unclosed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let options = PyDict::new(py);
        options.set_item(intern!(py, "source"), slf)?;
        let text = format!("unclosed transport {}", slf.repr()?.to_string_lossy());
        let category = py.get_type::<PyResourceWarning>();
        let warn = py
            .import(intern!(py, "warnings"))?
            .getattr(intern!(py, "warn"))?;
        warn.call((text, category), Some(&options)).map(drop)
    }

    /// Shows the collector what is inside.
    #[allow(unsafe_code)]
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        let state = unsafe { self.state.traverse() };
        visit.call(&state.event_loop)?;
        visit.call(&state.protocol)?;
        visit.call(&state.context)?;
        visit.call(&state.server)?;
        visit.call(&state.extra)?;
        if let Socket::Python(socket) = &state.socket {
            visit.call(socket)?;
        }
        if let Some(rare) = &state.rare {
            visit.call(&rare.waiter)?;
            visit.call(&rare.empty_waiter)?;
            visit.call(&rare.lost_exception)?;
            visit.call(&rare.lost_context)?;
        }
        Ok(())
    }

    /// Breaks the cycles it is in; the finalizer has run.
    pub(super) fn clear(&self, py: Python<'_>) {
        self.unwatch(py);
        let cleared = self.with(py, |state| {
            (
                (
                    state.event_loop.take(),
                    state.protocol.take(),
                    state.context.take(),
                    state.server.take(),
                ),
                (state.extra.take(), state.rare.take()),
                (
                    std::mem::replace(&mut state.socket, Socket::Closed),
                    std::mem::take(&mut state.buffer),
                ),
            )
        });
        drop(cleared);
    }
}

/// How `protocol` takes bytes.
pub(super) fn reception_of(protocol: &Bound<'_, PyAny>) -> PyResult<Reception> {
    Ok(
        match protocol.is_instance(
            imports(protocol.py())?
                .buffered_protocol
                .bind(protocol.py()),
        )? {
            true => Reception::Buffered,
            false => Reception::Data,
        },
    )
}

fn detach(transport: &Bound<'_, StreamTransport>, server: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = server.py();
    match interop::version(py)?.server_takes_transport {
        true => server.call_method1(intern!(py, "_detach"), (transport,)),
        false => server.call_method0(intern!(py, "_detach")),
    }
    .map(drop)
}

/// Tells the exception handler that `object.name(argument)` raised, as if a Handle had run it.
///
/// # Errors
/// `error` itself when it is SystemExit or KeyboardInterrupt.
#[cold]
fn report_call(
    event_loop: &Bound<'_, EventLoop>,
    object: &Bound<'_, PyAny>,
    name: &str,
    argument: &Bound<'_, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = object.py();
    // A protocol without the method: asyncio would have failed before it had a handle.
    let callback = object.getattr(name).unwrap_or_else(|_| object.clone());
    let args = PyTuple::new(py, [argument])?;
    let handle = Bound::new(
        py,
        Handle::new(
            LoopRef::of(event_loop),
            callback.clone(),
            args.clone(),
            None,
        )?,
    )?;
    Handle::report(
        handle.as_any(),
        &callback,
        &args,
        event_loop.as_any(),
        error,
    )
}

/// What asyncio's transports log through: asked each time, as tests and programs replace it.
pub fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "asyncio.selector_events"))?
        .getattr(intern!(py, "logger"))
}
