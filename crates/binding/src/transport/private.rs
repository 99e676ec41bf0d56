//! The private names of asyncio's `_SelectorSocketTransport` that asyncio's own code and libraries use: `sslproto`
//! (`_force_close`), `sendfile` (`_make_empty_waiter`, `_sock`), `_SendfileFallbackProtocol` (`_protocol_paused`,
//! `_loop`), and those that debuggers print.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::socket::Socket;
use super::stream::StreamTransport;
use crate::event_loop::EventLoop;
use crate::imports::imports;

#[pymethods]
impl StreamTransport {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const _start_tls_compatible: bool = true;

    #[classattr]
    #[allow(non_upper_case_globals)]
    const max_size: usize = 256 * 1024;

    #[getter]
    fn _sendfile_compatible(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports(py)?.sendfile_try_native.clone_ref(py))
    }

    #[getter]
    fn _sock<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::python_socket(slf)
    }

    #[getter]
    fn _sock_fd(&self, py: Python<'_>) -> i32 {
        self.with(py, |state| state.fd)
    }

    #[getter]
    fn _extra<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        Self::whole_extra(slf)
    }

    #[getter]
    fn _loop(&self, py: Python<'_>) -> Option<Py<EventLoop>> {
        self.event_loop(py).map(Bound::unbind)
    }

    #[getter]
    fn _protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.protocol(py).map(Bound::unbind)
    }

    #[getter]
    fn _protocol_connected(&self) -> bool {
        true
    }

    #[getter]
    fn _server(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            state.server.as_ref().map(|server| server.clone_ref(py))
        })
    }

    #[getter]
    fn _eof(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.lifecycle.eof_was_asked())
    }

    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.lifecycle.is_closing())
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.with(py, |state| state.lost_count)
    }

    #[getter]
    fn _paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.paused)
    }

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.watermarks.is_paused())
    }

    #[getter]
    fn _low_water(&self, py: Python<'_>) -> i64 {
        self.with(py, |state| state.watermarks.limits().0)
    }

    #[getter]
    fn _high_water(&self, py: Python<'_>) -> i64 {
        self.with(py, |state| state.watermarks.limits().1)
    }

    #[getter]
    fn _buffer_size(&self, py: Python<'_>) -> usize {
        self.with(py, |state| state.buffer.len())
    }

    #[getter]
    fn _empty_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| {
            state.rare.as_ref().and_then(|rare| {
                rare.empty_waiter
                    .as_ref()
                    .map(|waiter| waiter.clone_ref(py))
            })
        })
    }

    /// A future that is done once everything is written; the transport takes no writes until it is reset.
    fn _make_empty_waiter<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        if this._empty_waiter(py).is_some() {
            return Err(PyRuntimeError::new_err("Empty waiter is already set"));
        }
        Self::send_unsent(slf)?;
        let Some(event_loop) = this.event_loop(py) else {
            return Err(PyRuntimeError::new_err("Transport is closed"));
        };
        let waiter = event_loop.call_method0(intern!(py, "create_future"))?;
        let shared = waiter.clone().unbind();
        let empty = this.with(py, |state| {
            state.rare.get_or_insert_default().empty_waiter = Some(shared);
            state.buffer.is_empty()
        });
        if empty {
            waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(waiter)
    }

    fn _reset_empty_waiter(&self, py: Python<'_>) {
        let before = self.with(py, |state| {
            state
                .rare
                .as_mut()
                .and_then(|rare| rare.empty_waiter.take())
        });
        drop(before);
    }

    /// End the connection at once; connection_lost(exc) is called in a later step.
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        Self::force_close(slf, exc)
    }

    /// Report a fatal error by asyncio's rules, and end the connection.
    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        Self::report_fatal(slf, exc, message)?;
        Self::force_close(slf, Some(exc.clone().unbind()))
    }

    /// Call connection_lost(exc), and give the descriptor back.
    #[pyo3(signature = (exc = None))]
    fn _call_connection_lost(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        Self::lost(slf, exc)
    }

    /// Call connection_made, then start reading: for a loop whose call_soon is overridden.
    fn _begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().event_loop(slf.py()) {
            Some(event_loop) => Self::run(slf, &event_loop, super::stream::Signal::Begin),
            None => Ok(()),
        }
    }

    /// Read and write what a poll reported, as epoll's event bits: what debug mode's reports name.
    fn _read_ready(slf: &Bound<'_, Self>, events: u32) -> PyResult<()> {
        let readiness = riata_engine::driver::Readiness::from_bits(events);
        match slf.get().event_loop(slf.py()) {
            Some(event_loop) => Self::handle_ready(slf, &event_loop, readiness),
            None => Ok(()),
        }
    }

    /// Whether the descriptor is owned here still, and no Python socket was made of it: for tests.
    #[getter]
    fn _owns_descriptor(&self, py: Python<'_>) -> bool {
        self.with(py, |state| matches!(state.socket, Socket::Raw(_)))
    }
}
