//! What `await future` runs.

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::{Future, Reading, State};
use crate::cell::GilCell;
use crate::interop;

/// What `await future` runs: yields the future once, then gives its result.
#[pyclass(frozen, name = "FutureIter", module = "riata._native")]
pub struct FutureIter {
    future: GilCell<Option<Py<Future>>>,
}

/// One step of an awaited future, before it becomes a C return code or a StopIteration.
pub enum Sent {
    /// The future is pending: the task has to wait for it.
    Yield(Py<PyAny>),
    /// The future's result.
    Return(Py<PyAny>),
}

impl FutureIter {
    /// What awaits `future`.
    pub fn new(future: Py<Future>) -> Self {
        Self {
            future: GilCell::new(Some(future)),
        }
    }

    /// One step.
    ///
    /// # Errors
    /// The future's exception; RuntimeError for a future that was iterated without `await`.
    #[inline]
    pub fn step(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(future) = self.future.cloned(py) else {
            return Ok(Sent::Return(py.None()));
        };
        let this = future.get();
        if this.state.get(py) == State::Pending {
            if this.blocking.replace(py, true) {
                return Err(PyRuntimeError::new_err("await wasn't used with future"));
            }
            return Ok(Sent::Yield(future.into_any()));
        }
        self.future.set(py, None);
        match this.read(py)? {
            Reading::Result(result) => Ok(Sent::Return(result)),
            Reading::Exception(exception) => Err(PyErr::from_value(exception.into_bound(py))),
        }
    }
}

#[pymethods]
impl FutureIter {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.step(py)? {
            Sent::Yield(future) => Ok(future),
            Sent::Return(result) => Err(PyStopIteration::new_err((result,))),
        }
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.__next__(py)
    }

    #[pyo3(signature = (r#type, value = None, traceback = None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        r#type: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.future.set(py, None);
        Err(interop::thrown(py, r#type, value, traceback)?)
    }

    fn close(&self, py: Python<'_>) {
        self.future.set(py, None);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        visit.call(unsafe { self.future.traverse() })
    }

    fn __clear__(&self) {
        Python::attach(|py| self.future.set(py, None));
    }
}
