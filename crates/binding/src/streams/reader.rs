//! `StreamReader`: `asyncio.streams.StreamReader`.

use pyo3::exceptions::{PyAssertionError, PyNotImplementedError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::buffer::Buffer;
use crate::cell::GilCell;
use crate::combine::any_future;
use crate::combine::place::Place;
use crate::event_loop::work::LoopRef;
use crate::sync::overrides::{Noted, overrides_any};

/// The native half of `riata.StreamReader`. asyncio's `__init__` sets its attributes.
#[pyclass(
    frozen,
    subclass,
    weakref,
    name = "StreamReader",
    module = "riata._native"
)]
pub struct StreamReader {
    event_loop: GilCell<LoopRef>,
    limit: GilCell<i64>,
    pub(super) buffer: Buffer,
    pub(super) ended: GilCell<bool>,
    waiter: GilCell<Option<Py<PyAny>>>,
    exception: GilCell<Option<Py<PyAny>>>,
    transport: GilCell<Option<Py<PyAny>>>,
    paused: GilCell<bool>,
    /// A Python subclass has a `feed_data` of its own.
    pub overrides_feed: bool,
    /// A Python subclass has one of its own of what the coroutines call of each other: asyncio's coroutines do the work.
    pub overrides_reads: bool,
}

/// What the coroutines are, and call.
const READS: [&str; 6] = [
    "read",
    "readexactly",
    "readuntil",
    "readline",
    "_wait_for_data",
    "_maybe_resume_transport",
];

impl StreamReader {
    /// How many bytes there may be before the transport is paused, halved; and in a line.
    pub fn limit(&self, py: Python<'_>) -> usize {
        usize::try_from(self.limit.get(py)).unwrap_or(0)
    }

    /// Raises what was set as the exception.
    ///
    /// # Errors
    /// That.
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        match self.exception.cloned(py) {
            None => Ok(()),
            Some(exception) => Err(PyErr::from_value(exception.into_bound(py))),
        }
    }

    /// A wait for data, or for the end of them.
    ///
    /// # Errors
    /// RuntimeError when another coroutine waits already.
    pub fn wait(slf: &Bound<'_, Self>, function: &str) -> PyResult<Place> {
        let py = slf.py();
        let this = slf.get();
        if this.waiter.with(py, |waiter| waiter.is_some()) {
            let text = format!(
                "{function}() called while another coroutine is already waiting for incoming data"
            );
            return Err(PyRuntimeError::new_err(text));
        }
        if this.ended.get(py) {
            return Err(PyAssertionError::new_err("_wait_for_data after EOF"));
        }
        this.resume(py)?;
        let event_loop = this
            .event_loop
            .with(py, |event_loop| event_loop.clone_ref(py));
        let future = event_loop.create_future(py)?;
        this.waiter.set(py, Some(future.clone().unbind()));
        Place::of(future)
    }

    /// Nobody waits any more.
    pub fn stop_waiting(&self, py: Python<'_>) {
        self.waiter.set(py, None);
    }

    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        if !self.paused.replace(py, false) {
            return Ok(());
        }
        let transport = self.transport.cloned(py);
        transport
            .into_pyobject(py)?
            .call_method0(intern!(py, "resume_reading"))
            .map(drop)
    }

    /// `feed_data`
    ///
    /// # Errors
    /// AssertionError after the end; what pausing the transport raises.
    pub fn feed(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.ended.get(py) {
            return Err(PyAssertionError::new_err("feed_data after feed_eof"));
        }
        if !data.is_truthy()? {
            return Ok(());
        }
        this.buffer.extend(data)?;
        this._wakeup_waiter(py)?;
        if this.paused.get(py) || this.buffer.len(py) <= 2 * this.limit(py) {
            return Ok(());
        }
        let Some(transport) = this.transport.cloned(py) else {
            return Ok(());
        };
        match transport.call_method0(py, intern!(py, "pause_reading")) {
            // It cannot be paused: everything has to be kept.
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
                this.transport.set(py, None);
                Ok(())
            }
            paused => {
                this.paused.set(py, paused.is_ok());
                paused.map(drop)
            }
        }
    }
}

#[pymethods]
impl StreamReader {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_options))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        static NOTED: Noted<(bool, bool)> = Noted::nothing();
        let (overrides_feed, overrides_reads) = NOTED.of(class, || {
            Ok((
                overrides_any::<Self>(class, &["feed_data"])?,
                overrides_any::<Self>(class, &READS)?,
            ))
        })?;
        Ok(Self {
            event_loop: GilCell::new(LoopRef::None),
            limit: GilCell::new(0),
            buffer: Buffer::default(),
            ended: GilCell::new(false),
            waiter: GilCell::new(None),
            exception: GilCell::new(None),
            transport: GilCell::new(None),
            paused: GilCell::new(false),
            overrides_feed,
            overrides_reads,
        })
    }

    /// Return what `set_exception` was given, or None.
    pub fn exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.exception.cloned(py)
    }

    /// Make reads raise `exc`, the one that waits first.
    fn set_exception(&self, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        self.exception.set(py, Some(exc.clone().unbind()));
        match self.waiter.take(py) {
            Some(waiter) if !any_future::is_cancelled(waiter.bind(py))? => {
                any_future::set_exception(waiter.bind(py), exc)
            }
            _ => Ok(()),
        }
    }

    fn _wakeup_waiter(&self, py: Python<'_>) -> PyResult<()> {
        match self.waiter.take(py) {
            Some(waiter) if !any_future::is_cancelled(waiter.bind(py))? => {
                any_future::set_result(waiter.bind(py), py.None().into_bound(py))
            }
            _ => Ok(()),
        }
    }

    /// Tell where the data come from, so that it can be paused.
    fn set_transport(&self, py: Python<'_>, transport: Py<PyAny>) -> PyResult<()> {
        if self.transport.with(py, |transport| transport.is_some()) {
            return Err(PyAssertionError::new_err("Transport already set"));
        }
        self.transport.set(py, Some(transport));
        Ok(())
    }

    /// Lets the transport go on, if enough has been read.
    pub fn _maybe_resume_transport(&self, py: Python<'_>) -> PyResult<()> {
        match self.paused.get(py) && self.buffer.len(py) <= self.limit(py) {
            true => self.resume(py),
            false => Ok(()),
        }
    }

    /// Say that nothing follows.
    fn feed_eof(&self, py: Python<'_>) -> PyResult<()> {
        self.ended.set(py, true);
        self._wakeup_waiter(py)
    }

    /// Return True if everything has been read and nothing follows.
    fn at_eof(&self, py: Python<'_>) -> bool {
        self.ended.get(py) && self.buffer.len(py) == 0
    }

    /// Hand over data that have arrived.
    fn feed_data(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::feed(slf, data)
    }

    #[getter]
    fn _buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        self.buffer.show(py)
    }

    #[setter(_buffer)]
    fn set_buffer(&self, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        self.buffer.set(buffer)
    }

    #[getter]
    fn _limit(&self, py: Python<'_>) -> i64 {
        self.limit.get(py)
    }

    #[setter(_limit)]
    fn set_limit(&self, py: Python<'_>, limit: i64) {
        self.limit.set(py, limit);
    }

    #[getter]
    fn _eof(&self, py: Python<'_>) -> bool {
        self.ended.get(py)
    }

    #[setter(_eof)]
    fn set_eof(&self, py: Python<'_>, eof: bool) {
        self.ended.set(py, eof);
    }

    #[getter]
    fn _waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.waiter.cloned(py)
    }

    #[setter(_waiter)]
    fn set_waiter(&self, py: Python<'_>, waiter: Option<Py<PyAny>>) {
        self.waiter.set(py, waiter);
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.exception.cloned(py)
    }

    #[setter(_exception)]
    fn replace_exception(&self, py: Python<'_>, exception: Option<Py<PyAny>>) {
        self.exception.set(py, exception);
    }

    #[getter]
    fn _transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.transport.cloned(py)
    }

    #[setter(_transport)]
    fn replace_transport(&self, py: Python<'_>, transport: Option<Py<PyAny>>) {
        self.transport.set(py, transport);
    }

    #[getter]
    fn _paused(&self, py: Python<'_>) -> bool {
        self.paused.get(py)
    }

    #[setter(_paused)]
    fn set_paused(&self, py: Python<'_>, paused: bool) {
        self.paused.set(py, paused);
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self
            .event_loop
            .with(py, |event_loop| event_loop.clone_ref(py))
        {
            LoopRef::None => None,
            event_loop => Some(event_loop.object(py)),
        }
    }

    #[setter(_loop)]
    fn set_loop(&self, event_loop: &Bound<'_, PyAny>) {
        self.event_loop
            .set(event_loop.py(), LoopRef::new(event_loop));
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            self.event_loop.traverse().traverse(&visit)?;
            self.buffer.traverse(&visit)?;
            visit.call(self.waiter.traverse())?;
            visit.call(self.exception.traverse())?;
            visit.call(self.transport.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.event_loop.set(py, LoopRef::None);
            self.buffer.clear(py);
            self.waiter.set(py, None);
            self.exception.set(py, None);
            self.transport.set(py, None);
        });
    }
}
