//! What native coroutines do: one variant for each function of asyncio that is one.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::delegate::Delegate;
use super::sleep::Sleep;
use crate::imports::imports;

/// What a coroutine has still to do.
#[derive(Default)]
pub enum Body {
    /// Nothing: it has ended, or its step is running.
    #[default]
    Done,
    /// `sleep`
    Sleep(Sleep),
}

/// What came of one step.
pub enum Stepped {
    /// It waits: what it will do then, and what it yields to the loop.
    Yield(Body, Py<PyAny>),
    /// It returned.
    Return(Py<PyAny>),
    /// It raised.
    Raise(PyErr),
}

impl Body {
    /// One step, which throws an exception where it waits if there is one.
    #[inline]
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match self {
            Self::Sleep(sleep) => sleep.step(py, thrown),
            Self::Done => Stepped::Return(py.None()),
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Sleep(sleep) => sleep.awaited(py),
            Self::Done => None,
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Sleep(sleep) => sleep.traverse(visit),
            Self::Done => Ok(()),
        }
    }
}

/// Which coroutine function of asyncio's a coroutine came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `asyncio.sleep`
    Sleep,
}

impl Kind {
    /// The function's `__qualname__`.
    pub fn qualname(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
        }
    }

    /// How many arguments the function needs, `self` among them.
    fn parameters(self) -> usize {
        match self {
            Self::Sleep => 1,
        }
    }

    /// A coroutine of asyncio's own function, not begun: its code and its frame stand for ours. None where this Python's
    /// asyncio has no such function.
    ///
    /// # Errors
    /// None but MemoryError: calling a coroutine function runs nothing of it.
    pub fn stand_in(self, py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
        let originals = imports(py)?.originals.bind(py);
        let Some(function) = originals.get_item(self.qualname())? else {
            return Ok(None);
        };
        if !function.hasattr(intern!(py, "__code__"))? {
            return Ok(None);
        }
        let nothing = (0..self.parameters()).map(|_| py.None());
        function.call1(PyTuple::new(py, nothing)?).map(Some)
    }
}
