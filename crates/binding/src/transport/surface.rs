//! The methods of `asyncio.Transport`, with asyncio's checks and texts.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::Interest;
use riata_engine::stream::Admission;

use super::extra::replaced_method;
use super::memory::Chunk;
use super::stream::{StreamTransport, logger, reception_of};
use crate::context;
use crate::imports::imports;
use crate::unwritten::is_unwritten;
use crate::version::version;

impl StreamTransport {
    /// Refuses a write that may not be.
    fn check_write(
        &self,
        py: Python<'_>,
        after_eof: &'static str,
        sending_file: &'static str,
    ) -> PyResult<()> {
        let (admission, lent) = self.with(py, |state| {
            let lent = state
                .rare
                .as_ref()
                .is_some_and(|rare| rare.empty_waiter.is_some());
            (state.lifecycle.admit_write(), lent)
        });
        match admission {
            Admission::AfterEof => Err(PyRuntimeError::new_err(after_eof)),
            _ if lent => Err(PyRuntimeError::new_err(sending_file)),
            Admission::Accepted | Admission::Discarded => Ok(()),
        }
    }

    /// Writes `chunks`, none of them empty.
    ///
    /// # Errors
    /// RuntimeError after write_eof() and during sendfile; SystemExit and KeyboardInterrupt that the protocol raised.
    pub(super) fn write_chunks(
        slf: &Bound<'_, Self>,
        chunks: Vec<Bound<'_, PyBytes>>,
    ) -> PyResult<()> {
        slf.get().check_write(
            slf.py(),
            "Cannot call write() after write_eof()",
            "unable to write; sendfile is in progress",
        )?;
        Self::enqueue(slf, chunks.into_iter().map(Chunk::new))
    }

    fn log(slf: &Bound<'_, Self>, text: &str) -> PyResult<()> {
        let py = slf.py();
        match slf.get().event_loop(py) {
            Some(event_loop) if event_loop.get().debug(py) => logger(py)?
                .call_method1(intern!(py, "debug"), (text, slf))
                .map(drop),
            _ => Ok(()),
        }
    }
}

/// The bytes of what a program writes: a bytes object as it is, a copy of what may change.
pub(super) fn bytes_of<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    match data.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.clone()),
        Err(_) => data
            .py()
            .get_type::<PyBytes>()
            .call1((data,))?
            .cast_into()
            .map_err(PyErr::from),
    }
}

/// A number of bytes as a program gives it: an int, or a float such as infinity.
pub(super) fn limit(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    match value.extract::<i64>() {
        Ok(limit) => Ok(limit),
        // `as` keeps to the range.
        Err(_) => value.extract::<f64>().map(|limit| limit as i64),
    }
}

#[pymethods]
impl StreamTransport {
    /// asyncio's transport class: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports(py)?.selector_socket_transport.clone_ref(py))
    }

    /// Write some data bytes to the transport: they are sent at the end of the loop's turn, in order.
    ///
    /// Raises TypeError for what is not bytes-like, RuntimeError after write_eof().
    pub fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let is_bytes = data.is_instance_of::<PyBytes>();
        if !is_bytes
            && !data.is_instance_of::<PyByteArray>()
            && !data.is_instance_of::<PyMemoryView>()
        {
            return Err(PyTypeError::new_err(format!(
                "data argument must be a {}, not {}",
                version(py)?.bytes_like_text,
                data.get_type().name()?.repr()?.to_string_lossy()
            )));
        }
        slf.get().check_write(
            py,
            "Cannot call write() after write_eof()",
            "unable to write; sendfile is in progress",
        )?;
        let bytes = bytes_of(data)?;
        if bytes.as_bytes().is_empty() {
            return Ok(());
        }
        Self::enqueue(slf, [Chunk::new(bytes)])
    }

    /// Write a list (or any iterable) of data bytes to the transport.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if version(py)?.writelines_joins {
            let joined =
                PyBytes::new(py, b"").call_method1(intern!(py, "join"), (list_of_data,))?;
            return Self::write(slf, &joined);
        }
        slf.get().check_write(
            py,
            "Cannot call writelines() after write_eof()",
            "unable to writelines; sendfile is in progress",
        )?;
        if !list_of_data.is_truthy()? {
            return Ok(());
        }
        let mut chunks = Vec::new();
        for data in list_of_data.try_iter()? {
            let data = data?;
            let bytes = match data.is_instance_of::<PyBytes>() {
                true => bytes_of(&data)?,
                false => bytes_of(PyMemoryView::from(&data)?.as_any())?,
            };
            if !bytes.as_bytes().is_empty() {
                chunks.push(Chunk::new(bytes));
            }
        }
        match chunks.is_empty() {
            true => Ok(()),
            false => Self::enqueue(slf, chunks),
        }
    }

    /// Close the write end after flushing what was written; data may still be received.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::end_writing(slf)
    }

    /// Return True: a stream socket has a write end to close.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close the transport: what was written is still sent, then connection_lost(None) is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::shut(slf)
    }

    /// Close the transport at once: what the kernel has not taken is lost.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::force_close(slf, None)
    }

    /// Return True if the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.lifecycle.is_closing())
    }

    /// Return True if the transport is receiving.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.with(py, |state| !state.lifecycle.is_closing() && !state.paused)
    }

    /// Pause the receiving end: no data_received() until resume_reading().
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().is_reading(py) {
            return Ok(());
        }
        slf.get().with(py, |state| state.paused = true);
        if let Some(event_loop) = slf.get().event_loop(py) {
            Self::hold(slf, &event_loop);
        }
        Self::log(slf, "%r pauses reading")
    }

    /// Resume the receiving end.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().with(py, |state| {
            state.lifecycle.is_closing() || !std::mem::take(&mut state.paused)
        }) {
            return Ok(());
        }
        if !version(py)?.streams_keep_context {
            // What comes now is told in the context that asked for it, as an `add_reader` is.
            let context = Some(context::copy_current(py)?);
            let before = slf
                .get()
                .with(py, |state| std::mem::replace(&mut state.context, context));
            drop(before);
        }
        if let Some(event_loop) = slf.get().event_loop(py) {
            Self::settle_watch(slf, &event_loop)?;
        }
        Self::log(slf, "%r resumes reading")
    }

    /// Set the high- and low-water limits for write flow control, in bytes; high >= low >= 0.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<&Bound<'_, PyAny>>,
        low: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (high, low) = (high.map(limit).transpose()?, low.map(limit).transpose()?);
        slf.get()
            .with(slf.py(), |state| state.watermarks.set(high, low))
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Self::send_unsent(slf)?;
        Self::pause_if_full(slf)
    }

    /// Return the (low, high) watermarks, in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (i64, i64) {
        self.with(py, |state| state.watermarks.limits())
    }

    /// Return how many bytes wait to be sent: what the kernel would not take.
    fn get_write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Self::send_unsent(slf)?;
        Ok(slf.get().with(slf.py(), |state| state.buffer.len()))
    }

    /// Get optional transport information: "socket", "sockname", "peername".
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match replaced_method(slf.as_any())? {
            Some(method) => match default {
                Some(default) => method.call1((name, default)).map(Some),
                None => method.call1((name,)).map(Some),
            },
            None => Ok(Self::extra_info(slf, name)?.or(default)),
        }
    }

    /// Return the current protocol.
    fn get_protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.protocol(py).map(Bound::unbind)
    }

    /// Set a new protocol: it gets what arrives from now on.
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let reception = reception_of(protocol)?;
        let before = self.with(protocol.py(), |state| {
            state.reception = reception;
            state.protocol.replace(protocol.clone().unbind())
        });
        drop(before);
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (closed, closing, fd, size, wants_room, wanted) = self.with(py, |state| {
            let (closed, closing) = (state.socket.is_closed(), state.lifecycle.is_closing());
            (
                closed,
                closing,
                state.fd,
                state.buffer.len(),
                state.wants_room,
                state.wanted(),
            )
        });
        let state = match (closed, closing) {
            (true, _) => " closed",
            (false, true) => " closing",
            (false, false) => "",
        };
        let polling = |polls: bool| if polls { "polling" } else { "idle" };
        let running = self
            .event_loop(py)
            .is_some_and(|event_loop| event_loop.get().check_closed(py).is_ok());
        let flow = match running {
            true => {
                let read = polling(wanted.contains(Interest::READABLE));
                format!(
                    " read={read} write=<{}, bufsize={size}>",
                    polling(wants_room)
                )
            }
            false => String::new(),
        };
        format!("<_SelectorSocketTransport{state} fd={fd}{flow}>")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        self.traverse(&visit)
    }

    fn __clear__(&self) {
        Python::attach(|py| self.clear(py));
    }
}
