//! What transports over an object that owns a descriptor have in common: pipes' ends and datagram sockets.

use std::os::fd::RawFd;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyClass, PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, Readiness, WatchKey};
use riata_engine::error::Error;
use riata_engine::stream::{Abort, Lifecycle, Lost};

use crate::context;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::event_loop::watch::{Unowned, Watcher};
use crate::event_loop::work::LoopRef;
use crate::handle::Handle;
use crate::imports::imports;
use crate::transport::debug_log::log_error;
use crate::transport::flow::{self, is_interrupt};
use crate::transport::life::warn_unclosed;
use crate::transport::socket::check_owner;
use crate::unwind;

/// What is said of a descriptor that is not open.
pub const CLOSED: Error = Error {
    call: "fileno",
    errno: libc::EBADF,
};

/// What all of them hold.
pub struct Core {
    /// None once lost.
    pub event_loop: Option<Py<EventLoop>>,
    /// None once lost.
    pub protocol: Option<Py<PyAny>>,
    /// The context in which events are told; None once lost.
    context: Option<Py<PyAny>>,
    /// The context of the write that had to wait for room: what becomes of it is told in the same.
    writer_context: Option<Py<PyAny>>,
    /// What `get_extra_info` knows.
    pub extra: Option<Py<PyDict>>,
    /// The object that owns the descriptor; None once closed.
    pub owner: Option<Py<PyAny>>,
    /// The descriptor's number, kept when it is closed: `repr` shows it.
    pub fd: RawFd,
    /// Its place in the loop's table.
    pub key: Option<WatchKey>,
    pub lifecycle: Lifecycle,
    /// `connection_made` was called.
    pub started: bool,
}

impl Core {
    /// What a transport over `owner` begins with; `fd` is the owner's descriptor.
    ///
    /// # Errors
    /// MemoryError.
    pub fn new(
        event_loop: &Bound<'_, EventLoop>,
        owner: &Bound<'_, PyAny>,
        fd: RawFd,
        protocol: &Bound<'_, PyAny>,
        extra: Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        Ok(Self {
            event_loop: Some(event_loop.clone().unbind()),
            protocol: Some(protocol.clone().unbind()),
            context: Some(context::copy_current(owner.py())?),
            writer_context: None,
            extra: Some(extra.unbind()),
            owner: Some(owner.clone().unbind()),
            fd,
            key: None,
            lifecycle: Lifecycle::new(),
            started: false,
        })
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.protocol)?;
        visit.call(&self.context)?;
        visit.call(&self.writer_context)?;
        visit.call(&self.extra)?;
        visit.call(&self.owner)
    }
}

/// One of the classes.
pub trait Endpoint: PyClass<Frozen = True> + Sync {
    /// asyncio's class, whose name `repr` shows.
    const CLASS: &'static str;

    /// The module of asyncio's whose `logger` it logs through.
    const LOGGER: &'static str;

    /// Opens the common part for a moment: see `GilCell::with`.
    fn core<R>(&self, py: Python<'_>, body: impl FnOnce(&mut Core) -> R) -> R;

    /// What it wants to be told.
    fn wanted(&self, py: Python<'_>) -> Interest;

    /// Its place in the loop's table while it wants to be told anything.
    fn watcher(slf: &Bound<'_, Self>) -> Watcher;

    /// Takes out what was not written, to be dropped.
    fn forget_unwritten(&self, py: Python<'_>);

    /// A poll has reported something.
    ///
    /// # Errors
    /// What is to be reported as raised by a callback.
    fn respond(slf: &Bound<'_, Self>, readiness: Readiness) -> PyResult<()>;

    /// The method to be named when a protocol is slow or raises, and its arguments.
    ///
    /// # Errors
    /// MemoryError.
    fn ready_call<'py>(
        slf: &Bound<'py, Self>,
        readiness: Readiness,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let method = slf.as_any().getattr(intern!(py, "_ready"))?;
        Ok((method, PyTuple::new(py, [readiness.bits()])?))
    }

    /// What asyncio's twin logs through: asked each time, as tests and programs replace it.
    ///
    /// # Errors
    /// ImportError, AttributeError.
    fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        py.import(Self::LOGGER)?.getattr(intern!(py, "logger"))
    }

    /// The loop, until the connection is lost.
    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, EventLoop>> {
        self.core(py, |core| {
            core.event_loop
                .as_ref()
                .map(|event_loop| event_loop.bind(py).clone())
        })
    }

    /// The protocol, until the connection is lost.
    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.core(py, |core| {
            core.protocol
                .as_ref()
                .map(|protocol| protocol.bind(py).clone())
        })
    }

    /// Replaces the protocol.
    fn replace_protocol(&self, protocol: &Bound<'_, PyAny>) {
        let before = self.core(protocol.py(), |core| {
            core.protocol.replace(protocol.clone().unbind())
        });
        drop(before);
    }

    /// Whether `close` was called, or the connection is lost.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.core(py, |core| core.lifecycle.is_closing())
    }

    /// Schedules `connection_made`, `_start` and the waiter's answer: asyncio's order.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed; AttributeError for what is no protocol.
    fn begin(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        waiter: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(protocol) = slf.get().protocol(py) else {
            return Ok(());
        };
        let made = protocol.getattr(intern!(py, "connection_made"))?;
        call_soon(event_loop, (made, slf))?;
        call_soon(event_loop, (slf.as_any().getattr(intern!(py, "_start"))?,))?;
        match waiter {
            Some(waiter) => {
                let set_result = imports(py)?.set_result_unless_cancelled.bind(py);
                call_soon(event_loop, (set_result, waiter, py.None()))
            }
            None => Ok(()),
        }
    }

    /// Begins to wait for events: `connection_made` was called.
    ///
    /// # Errors
    /// As `settle_watch`.
    fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().core(slf.py(), |core| core.started = true);
        Self::settle_watch(slf)
    }

    /// The descriptor's number, if it is still the owner's, for one system call.
    ///
    /// # Errors
    /// EBADF when it was closed, by whomever.
    fn live_fd(&self, py: Python<'_>) -> Result<RawFd, Error> {
        let (fd, owner) = self.core(py, |core| {
            (
                core.fd,
                core.owner.as_ref().map(|owner| owner.clone_ref(py)),
            )
        });
        match owner {
            Some(owner) => check_owner(owner.bind(py), fd).map(|()| fd),
            None => Err(CLOSED),
        }
    }

    /// Makes the kernel's view, and who holds whom, what the state says.
    ///
    /// # Errors
    /// OSError: those of epoll_ctl (EBADF, ENOMEM, ENOSPC).
    fn settle_watch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(event_loop) = this.event_loop(py) else {
            return Ok(());
        };
        let (fd, key) = this.core(py, |core| (core.fd, core.key));
        let wanted = this.wanted(py);
        let Some(key) = key else {
            if wanted.is_none() {
                return Ok(());
            }
            let watcher = Self::watcher(slf);
            let added = event_loop.get().change_watchers(py, |registry, poller| {
                registry.add(poller, fd, wanted, watcher)
            });
            return match added.map_err(os_error)? {
                None => Ok(()),
                Some(Ok(key)) => {
                    this.core(py, |core| core.key = Some(key));
                    Ok(())
                }
                Some(Err(rejected)) => Err(os_error(rejected.error)),
            };
        };
        let changed = event_loop.get().change_watchers(py, |registry, poller| {
            registry.set_interest(poller, key, wanted)
        });
        Self::hold(slf);
        match changed.map_err(os_error)? {
            None | Some(Ok(())) => Ok(()),
            // A loop that was closed has forgotten it.
            Some(Err(error)) if error.errno == libc::ENOENT && wanted.is_none() => Ok(()),
            Some(Err(error)) => Err(os_error(error)),
        }
    }

    /// Lets the loop hold a reference as long as anything is wanted. No system call: what the kernel still reports of a
    /// paused transport is answered by asking it not to.
    fn hold(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else {
            return;
        };
        let Some(key) = slf.get().core(py, |core| core.key) else {
            return;
        };
        let idle = slf.get().wanted(py).is_none();
        let before = event_loop.get().registry.with(py, |registry| {
            let place = registry.get_mut(key)?;
            match (matches!(place, Watcher::Parked(_)), idle) {
                (false, true) => {
                    let parked = Watcher::Parked(Unowned::new(slf.as_any()));
                    Some(std::mem::replace(place, parked))
                }
                (true, false) => Some(std::mem::replace(place, Self::watcher(slf))),
                _ => None,
            }
        });
        drop(before);
    }

    /// Takes the transport out of the loop's table, before its descriptor is closed.
    fn unwatch(&self, py: Python<'_>) {
        let key = self.core(py, |core| core.key.take());
        let (Some(key), Some(event_loop)) = (key, self.event_loop(py)) else {
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

    /// A poll has reported something: what the protocol raises is reported as a callback's.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that the protocol raised.
    fn handle_ready(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        readiness: Readiness,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = slf.get().core(py, |core| {
            core.context
                .as_ref()
                .map(|context| context.bind(py).clone())
        });
        let Some(context) = context else {
            return Ok(());
        };
        match context::run_in_or_copy(&context, || Self::respond(slf, readiness)) {
            Err(error) => Self::report_raised(slf, event_loop, readiness, error),
            Ok(()) => Ok(()),
        }
    }

    /// What comes from now on is told in the current context, as an `add_reader` would be called in it.
    ///
    /// # Errors
    /// MemoryError.
    fn tell_in_this_context(&self, py: Python<'_>) -> PyResult<()> {
        let context = Some(context::copy_current(py)?);
        let before = self.core(py, |core| std::mem::replace(&mut core.context, context));
        drop(before);
        Ok(())
    }

    /// A write has begun to wait for room: what becomes of it is told in its context.
    ///
    /// # Errors
    /// MemoryError.
    fn note_writer(&self, py: Python<'_>) -> PyResult<()> {
        let context = Some(context::copy_current(py)?);
        let before = self.core(py, |core| {
            std::mem::replace(&mut core.writer_context, context)
        });
        drop(before);
        Ok(())
    }

    /// There is room: `body` in the context of who waits for it.
    ///
    /// # Errors
    /// What `body` gives.
    fn in_writers_context(
        &self,
        py: Python<'_>,
        body: impl FnOnce() -> PyResult<()>,
    ) -> PyResult<()> {
        let context = self.core(py, |core| {
            core.writer_context
                .as_ref()
                .map(|context| context.bind(py).clone())
        });
        match context {
            Some(context) => context::run_in_or_copy(&context, body),
            None => body(),
        }
    }

    /// Reports what a protocol has raised as a callback's.
    ///
    /// # Errors
    /// `error` itself when it is SystemExit or KeyboardInterrupt.
    #[cold]
    fn report_raised(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        readiness: Readiness,
        error: PyErr,
    ) -> PyResult<()> {
        if is_interrupt(slf.py(), &error) {
            return Err(error);
        }
        let handle = Self::ready_handle(slf, event_loop, readiness)?;
        let (callback, args) = Self::ready_call(slf, readiness)?;
        let event_loop = event_loop.as_any();
        Handle::report(handle.as_any(), &callback, &args, event_loop, error)
    }

    /// The same to come, as a handle: in debug mode, so that slow protocols are told of.
    ///
    /// # Errors
    /// MemoryError.
    fn ready_handle<'py>(
        slf: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        readiness: Readiness,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let context = slf.get().core(py, |core| {
            core.context
                .as_ref()
                .map(|context| context.bind(py).clone())
        });
        let (callback, args) = Self::ready_call(slf, readiness)?;
        let handle = Handle::new(LoopRef::of(event_loop), callback, args, context)?;
        Bound::new(py, handle)
    }

    /// Ends the connection at once: what was not written is forgotten, and the protocol is told in a later step.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    fn abandon(slf: &Bound<'_, Self>, exception: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.core(py, |core| core.lifecycle.abort()) == Abort::Ignored {
            return Ok(());
        }
        this.forget_unwritten(py);
        Self::schedule_lost(slf, exception)
    }

    /// Reports a fatal error by asyncio's rules (an OSError in debug mode alone), and ends the connection.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    fn fatal(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        let py = slf.py();
        if exception.is_instance_of::<PyOSError>() {
            log_error(slf, message, exception)?;
        } else {
            let (event_loop, protocol) = (slf.get().event_loop(py), slf.get().protocol(py));
            flow::report(
                event_loop.as_ref(),
                slf.as_any(),
                protocol.as_ref(),
                exception,
                message,
            )?;
        }
        Self::abandon(slf, Some(exception.clone()))
    }

    /// Schedules `connection_lost`: the lifecycle has just answered that it is to be called.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    fn schedule_lost(slf: &Bound<'_, Self>, exception: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        // What epoll has to say against it no longer matters.
        let _ended = Self::settle_watch(slf);
        match slf.get().event_loop(py) {
            Some(event_loop) => {
                let lost = slf.as_any().getattr(intern!(py, "_call_connection_lost"))?;
                call_soon(&event_loop, (lost, exception))
            }
            None => Ok(()),
        }
    }

    /// Tells the protocol that the connection is lost, once, and closes what is underneath.
    ///
    /// # Errors
    /// What the protocol raises, or else the owner's `close()`.
    fn lost(slf: &Bound<'_, Self>, exception: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.core(py, |core| core.lifecycle.report_lost()) == Lost::AlreadyReported {
            return Ok(());
        }
        let mut told = Ok(());
        if let Some(protocol) = this.protocol(py) {
            let exception = exception.into_pyobject(py)?;
            let lost = intern!(py, "connection_lost");
            told = unwind::call_method(&protocol, lost, [&exception]).map(drop);
        }
        told.and(this.give_back(py))
    }

    /// Closes the owner, and lets everything else go.
    ///
    /// # Errors
    /// What the owner's `close()` raises.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        self.unwatch(py);
        self.forget_unwritten(py);
        let (owner, rest) = self.core(py, |core| {
            let rest = (
                core.event_loop.take(),
                core.protocol.take(),
                core.context.take(),
                core.writer_context.take(),
            );
            (core.owner.take(), rest)
        });
        drop(rest);
        match owner {
            Some(owner) => owner.call_method0(py, intern!(py, "close")).map(drop),
            None => Ok(()),
        }
    }

    /// Whether the finalizer has anything to do.
    fn is_open(&self, py: Python<'_>) -> bool {
        // One whose owner was taken away may still be in the loop's table.
        self.core(py, |core| core.owner.is_some() || core.key.is_some())
    }

    /// The finalizer: an open transport that nobody holds is warned of and closed.
    ///
    /// # Errors
    /// The warning, where the program has made it an error; what the owner's `close()` raises.
    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().is_open(py) {
            return Ok(());
        }
        let warned = match slf.get().core(py, |core| core.owner.is_some()) {
            true => warn_unclosed(slf.as_any()),
            false => Ok(()),
        };
        let _told_or_not = slf.get().core(py, |core| {
            let _once = core.lifecycle.abort();
            core.lifecycle.report_lost()
        });
        warned.and(slf.get().give_back(py))
    }

    /// Breaks the cycles it is in; the finalizer has run.
    fn clear(&self, py: Python<'_>) {
        self.unwatch(py);
        self.forget_unwritten(py);
        let cleared = self.core(py, |core| {
            (
                core.event_loop.take(),
                core.protocol.take(),
                core.context.take(),
                core.writer_context.take(),
                core.extra.take(),
                core.owner.take(),
            )
        });
        drop(cleared);
    }

    /// `get_extra_info`.
    ///
    /// # Errors
    /// TypeError for a name that cannot be hashed.
    fn extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = name.py();
        let extra = self.core(py, |core| {
            core.extra.as_ref().map(|extra| extra.bind(py).clone())
        });
        match extra {
            Some(extra) => Ok(extra.get_item(name)?.or(default)),
            None => Ok(default),
        }
    }

    /// `repr`, in asyncio's words; `more` is said of a pipe whose loop is open.
    fn describe(&self, py: Python<'_>, polling: Interest, more: Option<String>) -> String {
        let (open, closing, fd) = self.core(py, |core| {
            (core.owner.is_some(), core.lifecycle.is_closing(), core.fd)
        });
        let mut info = vec![Self::CLASS.to_owned()];
        match (open, closing) {
            (false, _) => info.push("closed".to_owned()),
            (true, true) => info.push("closing".to_owned()),
            (true, false) => {}
        }
        info.push(format!("fd={fd}"));
        let usable = self
            .event_loop(py)
            .is_some_and(|event_loop| event_loop.get().check_closed(py).is_ok());
        match (open, usable) {
            (false, _) => info.push("closed".to_owned()),
            (true, false) => info.push("open".to_owned()),
            (true, true) => {
                let polls = self.wanted(py).contains(polling);
                info.push(if polls { "polling" } else { "idle" }.to_owned());
                info.extend(more);
            }
        }
        format!("<{}>", info.join(" "))
    }
}

/// `loop.call_soon(*call)`, whoever overrides it.
pub fn call_soon<'py>(
    event_loop: &Bound<'py, EventLoop>,
    call: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<()> {
    event_loop
        .call_method1(intern!(event_loop.py(), "call_soon"), call)
        .map(drop)
}
