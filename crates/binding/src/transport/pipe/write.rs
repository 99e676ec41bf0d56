//! The writing end: what `connect_write_pipe` gives.

#![allow(unsafe_code)]

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyNotImplementedError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView};
use riata_engine::driver::{Interest, Readiness};
use riata_engine::error::Error;
use riata_engine::net::{self, PipeKind};
use riata_engine::stream::{Close, Drained, Flow, Watermarks, WriteBuffer};

use crate::cell::GilCell;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::event_loop::watch::Watcher;
use crate::imports::imports;
use crate::transport::debug_log::log;
use crate::transport::endpoint::{Core, Endpoint};
use crate::transport::flow;
use crate::transport::memory::Chunk;
use crate::transport::shared_surface::{pipe_surface, sending_surface};
use crate::transport::socket::borrow;
use crate::transport::surface::{bytes_of, limit};

/// Chunks that are written in one call: 1 KiB of slices on the stack. More take another call.
const SLICES: usize = 64;

/// Writes to a lost connection that are let pass: asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES.
const UNTOLD_LOST_WRITES: u32 = 5;

/// What an attempt to write gave.
enum Written {
    /// So many bytes are with the kernel, fewer than were offered perhaps.
    Bytes(usize),
    Failed(Error),
}

struct State {
    core: Core,
    buffer: WriteBuffer<Chunk>,
    watermarks: Watermarks,
    /// The descriptor becomes readable when nobody reads the pipe any more. A terminal's may at any time.
    tells_of_readers: bool,
    /// asyncio's `_conn_lost`: the error that ended it, and the writes that came afterwards.
    lost_count: u32,
}

/// The writing end of a pipe with its protocol: what `asyncio.WriteTransport` documents.
#[pyclass(
    frozen,
    weakref,
    dict,
    name = "WritePipeTransport",
    module = "riata._native"
)]
pub struct WritePipeTransport {
    state: GilCell<State>,
}

impl Endpoint for WritePipeTransport {
    const CLASS: &'static str = "_UnixWritePipeTransport";
    const LOGGER: &'static str = super::LOGGER;

    fn core<R>(&self, py: Python<'_>, body: impl FnOnce(&mut Core) -> R) -> R {
        self.state.with(py, |state| body(&mut state.core))
    }

    fn wanted(&self, py: Python<'_>) -> Interest {
        self.state.with(py, |state| {
            let mut wanted = Interest::NONE;
            if state.core.lifecycle.is_closed() {
                return wanted;
            }
            if state.tells_of_readers && state.core.started {
                wanted = wanted | Interest::READABLE;
            }
            if !state.buffer.is_empty() {
                wanted = wanted | Interest::WRITABLE;
            }
            wanted
        })
    }

    fn watcher(slf: &Bound<'_, Self>) -> Watcher {
        Watcher::WritePipe(slf.clone().unbind())
    }

    fn forget_unwritten(&self, py: Python<'_>) {
        let forgotten = self.state.with(py, |state| state.buffer.clear());
        drop(forgotten);
    }

    fn respond(slf: &Bound<'_, Self>, readiness: Readiness) -> PyResult<()> {
        let py = slf.py();
        let wanted = slf.get().wanted(py);
        if wanted.is_none() {
            return Self::settle_watch(slf);
        }
        if readiness.wakes_reader() && wanted.contains(Interest::READABLE) {
            return Self::readers_left(slf);
        }
        if readiness.wakes_writer() && wanted.contains(Interest::WRITABLE) {
            return slf
                .get()
                .in_writers_context(py, || Self::write_waiting(slf));
        }
        Ok(())
    }
}

impl WritePipeTransport {
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
        let refusal = "Pipe transport is only for pipes, sockets and character devices";
        let (core, kind) = super::open(event_loop, pipe, protocol, extra, refusal)?;
        let state = State {
            core,
            buffer: WriteBuffer::new(),
            watermarks: Watermarks::new(),
            tells_of_readers: kind != PipeKind::CharacterDevice,
            lost_count: 0,
        };
        let state = GilCell::new(state);
        let transport = Bound::new(event_loop.py(), Self { state })?;
        Self::begin(&transport, event_loop, waiter)?;
        Ok(transport)
    }

    /// Nobody reads the pipe any more.
    fn readers_left(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        log(slf, intern!(py, "info"), "%r was closed by peer")?;
        let exception = match slf.get().buffered(py) {
            0 => None,
            _ => Some(PyBrokenPipeError::new_err(()).into_value(py)),
        };
        Self::abandon(slf, exception.map(|error| error.into_bound(py).into_any()))
    }

    fn buffered(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.buffer.len())
    }

    /// Offers `bytes` to the kernel.
    fn offer(&self, py: Python<'_>, bytes: &[u8]) -> Written {
        self.attempt(py, |fd, _| net::write(fd, bytes))
    }

    /// Offers what waits to the kernel, in one call.
    fn offer_waiting(&self, py: Python<'_>) -> Written {
        self.attempt(py, |fd, state| {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = state.buffer.io_slices(&mut slices);
            match &slices[..used] {
                [only] => net::write(fd, only),
                several => net::write_vectored(fd, several),
            }
        })
    }

    fn attempt(
        &self,
        py: Python<'_>,
        write: impl FnOnce(BorrowedFd<'_>, &mut State) -> Result<usize, Error>,
    ) -> Written {
        let written = self.live_fd(py).and_then(|fd| {
            self.state
                // SAFETY: B7: `live_fd` has just said so.
                .with(py, |state| write(unsafe { borrow(fd) }, state))
        });
        match written {
            Ok(count) => Written::Bytes(count),
            Err(error) if error.is_would_block() || error.is_interrupted() => Written::Bytes(0),
            Err(error) => Written::Failed(error),
        }
    }

    /// There is room for what waits.
    fn write_waiting(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let count = match this.offer_waiting(py) {
            Written::Bytes(count) => count,
            Written::Failed(error) => {
                this.forget_unwritten(py);
                return Self::write_failed(slf, error);
            }
        };
        let mut finished = Vec::new();
        let left = this.state.with(py, |state| {
            state.buffer.advance(count, &mut finished);
            state.buffer.len()
        });
        drop(finished);
        if left > 0 {
            return Ok(());
        }
        Self::settle_watch(slf)?;
        let flow = this.state.with(py, |state| state.watermarks.after_drain(0));
        Self::tell_flow(slf, flow)?;
        // `resume_writing` may have written more.
        if this.buffered(py) > 0 {
            return Ok(());
        }
        match this.core(py, |core| core.lifecycle.drained()) {
            Drained::Report => Self::lost(slf, None),
            Drained::Idle | Drained::ShutDown => Ok(()),
        }
    }

    fn tell_flow(slf: &Bound<'_, Self>, flow: Flow) -> PyResult<()> {
        let py = slf.py();
        let (event_loop, protocol) = (slf.get().event_loop(py), slf.get().protocol(py));
        flow::tell(event_loop.as_ref(), slf.as_any(), protocol.as_ref(), flow)
    }

    fn pause_if_full(slf: &Bound<'_, Self>) -> PyResult<()> {
        let flow = slf.get().state.with(slf.py(), |state| {
            state.watermarks.after_growth(state.buffer.len())
        });
        Self::tell_flow(slf, flow)
    }

    fn write_failed(slf: &Bound<'_, Self>, error: Error) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.lost_count += 1);
        let exception = os_error(error).into_value(py).into_bound(py).into_any();
        Self::fatal(slf, &exception, "Fatal write error on pipe transport")
    }

    /// A write to a pipe that is closed: dropped, and from the fifth on told of.
    fn note_lost_write(&self, py: Python<'_>) -> PyResult<()> {
        let before = self.state.with(py, |state| {
            let before = state.lost_count;
            state.lost_count = before.saturating_add(1);
            before
        });
        if before >= UNTOLD_LOST_WRITES {
            let text = "pipe closed by peer or os.write(pipe, data) raised exception.";
            Self::logger(py)?.call_method1(intern!(py, "warning"), (text,))?;
        }
        Ok(())
    }
}

#[pymethods]
impl WritePipeTransport {
    /// asyncio's transport class: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports(py)?.unix_write_pipe_transport.clone_ref(py))
    }

    /// Write some data bytes to the pipe: at once as far as it has room, the rest when it has.
    ///
    /// Raises AssertionError for what is not bytes-like, as asyncio's does.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if !data.is_instance_of::<PyBytes>()
            && !data.is_instance_of::<PyByteArray>()
            && !data.is_instance_of::<PyMemoryView>()
        {
            let text = data.repr()?.to_string_lossy().into_owned();
            return Err(PyAssertionError::new_err(text));
        }
        let data = bytes_of(data)?;
        let this = slf.get();
        let bytes = data.as_bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        if this.is_closing(py) {
            return this.note_lost_write(py);
        }
        let waits = this.buffered(py) > 0;
        let mut count = 0;
        if !waits {
            count = match this.offer(py, bytes) {
                Written::Bytes(count) => count,
                Written::Failed(error) => return Self::write_failed(slf, error),
            };
            if count == bytes.len() {
                return Ok(());
            }
        }
        this.state.with(py, |state| {
            state.buffer.push(Chunk::new(data.clone()));
            // It is not the whole chunk, which the buffer keeps.
            state.buffer.advance(count, &mut Vec::new());
        });
        if !waits {
            this.note_writer(py)?;
            Self::settle_watch(slf)?;
        }
        Self::pause_if_full(slf)
    }

    /// Write a list (or any iterable) of data bytes to the pipe.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let joined = PyBytes::new(py, b"").call_method1(intern!(py, "join"), (list_of_data,))?;
        Self::write(slf, &joined)
    }

    /// Nothing is read here: raises NotImplementedError, as asyncio's does.
    fn pause_reading(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// See pause_reading().
    fn resume_reading(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// See pause_reading().
    fn is_reading(&self) -> PyResult<bool> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// Close the pipe after flushing what was written: its reader sees the end.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let close = slf.get().state.with(slf.py(), |state| {
            state.core.lifecycle.close(state.buffer.len())
        });
        match close {
            Close::Ignored | Close::StopReading => Ok(()),
            Close::StopAndReport => Self::schedule_lost(slf, None),
        }
    }

    /// Return True: a pipe has an end.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close the transport: what was written still goes out, then connection_lost(None) is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::write_eof(slf)
    }

    /// Return how many bytes wait to be written.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.buffered(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let more = format!("bufsize={}", self.buffered(py));
        self.describe(py, Interest::WRITABLE, Some(more))
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.lost_count)
    }
}

pipe_surface!(WritePipeTransport);
sending_surface!(WritePipeTransport);
