//! The reading end: what `connect_read_pipe` gives.

#![allow(unsafe_code)]

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use riata_engine::driver::{Interest, Readiness};
use riata_engine::net;
use riata_engine::stream::Abort;

use crate::cell::GilCell;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::event_loop::watch::Watcher;
use crate::imports::imports;
use crate::transport::debug_log::{log, log_error};
use crate::transport::endpoint::{Core, Endpoint, call_soon};
use crate::transport::flow;
use crate::transport::memory;
use crate::transport::read::Received;
use crate::transport::shared_surface::{pipe_surface, receiving_surface};
use crate::transport::socket::borrow;
use crate::unwind;

struct State {
    core: Core,
    /// By `pause_reading`.
    paused: bool,
}

/// The reading end of a pipe with its protocol: what `asyncio.ReadTransport` documents.
#[pyclass(
    frozen,
    weakref,
    dict,
    name = "ReadPipeTransport",
    module = "riata._native"
)]
pub struct ReadPipeTransport {
    state: GilCell<State>,
}

impl Endpoint for ReadPipeTransport {
    const CLASS: &'static str = "_UnixReadPipeTransport";
    const LOGGER: &'static str = super::LOGGER;

    fn core<R>(&self, py: Python<'_>, body: impl FnOnce(&mut Core) -> R) -> R {
        self.state.with(py, |state| body(&mut state.core))
    }

    fn wanted(&self, py: Python<'_>) -> Interest {
        self.state.with(py, |state| {
            match state.core.started && !state.paused && !state.core.lifecycle.is_closing() {
                true => Interest::READABLE,
                false => Interest::NONE,
            }
        })
    }

    fn watcher(slf: &Bound<'_, Self>) -> Watcher {
        Watcher::ReadPipe(slf.clone().unbind())
    }

    fn forget_unwritten(&self, _py: Python<'_>) {}

    fn respond(slf: &Bound<'_, Self>, readiness: Readiness) -> PyResult<()> {
        let wanted = slf.get().wanted(slf.py());
        match readiness.wakes_reader() && !wanted.is_none() {
            true => Self::read(slf),
            // Paused since it was reported: the kernel is to be asked not to.
            false => Self::settle_watch(slf),
        }
    }
}

impl ReadPipeTransport {
    /// A transport over `pipe`, whose `connection_made` is scheduled.
    ///
    /// # Errors
    /// ValueError for a regular file; as `Endpoint::begin`.
    pub fn create<'py>(
        event_loop: &Bound<'py, EventLoop>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let refusal = "Pipe transport is for pipes/sockets only.";
        let (core, _kind) = super::open(event_loop, pipe, protocol, extra, refusal)?;
        let state = State {
            core,
            paused: false,
        };
        let state = GilCell::new(state);
        let transport = Bound::new(event_loop.py(), Self { state })?;
        Self::begin(&transport, event_loop, waiter)?;
        Ok(transport)
    }

    /// Reads once and tells the protocol.
    fn read(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else {
            return Ok(());
        };
        match slf.get().receive(py, event_loop.get()) {
            Received::Data(data) => {
                let Some(protocol) = slf.get().protocol(py) else {
                    return Ok(());
                };
                let data = [data.as_any()];
                unwind::call_method(&protocol, intern!(py, "data_received"), data).map(drop)
            }
            Received::End => Self::end(slf, &event_loop),
            Received::Nothing => Ok(()),
            Received::Failed(error) => {
                let exception = os_error(error).into_value(py).into_bound(py).into_any();
                Self::fatal(slf, &exception, "Fatal read error on pipe transport")
            }
        }
    }

    /// One `read` into a bytes object.
    fn receive<'py>(
        &self,
        py: Python<'py>,
        event_loop: &EventLoop,
    ) -> Received<Bound<'py, PyBytes>> {
        let fd = match self.live_fd(py) {
            Ok(fd) => fd,
            Err(error) => return Received::Failed(error),
        };
        event_loop.scratch.with(py, |scratch| {
            let memory = scratch.memory();
            // SAFETY: B7: `live_fd` has just said so.
            match net::read_uninit(unsafe { borrow(fd) }, memory) {
                Ok(0) => Received::End,
                // SAFETY: B8: as many bytes are initialized as `read_uninit` returns.
                Ok(read) => Received::Data(unsafe { memory::copy_bytes(py, memory, read) }),
                Err(error) => Received::from_error(error),
            }
        })
    }

    /// The writers have gone: the protocol is told of the end, then that the connection is lost.
    fn end(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        log(slf, intern!(py, "info"), "%r was closed by peer")?;
        let Some(protocol) = slf.get().protocol(py) else {
            return Ok(());
        };
        if slf.get().core(py, |core| core.lifecycle.abort()) == Abort::Ignored {
            return Ok(());
        }
        let eof = protocol.getattr(intern!(py, "eof_received"));
        let told = eof.and_then(|eof| call_soon(event_loop, (eof,)));
        Self::schedule_lost(slf, None).and(told)
    }

    /// Reports a fatal error by asyncio's rules, and ends the connection. EIO is what a terminal says whose other side
    /// has gone: only debug mode tells of it.
    fn fatal(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        let py = slf.py();
        let is_end = exception.is_instance_of::<PyOSError>()
            && exception.getattr(intern!(py, "errno"))?.eq(libc::EIO)?;
        if is_end {
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
}

#[pymethods]
impl ReadPipeTransport {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const max_size: usize = 256 * 1024;

    /// asyncio's transport class: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports(py)?.unix_read_pipe_transport.clone_ref(py))
    }

    /// Close the transport: connection_lost(None) is called in a later step, then the pipe is closed.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::abandon(slf, None)
    }

    /// Resume the receiving end.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state.with(py, |state| {
            state.core.lifecycle.is_closing() || !std::mem::take(&mut state.paused)
        }) {
            return Ok(());
        }
        slf.get().tell_in_this_context(py)?;
        Self::settle_watch(slf)?;
        log(slf, intern!(py, "debug"), "%r resumes reading")
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        self.describe(py, Interest::READABLE, None)
    }
}

pipe_surface!(ReadPipeTransport);
receiving_surface!(ReadPipeTransport);
