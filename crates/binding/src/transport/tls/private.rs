//! The protocol as the transport below sees it (`asyncio.BufferedProtocol`), and the private names of asyncio's
//! `SSLProtocol` that asyncio's own code, its tests and libraries use.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyByteArrayMethods, PyDict};
use pyo3::{PyTraverseError, PyVisit};

use super::app::TlsTransport;
use super::objects::objects;
use super::protocol::{Origin, Phase, State, TlsProtocol, Told};
use crate::cell::GilCell;
use crate::event_loop::EventLoop;
use crate::part::part;
use crate::transport::window::WINDOW_SIZE;
use crate::unwritten::is_unwritten;

impl TlsProtocol {
    /// The transport that the program gets.
    pub(super) fn app_transport<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, TlsTransport>> {
        let py = slf.py();
        slf.get().part(py, |state| &state.app_transport)
    }

    /// What is known under `name`; None when nothing is.
    ///
    /// # Errors
    /// What `ssl` and the transport below raise.
    pub(super) fn extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let extra = this.part(py, |state| &state.extra)?;
        if let Some(known) = extra.get_item(name)? {
            return Ok(Some(known));
        }
        // asyncio asks for all of them after each handshake; parsing a certificate costs as much as a record.
        if extra.contains(intern!(py, "ssl_object"))?
            && let Ok(text) = name.extract::<&str>()
            && let Some(method) = computed_by(text)
        {
            let ssl_object = this.part(py, |state| &state.ssl_object)?;
            let value = ssl_object.call_method0(method)?;
            extra.set_item(name, &value)?;
            return Ok(Some(value));
        }
        match this.lower(py) {
            Some(lower) => lower
                .object(py)
                .call_method1(intern!(py, "get_extra_info"), (name, default))
                .map(Some),
            None => Ok(default),
        }
    }
}

/// The method of the `SSLObject` that gives what `get_extra_info` knows as `name`.
fn computed_by(name: &str) -> Option<&'static str> {
    match name {
        "peercert" => Some("getpeercert"),
        "cipher" => Some("cipher"),
        "compression" => Some("compression"),
        _ => None,
    }
}

#[pymethods]
impl TlsProtocol {
    #[new]
    #[pyo3(signature = (
        r#loop, app_protocol, sslcontext, waiter, server_side = false, server_hostname = None,
        call_connection_made = true, ssl_handshake_timeout = None, ssl_shutdown_timeout = None
    ))]
    #[allow(clippy::too_many_arguments)] // asyncio's own signature
    fn new<'py>(
        r#loop: Bound<'py, EventLoop>,
        app_protocol: Bound<'py, PyAny>,
        sslcontext: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        server_side: bool,
        server_hostname: Option<Bound<'py, PyAny>>,
        call_connection_made: bool,
        ssl_handshake_timeout: Option<Bound<'py, PyAny>>,
        ssl_shutdown_timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<Self>> {
        let py = r#loop.py();
        let event_loop = r#loop.clone();
        let state = State::new(Origin {
            event_loop: r#loop,
            app_protocol,
            ssl_context: sslcontext,
            waiter,
            server_side,
            server_hostname,
            call_connection_made,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        })?;
        let protocol = Bound::new(
            py,
            Self {
                state: GilCell::new(state),
            },
        )?;
        let transport = TlsTransport::create(&event_loop, &protocol)?.unbind();
        let _none = protocol
            .get()
            .with(py, |state| state.app_transport.replace(transport));
        Ok(protocol.unbind())
    }

    /// asyncio's class: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(objects(py)?.protocol_class.clone_ref(py))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!(
            "<asyncio.sslproto.SSLProtocol object at {:#x}>",
            slf.as_ptr().addr()
        )
    }

    #[classattr]
    #[allow(non_upper_case_globals)]
    const max_size: usize = WINDOW_SIZE;

    /// Called when the low-level connection is made: start the handshake.
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::begin(slf, transport)
    }

    /// Called when the low-level connection is lost or closed.
    fn connection_lost(slf: &Bound<'_, Self>, exc: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        Self::lower_lost(slf, exc.as_ref())
    }

    /// Return memory for a transport to fill with what arrived.
    fn get_buffer<'py>(slf: &Bound<'py, Self>, n: isize) -> Bound<'py, PyByteArray> {
        let py = slf.py();
        let wanted = match usize::try_from(n) {
            Ok(wanted) if (1..=WINDOW_SIZE).contains(&wanted) => wanted,
            _ => WINDOW_SIZE,
        };
        let lent = slf.get().with(py, |state| {
            state.lent.as_ref().map(|lent| lent.bind(py).clone())
        });
        match lent.filter(|lent| lent.len() >= wanted) {
            Some(lent) => lent,
            None => {
                let fresh = PyByteArray::new(py, &vec![0; wanted]);
                let before = slf
                    .get()
                    .with(py, |state| state.lent.replace(fresh.clone().unbind()));
                drop(before);
                fresh
            }
        }
    }

    /// Called when memory that get_buffer() gave was filled.
    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        let py = slf.py();
        let lent = slf.get().with(py, |state| {
            state.lent.as_ref().map(|lent| lent.bind(py).clone())
        });
        if let Some(lent) = lent {
            let filled = part(lent.as_any(), 0, Some(nbytes))?;
            Self::_feed_early(slf, &filled)?;
        }
        Self::advance(slf)
    }

    /// Take bytes that arrived before anybody knew that they are TLS.
    fn _feed_early(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let data = data
            .cast::<PyByteArray>()
            .map_err(|_| PyTypeError::new_err("a bytearray is expected"))?;
        let incoming = slf.get().part(py, |state| &state.incoming)?;
        incoming.call_method1(intern!(py, "write"), (data,))?;
        let bytes = data.to_vec();
        slf.get().with(py, |state| state.records.feed(&bytes));
        Ok(())
    }

    /// Called when the other end of the low-level stream is half-closed.
    fn eof_received(slf: &Bound<'_, Self>) -> PyResult<Option<bool>> {
        Ok(Self::lower_ended(slf)?.then_some(true))
    }

    /// Called when the low-level transport's buffer goes over the high-water mark.
    fn pause_writing(&self, py: Python<'_>) {
        self.with(py, |state| state.lower_writing_paused = true);
    }

    /// Called when the low-level transport's buffer drains below the low-water mark.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::resume_lower_writing(slf)
    }

    fn _do_read(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::read_app_data(slf)
    }

    /// Go on where reading was paused.
    fn _resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().with(slf.py(), |state| state.phase) {
            Phase::Wrapped | Phase::Flushing | Phase::Shutdown => Self::advance(slf),
            Phase::Unwrapped | Phase::Handshake => Ok(()),
        }
    }

    fn _check_handshake_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::check_handshake_timeout(slf)
    }

    fn _check_shutdown_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::check_shutdown_timeout(slf)
    }

    fn _start_shutdown(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::start_shutdown(slf)
    }

    #[pyo3(signature = (exc = None))]
    fn _abort(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        Self::abort(slf, exc)
    }

    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(
        slf: &Bound<'_, Self>,
        exc: Option<Bound<'_, PyAny>>,
        message: &str,
    ) -> PyResult<()> {
        Self::fail(slf, exc.as_ref(), message)
    }

    #[pyo3(signature = (name, default = None))]
    fn _get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::extra_info(slf, name, default)
    }

    fn _set_app_protocol(&self, app_protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_app_protocol(app_protocol)
    }

    fn _get_app_transport<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, TlsTransport>> {
        Self::app_transport(slf)
    }

    #[getter]
    fn _app_transport(&self, py: Python<'_>) -> Option<Py<TlsTransport>> {
        self.with(py, |state| {
            let transport = state.app_transport.as_ref();
            transport.map(|transport| transport.clone_ref(py))
        })
    }

    #[getter]
    fn _app_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.app_protocol(py)
    }

    #[getter]
    fn _transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.lower(py).map(|lower| lower.object(py))
    }

    #[getter]
    fn _loop(&self, py: Python<'_>) -> Option<Py<EventLoop>> {
        self.with(py, |state| {
            let event_loop = state.event_loop.as_ref();
            event_loop.map(|event_loop| event_loop.clone_ref(py))
        })
    }

    #[getter]
    fn _sslobj<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.part(py, |state| &state.ssl_object)
    }

    #[setter(_sslobj)]
    fn replace_sslobj(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_ssl_object(value)
    }

    #[getter]
    fn _sslcontext<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.part(py, |state| &state.ssl_context)
    }

    #[getter]
    fn _incoming<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.part(py, |state| &state.incoming)
    }

    #[getter]
    fn _outgoing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.part(py, |state| &state.outgoing)
    }

    /// Everything that get_extra_info() knows of this layer.
    #[getter]
    fn _extra<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let extra = slf.get().part(py, |state| &state.extra)?;
        if extra.contains(intern!(py, "ssl_object"))? {
            for name in ["peercert", "cipher", "compression"] {
                Self::extra_info(slf, name.into_pyobject(py)?.as_any(), None)?;
            }
        }
        Ok(extra)
    }

    #[getter]
    fn _waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            state.waiter.as_ref().map(|waiter| waiter.clone_ref(py))
        })
    }

    #[getter]
    fn _server_side(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.server_side)
    }

    #[getter]
    fn _server_hostname(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            state
                .server_hostname
                .as_ref()
                .map(|name| name.clone_ref(py))
        })
    }

    #[getter]
    fn _ssl_handshake_timeout<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.part(py, |state| &state.handshake_timeout)
    }

    #[getter]
    fn _ssl_shutdown_timeout<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.part(py, |state| &state.shutdown_timeout)
    }

    #[getter]
    fn _handshake_timeout_handle(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            let timer = state.handshake_timer.as_ref();
            timer.map(|timer| timer.clone_ref(py))
        })
    }

    #[getter]
    fn _shutdown_timeout_handle(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            let timer = state.shutdown_timer.as_ref();
            timer.map(|timer| timer.clone_ref(py))
        })
    }

    /// A member of asyncio's SSLProtocolState.
    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = match self.with(py, |state| state.phase) {
            Phase::Unwrapped => "UNWRAPPED",
            Phase::Handshake => "DO_HANDSHAKE",
            Phase::Wrapped => "WRAPPED",
            Phase::Flushing => "FLUSHING",
            Phase::Shutdown => "SHUTDOWN",
        };
        py.import(intern!(py, "asyncio.sslproto"))?
            .getattr(intern!(py, "SSLProtocolState"))?
            .getattr(name)
    }

    /// A member of asyncio's AppProtocolState.
    #[getter]
    fn _app_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = match self.with(py, |state| state.told) {
            Told::Nothing => "STATE_INIT",
            Told::Made => "STATE_CON_MADE",
            Told::Eof => "STATE_EOF",
            Told::Lost => "STATE_CON_LOST",
        };
        py.import(intern!(py, "asyncio.sslproto"))?
            .getattr(intern!(py, "AppProtocolState"))?
            .getattr(name)
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.with(py, |state| state.lost_count)
    }

    #[getter]
    fn _eof_received(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.eof_received)
    }

    #[getter]
    fn _write_buffer_size(&self, py: Python<'_>) -> usize {
        self.with(py, |state| state.backlog_size)
    }

    #[getter]
    fn _app_reading_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.app_reading_paused)
    }

    #[getter]
    fn _app_writing_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.writes.paused)
    }

    #[getter]
    fn _ssl_reading_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.reads.paused)
    }

    #[getter]
    fn _ssl_writing_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.lower_writing_paused)
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
