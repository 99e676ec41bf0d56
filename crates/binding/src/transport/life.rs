//! How a transport begins, and how it ends: by an error, by `abort`, when everything is sent, or with its object.
//!
//! Whatever ends it, the protocol is told once and in a later step, and then everything is given back.

use pyo3::exceptions::{
    PyConnectionError, PyKeyboardInterrupt, PyOSError, PyResourceWarning, PySystemExit,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use riata_engine::stream::{Abort, Lost};

use super::flow;
use super::socket::Socket;
use super::stream::{Reading, Signal, StreamTransport, logger};
use super::tls::TlsProtocol;
use crate::context;
use crate::event_loop::EventLoop;
use crate::event_loop::work::LoopRef;
use crate::future::Future;
use crate::handle::Handle;
use crate::imports::imports;
use crate::unwind;
use crate::version::version;

impl StreamTransport {
    /// `connection_made`, then reading starts, then the waiter is set: asyncio's order.
    pub(super) fn begin(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
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
            let own = match version(py)?.streams_keep_context {
                true => context,
                false => context::copy(&context)?.into_bound(py),
            };
            let made = context::run_in_or_copy(&own, || {
                unwind::call_method(&protocol, intern!(py, "connection_made"), [slf.as_any()])
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
            set_unless_cancelled(waiter.bind(py))?;
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
    fn report_failure(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        message: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let (event_loop, protocol) = (slf.get().event_loop(py), slf.get().protocol(py));
        flow::report(
            event_loop.as_ref(),
            slf.as_any(),
            protocol.as_ref(),
            exception,
            message,
        )
    }

    /// Ends the connection at once: what the kernel has not taken is forgotten, and the protocol is told in a later
    /// step.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed.
    pub(super) fn force_close(slf: &Bound<'_, Self>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if let Some(tls) = this.tls(py) {
            TlsProtocol::encrypt_last(&tls);
        }
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
        let this = slf.get();
        let context = match version(py)?.streams_keep_context {
            true => this.context(py),
            false => Some(context::copy_current(py)?),
        };
        let before = this.with(py, |state| {
            state.lost_count += 1;
            let rare = state.rare.get_or_insert_default();
            let before = (rare.lost_exception.take(), rare.lost_context.take());
            rare.lost_exception = exception;
            rare.lost_context = context;
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
            let exception = exception.into_pyobject(py)?;
            let call = || {
                unwind::call_method(&protocol, intern!(py, "connection_lost"), [&exception])
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
    pub(super) fn give_back(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.unwatch(py);
        let (socket, server, mut rare, rest) = this.with(py, |state| {
            state.wants_room = false;
            let rest = (
                state.protocol.take(),
                state.event_loop.take(),
                state.context.take(),
                std::mem::take(&mut state.buffer),
            );
            (
                std::mem::replace(&mut state.socket, Socket::Closed),
                state.server.take(),
                state.rare.take(),
                rest,
            )
        });
        let empty_waiter = rare.as_mut().and_then(|rare| rare.empty_waiter.take());
        let closed = socket.close(py);
        drop((rest, rare));
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
        let warned = warn_unclosed(slf.as_any());
        let _told_or_not = slf.get().with(py, |state| {
            let _once = state.lifecycle.abort();
            state.lifecycle.report_lost()
        });
        warned.and(Self::give_back(slf))
    }
}

/// `futures._set_result_unless_cancelled(waiter, None)`.
fn set_unless_cancelled(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiter.py();
    match waiter.cast_exact::<Future>() {
        Ok(waiter) if !waiter.get().is_done(py) => Future::finish(waiter, py.None()),
        _ => imports(py)?
            .set_result_unless_cancelled
            .bind(py)
            .call1((waiter, py.None()))
            .map(drop),
    }
}

/// asyncio's warning of a transport that was not closed.
///
/// # Errors
/// ResourceWarning, where the program has made it an error.
pub(super) fn warn_unclosed(transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = transport.py();
    let options = PyDict::new(py);
    options.set_item(intern!(py, "source"), transport)?;
    let text = format!("unclosed transport {}", transport.repr()?.to_string_lossy());
    let category = py.get_type::<PyResourceWarning>();
    // Imported long before: a transport may die while the interpreter ends, when nothing can be.
    let warn = imports(py)?.warn.bind(py);
    warn.call((text, category), Some(&options)).map(drop)
}

fn detach(transport: &Bound<'_, StreamTransport>, server: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = server.py();
    match version(py)?.server_takes_transport {
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
