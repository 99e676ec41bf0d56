//! The loop that a lock or a queue belongs to: `asyncio.mixins._LoopBoundMixin`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::GilCell;
use crate::combine::running;
use crate::event_loop::work::LoopRef;

/// The loop on which somebody first had to wait.
pub struct LoopBound(GilCell<LoopRef>);

impl Default for LoopBound {
    fn default() -> Self {
        Self(GilCell::new(LoopRef::None))
    }
}

impl LoopBound {
    /// A future of the running loop, which `owner` belongs to from now on.
    ///
    /// # Errors
    /// RuntimeError when it belongs to another loop, or none is running; what the loop's `create_future` raises.
    pub fn create_future<'py>(&self, owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = owner.py();
        let running = running::running_loop(py)?;
        let bound = self.0.with(py, |bound| bound.as_ptr());
        if bound.is_null() {
            self.0.set(py, LoopRef::new(&running));
        } else if bound != running.as_ptr() {
            let text = format!("{} is bound to a different event loop", owner.repr()?);
            return Err(PyRuntimeError::new_err(text));
        }
        let event_loop = self.0.with(py, |bound| bound.clone_ref(py));
        event_loop.create_future(py)
    }

    /// `_loop`
    pub fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let bound = self.0.with(py, |bound| bound.clone_ref(py));
        match bound {
            LoopRef::None => None,
            bound => Some(bound.object(py)),
        }
    }

    /// Sets `_loop`.
    pub fn set(&self, py: Python<'_>, event_loop: Option<&Bound<'_, PyAny>>) {
        self.0
            .set(py, event_loop.map_or(LoopRef::None, LoopRef::new));
    }

    /// Shows the collector what is inside.
    ///
    /// # Safety
    /// Called from `__traverse__`.
    #[allow(unsafe_code)]
    pub unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe { self.0.traverse() }.traverse(visit)
    }
}
