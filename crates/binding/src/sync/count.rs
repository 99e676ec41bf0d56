//! A semaphore's value: any number that a program gave, an integer nearly always.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::GilCell;

/// A number that goes up and down by one.
pub struct Count(GilCell<Number>);

enum Number {
    Small(i64),
    /// Too big, or not an integer: `math.inf` for one.
    Any(Py<PyAny>),
}

impl Count {
    /// One.
    pub fn one() -> Self {
        Self(GilCell::new(Number::Small(1)))
    }

    fn read<'py>(&self, py: Python<'py>) -> Result<i64, Bound<'py, PyAny>> {
        self.0.with(py, |number| match number {
            Number::Small(small) => Ok(*small),
            Number::Any(number) => Err(number.bind(py).clone()),
        })
    }

    /// What Python sees.
    ///
    /// # Errors
    /// MemoryError.
    pub fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.read(py) {
            Ok(small) => Ok(small.into_pyobject(py)?.into_any()),
            Err(number) => Ok(number),
        }
    }

    /// Sets it to what Python gives.
    pub fn set(&self, value: &Bound<'_, PyAny>) {
        // The ends are left free, so that one more or less still fits.
        let small = value
            .cast_exact::<PyInt>()
            .ok()
            .and_then(|value| value.extract::<i64>().ok())
            .filter(|small| small.unsigned_abs() < 1 << 62);
        let number = small.map_or_else(|| Number::Any(value.clone().unbind()), Number::Small);
        drop(self.0.replace(value.py(), number));
    }

    fn add(&self, py: Python<'_>, step: i64) -> PyResult<()> {
        match self.read(py) {
            Ok(small) => {
                drop(
                    self.0
                        .replace(py, Number::Small(small.saturating_add(step))),
                );
                Ok(())
            }
            Err(number) => {
                let sum = number.add(step)?;
                self.set(&sum);
                Ok(())
            }
        }
    }

    /// One more.
    ///
    /// # Errors
    /// What the number's own arithmetic raises; so for all that follow.
    #[inline]
    pub fn increment(&self, py: Python<'_>) -> PyResult<()> {
        self.add(py, 1)
    }

    /// One less.
    #[inline]
    pub fn decrement(&self, py: Python<'_>) -> PyResult<()> {
        self.add(py, -1)
    }

    /// `== 0`
    #[inline]
    pub fn is_zero(&self, py: Python<'_>) -> PyResult<bool> {
        match self.read(py) {
            Ok(small) => Ok(small == 0),
            Err(number) => number.eq(0),
        }
    }

    /// `> 0`
    #[inline]
    pub fn is_positive(&self, py: Python<'_>) -> PyResult<bool> {
        match self.read(py) {
            Ok(small) => Ok(small > 0),
            Err(number) => number.rich_compare(0, CompareOp::Gt)?.is_truthy(),
        }
    }

    /// Shows the collector what is inside.
    ///
    /// # Safety
    /// Called from `__traverse__`.
    #[allow(unsafe_code)]
    pub unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        match unsafe { self.0.traverse() } {
            Number::Small(_) => Ok(()),
            Number::Any(number) => visit.call(number),
        }
    }
}
