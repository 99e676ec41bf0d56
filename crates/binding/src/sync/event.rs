//! `Event`: `asyncio.locks.Event`.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::attributes::{line_attribute, loop_attribute};
use super::bound::LoopBound;
use super::line::Line;
use super::step::truth;
use crate::cell::GilCell;
use crate::combine::any_future;
use crate::combine::place::Place;
use crate::combine::waits::{Outcome, Waits};

/// The native half of `riata.Event`.
#[pyclass(frozen, subclass, name = "Event", module = "riata._native")]
pub struct Event {
    value: GilCell<bool>,
    waiters: Line,
    bound: LoopBound,
}

impl Event {
    /// An event that is set, or not.
    pub fn with(value: bool) -> Self {
        Self {
            value: GilCell::new(value),
            waiters: Line::default(),
            bound: LoopBound::default(),
        }
    }
}

/// `Event.wait`
pub struct Wait;

impl Waits for Wait {
    type Owner = Event;

    fn begin(&self, owner: &Bound<'_, Event>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        if this.value.get(py) {
            return Ok(Outcome::Return(truth(py)));
        }
        this.waiters
            .join(owner.as_any(), &this.bound)
            .map(Outcome::Wait)
    }

    fn resumed(
        &self,
        owner: &Bound<'_, Event>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        let py = owner.py();
        owner.get().waiters.remove(place.future(py))?;
        outcome.map(|_| Outcome::Return(truth(py)))
    }
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self::with(false)
    }

    /// An event that is not set.
    fn __init__(&self) {}

    /// Return True if the event is set.
    fn is_set(&self, py: Python<'_>) -> bool {
        self.value.get(py)
    }

    /// Set it: who waits goes on, and so does who waits from now on.
    pub fn set(&self, py: Python<'_>) -> PyResult<()> {
        if self.value.replace(py, true) {
            return Ok(());
        }
        let mut index = 0;
        while let Some(waiter) = self.waiters.get(py, index)? {
            if !any_future::is_done(&waiter)? {
                any_future::set_result(&waiter, PyBool::new(py, true).to_owned().into_any())?;
            }
            index += 1;
        }
        Ok(())
    }

    /// Reset it: who waits from now on waits.
    pub fn clear(&self, py: Python<'_>) {
        self.value.set(py, false);
    }

    #[getter]
    fn _value(&self, py: Python<'_>) -> bool {
        self.value.get(py)
    }

    #[setter(_value)]
    fn set_value(&self, py: Python<'_>, value: bool) {
        self.value.set(py, value);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            self.waiters.traverse(&visit)?;
            self.bound.traverse(&visit)
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.waiters.set(py, None);
            self.bound.set(py, None);
        });
    }
}

loop_attribute!(Event);
line_attribute!(Event, _waiters, set_waiters, waiters);
