//! The transport that the program gets: asyncio's `_SSLProtocolTransport`.

use pyo3::exceptions::{PyNotImplementedError, PyResourceWarning, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use pyo3::{PyTraverseError, PyVisit};

use super::objects::objects;
use super::protocol::{TlsProtocol, kibibytes};
use crate::cell::GilCell;
use crate::event_loop::EventLoop;
use crate::imports::imports;
use crate::transport::surface::{bytes_of, limit};
use crate::unwritten::is_unwritten;
use crate::version::version;

/// What changes in a transport's life.
struct State {
    event_loop: Option<Py<EventLoop>>,
    /// None once the connection is lost and `close` was called again: nothing of the connection is held any more.
    protocol: Option<Py<TlsProtocol>>,
    /// `close` was called, or the connection has ended.
    closed: bool,
    /// It was called again: asyncio's `_ssl_protocol` is None from then on.
    closed_again: bool,
}

/// A TLS connection with its protocol: what `asyncio.Transport` documents.
#[pyclass(frozen, weakref, dict, name = "TlsTransport", module = "riata._native")]
pub struct TlsTransport {
    state: GilCell<State>,
}

impl TlsTransport {
    /// The transport of `protocol`.
    ///
    /// # Errors
    /// MemoryError.
    pub(super) fn create<'py>(
        event_loop: &Bound<'py, EventLoop>,
        protocol: &Bound<'py, TlsProtocol>,
    ) -> PyResult<Bound<'py, Self>> {
        Bound::new(
            event_loop.py(),
            Self {
                state: GilCell::new(State {
                    event_loop: Some(event_loop.clone().unbind()),
                    protocol: Some(protocol.clone().unbind()),
                    closed: false,
                    closed_again: false,
                }),
            },
        )
    }

    /// The protocol that it hands everything to, while it has one.
    pub(super) fn protocol(&self, py: Python<'_>) -> Option<Py<TlsProtocol>> {
        self.state.with(py, |state| {
            let protocol = state.protocol.as_ref();
            protocol.map(|protocol| protocol.clone_ref(py))
        })
    }

    fn below<'py>(&self, py: Python<'py>) -> Option<Bound<'py, TlsProtocol>> {
        self.protocol(py).map(|protocol| protocol.into_bound(py))
    }

    /// The connection has ended, or is about to.
    pub(super) fn mark_closed(&self, py: Python<'_>) {
        self.state.with(py, |state| state.closed = true);
    }

    /// The connection is lost.
    pub(super) fn end(&self, py: Python<'_>) {
        let protocol = self.state.with(py, |state| {
            state.closed = true;
            match state.closed_again {
                true => state.protocol.take(),
                false => None,
            }
        });
        drop(protocol);
    }

    /// Writes `chunks`, none of them empty.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that a protocol raised.
    pub(super) fn write_chunks(
        slf: &Bound<'_, Self>,
        chunks: Vec<Bound<'_, PyBytes>>,
    ) -> PyResult<()> {
        match slf.get().below(slf.py()) {
            Some(below) => TlsProtocol::write(&below, chunks.into_iter().map(Bound::unbind)),
            None => Ok(()),
        }
    }

    /// Whether the finalizer has anything to do.
    pub fn is_open(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.closed)
    }

    /// The finalizer: an open transport that nobody holds is warned of.
    ///
    /// # Errors
    /// ResourceWarning, where that is made an error.
    pub fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf
            .get()
            .state
            .with(py, |state| std::mem::replace(&mut state.closed, true))
        {
            return Ok(());
        }
        let text = "unclosed transport <asyncio._SSLProtocolTransport object>";
        let category = py.get_type::<PyResourceWarning>();
        let warn = imports(py)?.warn.bind(py);
        warn.call1((text, category)).map(drop)
    }
}

#[pymethods]
impl TlsTransport {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const _start_tls_compatible: bool = true;

    #[getter]
    fn _sendfile_compatible(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(objects(py)?.sendfile_fallback.clone_ref(py))
    }

    /// asyncio's class: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(objects(py)?.transport_class.clone_ref(py))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!(
            "<asyncio.sslproto._SSLProtocolTransport object at {:#x}>",
            slf.as_ptr().addr()
        )
    }

    #[getter]
    fn _loop(&self, py: Python<'_>) -> Option<Py<EventLoop>> {
        self.state.with(py, |state| {
            let event_loop = state.event_loop.as_ref();
            event_loop.map(|event_loop| event_loop.clone_ref(py))
        })
    }

    #[getter]
    fn _ssl_protocol(&self, py: Python<'_>) -> Option<Py<TlsProtocol>> {
        match self.state.with(py, |state| state.closed_again) {
            true => None,
            false => self.protocol(py),
        }
    }

    #[getter]
    fn _closed(&self, py: Python<'_>) -> bool {
        !self.is_open(py)
    }

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.below(py)
            .is_some_and(|below| below.get().with(py, |state| state.writes.paused))
    }

    /// Get optional transport information: "ssl_object", "peercert", "cipher", "compression", "sslcontext", or
    /// whatever the transport below knows.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.below(name.py()) {
            Some(below) => TlsProtocol::extra_info(&below, name, default),
            None => Ok(default),
        }
    }

    /// Set a new protocol: it gets what arrives from now on.
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.below(protocol.py()) {
            Some(below) => below.get().set_app_protocol(protocol),
            None => Ok(()),
        }
    }

    /// Return the current protocol.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.below(py)?.get().app_protocol(py)
    }

    /// Return True if the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> PyResult<bool> {
        if !self.is_open(py) {
            return Ok(true);
        }
        match self.below(py).and_then(|below| below.get().lower(py)) {
            Some(lower) if version(py)?.tls_closes_with_lower => lower
                .object(py)
                .call_method0(intern!(py, "is_closing"))?
                .is_truthy(),
            _ => Ok(false),
        }
    }

    /// Close the transport: what was written is still sent, then connection_lost(None) is called.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let again = self.state.with(py, |state| {
            let again = std::mem::replace(&mut state.closed, true);
            state.closed_again |= again;
            again
        });
        match self.below(py) {
            Some(below) if !again => TlsProtocol::start_shutdown(&below),
            Some(below) if below.get().is_lost(py) => {
                self.end(py);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Close the transport at once: what the kernel has not taken is lost.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self._force_close(py, None)
    }

    #[pyo3(signature = (exc))]
    fn _force_close(&self, py: Python<'_>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        self.mark_closed(py);
        match self.below(py) {
            Some(below) => TlsProtocol::abort(&below, exc),
            None => Ok(()),
        }
    }

    /// Return True if the transport is receiving.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.below(py)
            .is_some_and(|below| below.get().with(py, |state| !state.app_reading_paused))
    }

    /// Pause the receiving end: no data_received() until resume_reading().
    fn pause_reading(&self, py: Python<'_>) {
        if let Some(below) = self.below(py) {
            below
                .get()
                .with(py, |state| state.app_reading_paused = true);
        }
    }

    /// Resume the receiving end.
    fn resume_reading(&self, py: Python<'_>) -> PyResult<()> {
        match self.below(py) {
            Some(below) => TlsProtocol::resume_app_reading(&below),
            None => Ok(()),
        }
    }

    /// Set the high- and low-water limits for write flow control, in bytes; high >= low >= 0.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        &self,
        py: Python<'_>,
        high: Option<&Bound<'_, PyAny>>,
        low: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(below) = self.below(py) else {
            return Ok(());
        };
        let (high, low) = (high.map(limit).transpose()?, low.map(limit).transpose()?);
        let default = kibibytes(py, "FLOW_CONTROL_HIGH_WATER_SSL_WRITE")?;
        below
            .get()
            .with(py, |state| state.writes.set(high, low, default))
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        TlsProtocol::encrypt_waiting(&below)?;
        TlsProtocol::control_writing(&below)
    }

    /// Return the (low, high) watermarks for write flow control, in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (i64, i64) {
        match self.below(py) {
            Some(below) => below
                .get()
                .with(py, |state| (state.writes.low, state.writes.high)),
            None => (0, 0),
        }
    }

    /// Return how many bytes wait here: not what the transport below has.
    fn get_write_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        match self.below(py) {
            Some(below) => TlsProtocol::write_buffer_size(&below),
            None => Ok(0),
        }
    }

    /// Set the high- and low-water limits for read flow control, in bytes; high >= low >= 0. They say when the
    /// transport below is paused.
    #[pyo3(signature = (high = None, low = None))]
    fn set_read_buffer_limits(
        &self,
        py: Python<'_>,
        high: Option<&Bound<'_, PyAny>>,
        low: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(below) = self.below(py) else {
            return Ok(());
        };
        let (high, low) = (high.map(limit).transpose()?, low.map(limit).transpose()?);
        let default = kibibytes(py, "FLOW_CONTROL_HIGH_WATER_SSL_READ")?;
        below
            .get()
            .with(py, |state| state.reads.set(high, low, default))
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let unread = below.get().unread(py)?;
        TlsProtocol::control_reading(&below, unread)
    }

    /// Return the (low, high) watermarks for read flow control, in bytes.
    fn get_read_buffer_limits(&self, py: Python<'_>) -> (i64, i64) {
        match self.below(py) {
            Some(below) => below
                .get()
                .with(py, |state| (state.reads.low, state.reads.high)),
            None => (0, 0),
        }
    }

    /// Return how many bytes have arrived and were not read.
    fn get_read_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        match self.below(py) {
            Some(below) => below.get().unread(py),
            None => Ok(0),
        }
    }

    /// Write some data bytes to the transport: they are sent at the end of the loop's turn, in order.
    ///
    /// Raises TypeError for what is not bytes-like.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        let is_bytes = data.is_instance_of::<PyBytes>();
        if !is_bytes
            && !data.is_instance_of::<PyByteArray>()
            && !data.is_instance_of::<PyMemoryView>()
        {
            return Err(PyTypeError::new_err(format!(
                "data: expecting a bytes-like instance, got {}",
                data.get_type().name()?.to_string_lossy()
            )));
        }
        let bytes = bytes_of(data)?;
        match self.below(py) {
            Some(below) if !bytes.as_bytes().is_empty() => {
                TlsProtocol::write(&below, [bytes.unbind()])
            }
            _ => Ok(()),
        }
    }

    /// Write a list (or any iterable) of data bytes to the transport.
    fn writelines(&self, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = list_of_data.py();
        let mut chunks = Vec::new();
        for data in list_of_data.try_iter()? {
            let data = data?;
            let bytes = match data.is_instance_of::<PyBytes>() {
                true => bytes_of(&data)?,
                false => bytes_of(PyMemoryView::from(&data)?.as_any())?,
            };
            if !bytes.as_bytes().is_empty() {
                chunks.push(bytes.unbind());
            }
        }
        match self.below(py) {
            Some(below) => TlsProtocol::write(&below, chunks),
            None => Ok(()),
        }
    }

    /// Raise NotImplementedError: TLS has no half-closed connections in asyncio.
    fn write_eof(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// Return False: see write_eof().
    fn can_write_eof(&self) -> bool {
        false
    }

    /// For CPython's tests: write, but only with what is written next.
    #[pyo3(name = "_test__append_write_backlog")]
    fn append_write_backlog(&self, data: &Bound<'_, PyBytes>) {
        let py = data.py();
        let size = data.as_bytes().len();
        let chunk = data.clone().unbind();
        if let Some(below) = self.below(py) {
            below.get().with(py, |state| {
                state.backlog.push_back(chunk);
                state.backlog_size += size;
            });
        }
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        // SAFETY: B3: called by the collector.
        let state = unsafe { self.state.traverse() };
        visit.call(&state.event_loop)?;
        visit.call(&state.protocol)
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            let cleared = self
                .state
                .with(py, |state| (state.event_loop.take(), state.protocol.take()));
            drop(cleared);
        });
    }
}
