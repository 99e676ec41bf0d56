//! `Lock`: `asyncio.locks.Lock`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::attributes::{late_line_attribute, loop_attribute};
use super::bound::LoopBound;
use super::line::Line;
use super::overrides::{Noted, overrides_any};
use super::step::truth;
use crate::cell::GilCell;
use crate::combine::any_future;
use crate::combine::place::Place;
use crate::combine::waits::{Outcome, Waits};
use crate::imports::is_cancelled_error;

/// The native half of `riata.Lock`.
#[pyclass(frozen, subclass, name = "Lock", module = "riata._native")]
pub struct Lock {
    locked: GilCell<bool>,
    waiters: Line,
    bound: LoopBound,
    /// A Python subclass has an `acquire` or `release` of its own, which `async with` has to call.
    pub overridden: bool,
}

impl Lock {
    fn wake_first(&self, py: Python<'_>) -> PyResult<()> {
        match self.waiters.get(py, 0)? {
            // One that is done is about to run.
            Some(first) if !any_future::is_done(&first)? => {
                any_future::set_result(&first, PyBool::new(py, true).to_owned().into_any())
            }
            _ => Ok(()),
        }
    }
}

/// `Lock.acquire`
pub struct Acquire {
    /// True is the result; None for `__aenter__`.
    pub result: bool,
}

impl Acquire {
    fn done(&self, py: Python<'_>) -> Outcome {
        Outcome::Return(match self.result {
            true => truth(py),
            false => py.None(),
        })
    }
}

impl Waits for Acquire {
    type Owner = Lock;

    #[inline]
    fn begin(&self, owner: &Bound<'_, Lock>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        if !this.locked.get(py) && !this.waiters.any_not_cancelled(py)? {
            this.locked.set(py, true);
            return Ok(self.done(py));
        }
        this.waiters
            .join(owner.as_any(), &this.bound)
            .map(Outcome::Wait)
    }

    fn resumed(
        &self,
        owner: &Bound<'_, Lock>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        this.waiters.remove(place.future(py))?;
        match outcome {
            Ok(_) => {
                this.locked.set(py, true);
                Ok(self.done(py))
            }
            Err(error) => {
                if is_cancelled_error(py, &error)? && !this.locked.get(py) {
                    this.wake_first(py)?;
                }
                Err(error)
            }
        }
    }
}

#[pymethods]
impl Lock {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_options))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        static NOTED: Noted<bool> = Noted::nothing();
        let overridden = NOTED.of(class, || {
            overrides_any::<Self>(class, &["acquire", "release"])
        })?;
        Ok(Self {
            locked: GilCell::new(false),
            waiters: Line::default(),
            bound: LoopBound::default(),
            overridden,
        })
    }

    /// A lock that nobody has.
    fn __init__(&self) {}

    /// Return True if the lock is acquired.
    fn locked(&self, py: Python<'_>) -> bool {
        self.locked.get(py)
    }

    /// Let the next one have it.
    ///
    /// Raises RuntimeError when nobody has it.
    pub fn release(&self, py: Python<'_>) -> PyResult<()> {
        if !self.locked.replace(py, false) {
            return Err(PyRuntimeError::new_err("Lock is not acquired."));
        }
        self.wake_first(py)
    }

    #[getter(_locked)]
    fn private_locked(&self, py: Python<'_>) -> bool {
        self.locked.get(py)
    }

    #[setter(_locked)]
    fn set_private_locked(&self, py: Python<'_>, locked: bool) {
        self.locked.set(py, locked);
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

loop_attribute!(Lock);
late_line_attribute!(Lock, _waiters, set_waiters, waiters);
