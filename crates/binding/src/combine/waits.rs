//! Coroutine methods of locks, queues and streams: they try, and wait their turn until they may try again.

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyTraverseError, PyVisit};

use super::body::{Body, Stepped};
use super::delegate::Delegate;
use super::place::Place;
use crate::future::Sent;

/// What came of a try.
pub enum Outcome {
    /// The result.
    Return(Py<PyAny>),
    /// Wait for one's turn.
    Wait(Place),
}

/// A coroutine method that tries, and waits for its turn until it may try again.
pub trait Waits: Sized {
    /// Whose method it is.
    type Owner: PyClass<Frozen = True> + Sync;

    /// The first try.
    ///
    /// # Errors
    /// What the method raises.
    fn begin(&self, owner: &Bound<'_, Self::Owner>) -> PyResult<Outcome>;

    /// After waiting in `place`, which has to be given up: another try, or what is to be undone.
    ///
    /// # Errors
    /// What the method raises; `outcome`'s own.
    fn resumed(
        &self,
        owner: &Bound<'_, Self::Owner>,
        place: &Place,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<Outcome>;
}

/// One call of such a method.
pub struct Call<W: Waits> {
    owner: Py<W::Owner>,
    /// Which, and its arguments.
    pub method: W,
    place: Option<Place>,
}

impl<W: Waits> Call<W> {
    /// A call that has not begun.
    #[inline]
    pub fn new(owner: &Bound<'_, W::Owner>, method: W) -> Self {
        Self {
            owner: owner.clone().unbind(),
            method,
            place: None,
        }
    }

    /// One step. `wrap` says what this is among all coroutines.
    #[inline]
    pub fn step(
        mut self,
        py: Python<'_>,
        thrown: Option<PyErr>,
        wrap: fn(Self) -> Body,
    ) -> Stepped {
        let owner = self.owner.bind(py);
        let mut tried = match (self.place.take(), thrown) {
            (None, Some(error)) => return Stepped::Raise(error),
            (None, None) => self.method.begin(owner),
            (Some(place), thrown) => match place.resume(py, thrown) {
                Ok(Sent::Yield(awaited)) => {
                    self.place = Some(place);
                    return Stepped::Yield(wrap(self), awaited);
                }
                Ok(Sent::Return(result)) => self.method.resumed(owner, &place, Ok(result)),
                Err(error) => self.method.resumed(owner, &place, Err(error)),
            },
        };
        loop {
            let place = match tried {
                Ok(Outcome::Return(result)) => return Stepped::Return(result),
                Ok(Outcome::Wait(place)) => place,
                Err(error) => return Stepped::Raise(error),
            };
            tried = match place.resume(py, None) {
                Ok(Sent::Yield(awaited)) => {
                    self.place = Some(place);
                    return Stepped::Yield(wrap(self), awaited);
                }
                Ok(Sent::Return(result)) => self.method.resumed(owner, &place, Ok(result)),
                Err(error) => self.method.resumed(owner, &place, Err(error)),
            };
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        self.place.as_ref().map(|place| place.awaited(py))
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        match &self.place {
            Some(place) => place.traverse(visit),
            None => Ok(()),
        }
    }
}
