//! The coroutines of locks and queues: one variant for each.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use pyo3::{PyTraverseError, PyVisit};

use super::queue::calls::{Get, Join, Next, Put};
use super::semaphore::Semaphore;
use super::{condition, event, lock, semaphore};
use crate::combine::body::{Body, Stepped};
use crate::combine::delegate::Delegate;
use crate::combine::waits::Call;
use crate::future::Sent;

/// True, as a result.
#[inline]
pub fn truth(py: Python<'_>) -> Py<PyAny> {
    PyBool::new(py, true).to_owned().into_any().unbind()
}

/// What `async with` takes and gives back without a look at `acquire` and `release`.
pub enum Plain<'py> {
    /// A lock, or that of a condition.
    Lock(Bound<'py, lock::Lock>),
    /// A semaphore.
    Semaphore(Bound<'py, Semaphore>),
    /// One whose Python class has methods of its own.
    Neither,
}

impl<'py> Plain<'py> {
    /// What `owner` is. Each question is a walk along a class's bases: the most frequent comes first.
    #[inline]
    pub fn of(owner: &Bound<'py, PyAny>) -> Self {
        if let Ok(lock) = owner.cast::<lock::Lock>() {
            return match lock.get().overridden {
                true => Self::Neither,
                false => Self::Lock(lock.clone()),
            };
        }
        if let Ok(semaphore) = owner.cast::<Semaphore>() {
            return match semaphore.get().overridden {
                true => Self::Neither,
                false => Self::Semaphore(semaphore.clone()),
            };
        }
        condition::Condition::plain_lock_of(owner).map_or(Self::Neither, Self::Lock)
    }
}

/// `async with` of a lock whose Python class has an `acquire` of its own.
pub enum Entering {
    /// Not begun.
    Created(Py<PyAny>),
    /// In `acquire`.
    Waiting(Delegate),
}

impl Entering {
    fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        let acquiring = match (self, &thrown) {
            (Self::Created(owner), None) => {
                let acquiring = owner
                    .bind(py)
                    .call_method0(intern!(py, "acquire"))
                    .and_then(|acquiring| Delegate::new(&acquiring));
                match acquiring {
                    Ok(acquiring) => acquiring,
                    Err(error) => return Stepped::Raise(error),
                }
            }
            (Self::Created(_), Some(_)) => {
                return thrown.map_or_else(|| Stepped::Return(py.None()), Stepped::Raise);
            }
            (Self::Waiting(acquiring), _) => acquiring,
        };
        let sent = match thrown {
            None => acquiring.send(py),
            Some(error) => acquiring.throw(py, error),
        };
        match sent {
            Ok(Sent::Yield(awaited)) => Stepped::Yield(
                Body::Sync(Step::Entering(Self::Waiting(acquiring))),
                awaited,
            ),
            Ok(Sent::Return(_)) => Stepped::Return(py.None()),
            Err(error) => Stepped::Raise(error),
        }
    }
}

/// A coroutine of a lock or a queue.
pub enum Step {
    /// `Lock.acquire`
    Lock(Call<lock::Acquire>),
    /// `Semaphore.acquire`
    Semaphore(Call<semaphore::Acquire>),
    /// `Event.wait`
    Event(Call<event::Wait>),
    /// `Condition.wait`
    Condition(condition::Wait),
    /// `Condition.wait_for`
    WaitFor(condition::WaitFor),
    /// `__aenter__` where `acquire` is overridden
    Entering(Entering),
    /// `__aexit__`
    Exiting(Py<PyAny>),
    /// `Queue.get`
    Get(Call<Get>),
    /// `Queue.put`
    Put(Call<Put>),
    /// `Queue.join`
    Join(Call<Join>),
    /// `Queue.__anext__`
    Next(Call<Next>),
}

impl Step {
    /// One step, which throws an exception where it waits if there is one.
    #[inline]
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match self {
            Self::Lock(call) => call.step(py, thrown, |call| Body::Sync(Self::Lock(call))),
            Self::Semaphore(call) => {
                call.step(py, thrown, |call| Body::Sync(Self::Semaphore(call)))
            }
            Self::Event(call) => call.step(py, thrown, |call| Body::Sync(Self::Event(call))),
            Self::Condition(wait) => wait.step(py, thrown),
            Self::WaitFor(wait) => wait.step(py, thrown),
            Self::Entering(entering) => entering.step(py, thrown),
            Self::Exiting(owner) => exit(owner.bind(py), thrown),
            Self::Get(call) => call.step(py, thrown, |call| Body::Sync(Self::Get(call))),
            Self::Put(call) => call.step(py, thrown, |call| Body::Sync(Self::Put(call))),
            Self::Join(call) => call.step(py, thrown, |call| Body::Sync(Self::Join(call))),
            Self::Next(call) => call.step(py, thrown, |call| Body::Sync(Self::Next(call))),
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Lock(call) => call.awaited(py),
            Self::Semaphore(call) => call.awaited(py),
            Self::Event(call) => call.awaited(py),
            Self::Condition(wait) => wait.awaited(py),
            Self::WaitFor(wait) => wait.awaited(py),
            Self::Entering(Entering::Waiting(acquiring)) => Some(acquiring.clone_ref(py)),
            Self::Entering(Entering::Created(_)) | Self::Exiting(_) => None,
            Self::Get(call) => call.awaited(py),
            Self::Put(call) => call.awaited(py),
            Self::Join(call) => call.awaited(py),
            Self::Next(call) => call.awaited(py),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Lock(call) => call.traverse(visit),
            Self::Semaphore(call) => call.traverse(visit),
            Self::Event(call) => call.traverse(visit),
            Self::Condition(wait) => wait.traverse(visit),
            Self::WaitFor(wait) => wait.traverse(visit),
            Self::Entering(Entering::Waiting(acquiring)) => acquiring.traverse(visit),
            Self::Entering(Entering::Created(owner)) | Self::Exiting(owner) => visit.call(owner),
            Self::Get(call) => call.traverse(visit),
            Self::Put(call) => {
                call.method.traverse(visit)?;
                call.traverse(visit)
            }
            Self::Join(call) => call.traverse(visit),
            Self::Next(call) => call.traverse(visit),
        }
    }
}

/// `__aexit__`: gives back what `__aenter__` took.
fn exit(owner: &Bound<'_, PyAny>, thrown: Option<PyErr>) -> Stepped {
    let py = owner.py();
    if let Some(error) = thrown {
        return Stepped::Raise(error);
    }
    let released = match Plain::of(owner) {
        Plain::Lock(lock) => lock.get().release(py),
        Plain::Semaphore(semaphore) => Semaphore::release_any(&semaphore),
        Plain::Neither => owner.call_method0(intern!(py, "release")).map(drop),
    };
    match released {
        Ok(()) => Stepped::Return(py.None()),
        Err(error) => Stepped::Raise(error),
    }
}
