//! The methods of `asyncio.DatagramTransport`, with asyncio's checks and texts, and the private names of asyncio's
//! `_SelectorDatagramTransport` that debuggers and libraries read.

use pyo3::exceptions::{PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::Interest;
use riata_engine::stream::Close;

use super::DatagramTransport;
use crate::imports::imports;
use crate::transport::debug_log::log;
use crate::transport::endpoint::Endpoint;
use crate::transport::shared_surface::{endpoint_surface, receiving_surface, sending_surface};
use crate::transport::surface::limit;
use crate::unwritten::is_unwritten;
use crate::version::version;

impl DatagramTransport {
    /// The socket object, until it is closed.
    pub(super) fn socket<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.core(py, |core| {
            core.owner.as_ref().map(|owner| owner.bind(py).clone())
        })
    }

    fn fixed_address(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| {
            state.address.as_ref().map(|address| address.clone_ref(py))
        })
    }
}

#[pymethods]
impl DatagramTransport {
    #[classattr]
    #[allow(non_upper_case_globals)]
    const max_size: usize = 256 * 1024;

    /// asyncio's transport class: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports(py)?.selector_datagram_transport.clone_ref(py))
    }

    /// Send `data` as one datagram to `addr`, or to the address that the endpoint was made for.
    ///
    /// What the kernel has no room for waits. Errors of the network go to the protocol's error_received().
    /// Raises TypeError for what is not bytes-like, ValueError for another address than the endpoint's.
    #[pyo3(signature = (data, addr = None))]
    fn sendto<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        addr: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !data.is_instance_of::<PyBytes>()
            && !data.is_instance_of::<PyByteArray>()
            && !data.is_instance_of::<PyMemoryView>()
        {
            return Err(PyTypeError::new_err(format!(
                "data argument must be a bytes-like object, not {}",
                data.get_type().name()?.repr()?.to_string_lossy()
            )));
        }
        if !version(py)?.sends_empty_datagrams && !data.is_truthy()? {
            return Ok(());
        }
        let Some(fixed) = this.fixed_address(py) else {
            return Self::send(slf, data, addr.as_ref());
        };
        let fixed = fixed.into_bound(py);
        if let Some(addr) = addr
            && !addr.eq(&fixed)?
        {
            return Err(PyValueError::new_err(format!(
                "Invalid address: must be None or {}",
                fixed.str()?.to_string_lossy()
            )));
        }
        if this.core(py, |core| core.lifecycle.is_closed()) {
            return this.note_lost_send(py);
        }
        Self::send(slf, data, Some(&fixed))
    }

    /// Close the transport: what waits is still sent, then connection_lost(None) is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match slf
            .get()
            .state
            .with(py, |state| state.core.lifecycle.close(state.unsent.len()))
        {
            Close::Ignored => Ok(()),
            Close::StopReading => Self::settle_watch(slf),
            Close::StopAndReport => Self::schedule_lost(slf, None),
        }
    }

    /// Resume the receiving end.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |state| {
            state.core.lifecycle.is_closing() || !std::mem::take(&mut state.paused)
        }) {
            return Ok(());
        }
        Self::settle_watch(slf)?;
        Self::deliver_later(slf)?;
        log(slf, intern!(py, "debug"), "%r resumes reading")
    }

    /// Return how many bytes wait to be sent, with what each datagram counts besides (8 from Python 3.13 on).
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.unsent_size)
    }

    /// A datagram transport has no stream to write to: raises NotImplementedError, as asyncio's does.
    #[pyo3(signature = (*_data))]
    fn write(&self, _data: &Bound<'_, PyTuple>) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// See write().
    #[pyo3(signature = (*_data))]
    fn writelines(&self, _data: &Bound<'_, PyTuple>) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// See write().
    fn write_eof(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// See write().
    fn can_write_eof(&self) -> PyResult<bool> {
        Err(PyNotImplementedError::new_err(()))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (open, closing, fd) = self.core(py, |core| {
            (core.owner.is_some(), core.lifecycle.is_closing(), core.fd)
        });
        let state = match (open, closing) {
            (false, _) => " closed",
            (true, true) => " closing",
            (true, false) => "",
        };
        let usable = self
            .event_loop(py)
            .is_some_and(|event_loop| event_loop.get().check_closed(py).is_ok());
        let flow = match usable {
            true => {
                let wanted = self.wanted(py);
                let polling = |interest| match wanted.contains(interest) {
                    true => "polling",
                    false => "idle",
                };
                let (read, write) = (polling(Interest::READABLE), polling(Interest::WRITABLE));
                let size = self.get_write_buffer_size(py);
                format!(" read={read} write=<{write}, bufsize={size}>")
            }
            false => String::new(),
        };
        format!("<{}{state} fd={fd}{flow}>", Self::CLASS)
    }

    #[getter]
    fn _sock(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.socket(py).map(Bound::unbind)
    }

    #[getter]
    fn _sock_fd(&self, py: Python<'_>) -> i32 {
        self.core(py, |core| core.fd)
    }

    #[getter]
    fn _address(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.fixed_address(py)
    }

    #[getter]
    fn _buffer_size(&self, py: Python<'_>) -> usize {
        self.get_write_buffer_size(py)
    }

    /// Tell the protocol of what was received before it paused.
    fn _deliver(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::deliver(slf)
    }

    /// Report a fatal error by asyncio's rules, and end everything.
    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        Self::fatal(slf, exc, message)
    }

    /// End everything at once; connection_lost(exc) is called in a later step.
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        Self::abandon(slf, exc)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        self.traverse(&visit)
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.clear(py);
            let rest = self
                .state
                .with(py, |state| (state.address.take(), state.last_shown.take()));
            drop(rest);
        });
    }
}

endpoint_surface!(DatagramTransport);
receiving_surface!(DatagramTransport);
sending_surface!(DatagramTransport);
