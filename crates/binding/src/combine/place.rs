//! What a coroutine that waits its turn awaits: the future of its place in a line.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::delegate::Delegate;
use crate::future::Sent;

/// The future of one who waits.
pub struct Place {
    future: Py<PyAny>,
    awaited: Delegate,
}

impl Place {
    /// The place of him whom `future` will tell.
    ///
    /// # Errors
    /// TypeError for what cannot be awaited.
    pub fn of(future: Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            awaited: Delegate::new(&future)?,
            future: future.unbind(),
        })
    }

    /// The future.
    pub fn future<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        self.future.bind(py)
    }

    /// Goes on awaiting, or throws into what is awaited.
    ///
    /// # Errors
    /// What it raises, CancelledError for one.
    #[inline]
    pub fn resume(&self, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Sent> {
        match thrown {
            None => self.awaited.send(py),
            Some(error) => self.awaited.throw(py, error),
        }
    }

    /// What `cr_await` shows.
    pub fn awaited(&self, py: Python<'_>) -> Delegate {
        self.awaited.clone_ref(py)
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.future)?;
        self.awaited.traverse(visit)
    }
}
