//! `Semaphore` and `BoundedSemaphore`: asyncio's of the same names.

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::attributes::{late_line_attribute, loop_attribute};
use super::bound::LoopBound;
use super::count::Count;
use super::line::Line;
use super::overrides::{Noted, overrides_any};
use super::step::truth;
use crate::cell::GilCell;
use crate::combine::any_future;
use crate::combine::place::Place;
use crate::combine::waits::{Outcome, Waits};
use crate::imports::is_cancelled_error;

/// The native half of `riata.Semaphore`.
#[pyclass(frozen, subclass, name = "Semaphore", module = "riata._native")]
pub struct Semaphore {
    value: Count,
    /// What a BoundedSemaphore may not exceed.
    bound_value: GilCell<Option<Py<PyAny>>>,
    waiters: Line,
    bound: LoopBound,
    /// A Python subclass has an `acquire` or `release` of its own, which `async with` has to call.
    pub overridden: bool,
    /// A Python subclass has a `locked` of its own, which `acquire` asks.
    locked_overridden: bool,
}

impl Semaphore {
    fn create(class: &Bound<'_, PyType>, bounded: bool) -> PyResult<Self> {
        static NOTED: Noted<(bool, bool)> = Noted::nothing();
        let (overridden, locked_overridden) = NOTED.of(class, || {
            let with_context = ["acquire", "release"];
            let overridden = match bounded {
                true => overrides_any::<BoundedSemaphore>(class, &with_context)?,
                false => overrides_any::<Self>(class, &with_context)?,
            };
            Ok((overridden, overrides_any::<Self>(class, &["locked"])?))
        })?;
        Ok(Self {
            value: Count::one(),
            bound_value: GilCell::new(None),
            waiters: Line::default(),
            bound: LoopBound::default(),
            overridden,
            locked_overridden,
        })
    }

    fn init(&self, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(value) = value else {
            return Ok(());
        };
        if value.rich_compare(0, CompareOp::Lt)?.is_truthy()? {
            let text = "Semaphore initial value must be >= 0";
            return Err(PyValueError::new_err(text));
        }
        self.value.set(value);
        Ok(())
    }

    #[inline]
    fn is_locked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        match slf.get().locked_overridden {
            false => slf.get().locked(py),
            true => slf.call_method0(pyo3::intern!(py, "locked"))?.is_truthy(),
        }
    }

    /// Lets the first who waits go on; False when there is nobody.
    fn wake_next(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(waiter) = self.waiters.first_pending(py)? else {
            return Ok(false);
        };
        self.value.decrement(py)?;
        any_future::set_result(&waiter, PyBool::new(py, true).to_owned().into_any())?;
        Ok(true)
    }

    /// `release`, of whichever of the two it is.
    ///
    /// # Errors
    /// ValueError, as BoundedSemaphore's.
    pub fn release_any(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.cast::<BoundedSemaphore>() {
            Ok(bounded) => BoundedSemaphore::release(bounded),
            Err(_) => slf.get().release_one(slf.py()),
        }
    }

    fn release_one(&self, py: Python<'_>) -> PyResult<()> {
        self.value.increment(py)?;
        self.wake_next(py).map(drop)
    }
}

/// `Semaphore.acquire`
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
    type Owner = Semaphore;

    #[inline]
    fn begin(&self, owner: &Bound<'_, Semaphore>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        if !Semaphore::is_locked(owner)? {
            this.value.decrement(py)?;
            return Ok(self.done(py));
        }
        this.waiters
            .join(owner.as_any(), &this.bound)
            .map(Outcome::Wait)
    }

    fn resumed(
        &self,
        owner: &Bound<'_, Semaphore>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        let future = place.future(py);
        this.waiters.remove(future)?;
        if let Err(error) = &outcome
            && is_cancelled_error(py, error)?
            && any_future::is_done(future)?
            && !any_future::is_cancelled(future)?
        {
            // It was let in, and does not go in.
            this.value.increment(py)?;
        }
        // Others may have come who had to stand behind this one.
        while this.value.is_positive(py)? && this.wake_next(py)? {}
        outcome.map(|_| self.done(py))
    }
}

#[pymethods]
impl Semaphore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_options))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::create(class, false)
    }

    /// A semaphore that so many may hold at a time.
    ///
    /// Raises ValueError for less than none.
    #[pyo3(signature = (value = None))]
    fn __init__(&self, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.init(value)
    }

    /// Return True if it cannot be acquired at once.
    fn locked(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.value.is_zero(py)? || self.waiters.any_not_cancelled(py)?)
    }

    /// Let one more in.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.release_one(py)
    }

    #[getter]
    fn _value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.value.get(py)
    }

    #[setter(_value)]
    fn set_value(&self, value: &Bound<'_, PyAny>) {
        self.value.set(value);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            self.value.traverse(&visit)?;
            visit.call(self.bound_value.traverse())?;
            self.waiters.traverse(&visit)?;
            self.bound.traverse(&visit)
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.bound_value.set(py, None);
            self.waiters.set(py, None);
            self.bound.set(py, None);
        });
    }
}

loop_attribute!(Semaphore);
late_line_attribute!(Semaphore, _waiters, set_waiters, waiters);

/// The native half of `riata.BoundedSemaphore`.
#[pyclass(frozen, subclass, extends = Semaphore, name = "BoundedSemaphore", module = "riata._native")]
pub struct BoundedSemaphore;

#[pymethods]
impl BoundedSemaphore {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_options))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let semaphore = Semaphore::create(class, true)?;
        Ok(PyClassInitializer::from(semaphore).add_subclass(Self))
    }

    /// A semaphore that so many may hold at a time, and that cannot be released more often than it was acquired.
    ///
    /// Raises ValueError for less than none.
    #[pyo3(signature = (value = None))]
    fn __init__(slf: &Bound<'_, Self>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let semaphore = slf.as_super().get();
        semaphore.init(value)?;
        semaphore
            .bound_value
            .set(py, Some(semaphore.value.get(py)?.unbind()));
        Ok(())
    }

    /// Let one more in.
    ///
    /// Raises ValueError when all that there are have been released already.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let semaphore = slf.as_super().get();
        let bound_value = semaphore.bound_value.cloned(py);
        let value = semaphore.value.get(py)?;
        if value
            .rich_compare(bound_value, CompareOp::Ge)?
            .is_truthy()?
        {
            let text = "BoundedSemaphore released too many times";
            return Err(PyValueError::new_err(text));
        }
        semaphore.release_one(py)
    }

    #[getter]
    fn _bound_value(slf: &Bound<'_, Self>) -> Option<Py<PyAny>> {
        slf.as_super().get().bound_value.cloned(slf.py())
    }

    #[setter(_bound_value)]
    fn set_bound_value(slf: &Bound<'_, Self>, value: Option<Py<PyAny>>) {
        slf.as_super().get().bound_value.set(slf.py(), value);
    }
}
