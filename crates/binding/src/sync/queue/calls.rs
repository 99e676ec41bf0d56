//! The coroutines of queues: `get`, `put`, `join` and `__anext__`.

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::super::event;
use super::Queue;
use crate::combine::place::Place;
use crate::combine::waits::{Outcome, Waits};
use crate::imports::sync_class;

/// `Queue.get`
pub struct Get;

impl Waits for Get {
    type Owner = Queue;

    #[inline]
    fn begin(&self, owner: &Bound<'_, Queue>) -> PyResult<Outcome> {
        let this = owner.get();
        if !Queue::is_empty(owner)? {
            return Queue::take_now(owner).map(Outcome::Return);
        }
        this.check_shut_down(owner.py())?;
        this.getters
            .join(owner.as_any(), &this.bound)
            .map(Outcome::Wait)
    }

    fn resumed(
        &self,
        owner: &Bound<'_, Queue>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        if let Err(error) = outcome {
            Queue::give_up(owner, place, &owner.get().getters, Queue::is_empty)?;
            return Err(error);
        }
        self.begin(owner)
    }
}

/// `Queue.put`
pub struct Put(Py<PyAny>);

impl Put {
    /// A call that puts `item`.
    pub fn of(item: &Bound<'_, PyAny>) -> Self {
        Self(item.clone().unbind())
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Waits for Put {
    type Owner = Queue;

    #[inline]
    fn begin(&self, owner: &Bound<'_, Queue>) -> PyResult<Outcome> {
        let py = owner.py();
        let this = owner.get();
        if !Queue::is_full(owner)? {
            return Queue::put_now(owner, self.0.bind(py)).map(Outcome::Return);
        }
        this.check_shut_down(py)?;
        this.putters
            .join(owner.as_any(), &this.bound)
            .map(Outcome::Wait)
    }

    fn resumed(
        &self,
        owner: &Bound<'_, Queue>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        if let Err(error) = outcome {
            Queue::give_up(owner, place, &owner.get().putters, Queue::is_full)?;
            return Err(error);
        }
        self.begin(owner)
    }
}

/// `Queue.join`
pub struct Join;

impl Waits for Join {
    type Owner = Queue;

    fn begin(&self, owner: &Bound<'_, Queue>) -> PyResult<Outcome> {
        let py = owner.py();
        if owner.get().unfinished.get(py) <= 0 {
            return Ok(Outcome::Return(py.None()));
        }
        match event::Wait.begin(&owner.get().event(py)?)? {
            Outcome::Return(_) => Ok(Outcome::Return(py.None())),
            waiting => Ok(waiting),
        }
    }

    fn resumed(
        &self,
        owner: &Bound<'_, Queue>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        let py = owner.py();
        event::Wait.resumed(&owner.get().event(py)?, place, outcome)?;
        Ok(Outcome::Return(py.None()))
    }
}

/// `Queue.__anext__`
pub struct Next;

impl Next {
    fn or_end(py: Python<'_>, outcome: PyResult<Outcome>) -> PyResult<Outcome> {
        match outcome {
            Err(error) if error.is_instance(py, &sync_class(py, "QueueShutDown")?) => {
                Err(PyStopAsyncIteration::new_err(()))
            }
            outcome => outcome,
        }
    }
}

impl Waits for Next {
    type Owner = Queue;

    fn begin(&self, owner: &Bound<'_, Queue>) -> PyResult<Outcome> {
        Self::or_end(owner.py(), Get.begin(owner))
    }

    fn resumed(
        &self,
        owner: &Bound<'_, Queue>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome> {
        Self::or_end(owner.py(), Get.resumed(owner, place, outcome))
    }
}
