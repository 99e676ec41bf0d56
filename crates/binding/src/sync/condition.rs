//! `Condition`: `asyncio.locks.Condition`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::attributes::{line_attribute, loop_attribute};
use super::bound::LoopBound;
use super::line::Line;
use super::lock::Lock;
use super::step::{Step, truth};
use crate::cell::GilCell;
use crate::combine::any_future;
use crate::combine::body::{Body, Stepped};
use crate::combine::delegate::Delegate;
use crate::combine::place::Place;
use crate::future::Sent;
use crate::imports::is_cancelled_error;

/// The native half of `riata.Condition`. Its lock's methods are attributes of its instances, as asyncio's are.
#[pyclass(frozen, subclass, name = "Condition", module = "riata._native")]
pub struct Condition {
    lock: GilCell<Option<Py<PyAny>>>,
    waiters: Line,
    bound: LoopBound,
}

impl Condition {
    /// The lock of `object`, if that is a condition with a native lock whose methods no class overrides.
    pub fn plain_lock_of<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, Lock>> {
        let py = object.py();
        let condition = object.cast::<Self>().ok()?;
        let lock = condition.get().lock.cloned(py)?.into_bound(py);
        lock.cast_into::<Lock>()
            .ok()
            .filter(|lock| !lock.get().overridden)
    }

    fn is_locked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.call_method0(intern!(slf.py(), "locked"))?.is_truthy()
    }

    fn wake(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        let mut index = 0;
        let mut left = count;
        while left > 0
            && let Some(waiter) = self.waiters.get(py, index)?
        {
            index += 1;
            if !any_future::is_done(&waiter)? {
                left -= 1;
                any_future::set_result(&waiter, PyBool::new(py, false).to_owned().into_any())?;
            }
        }
        Ok(())
    }
}

/// `Condition.wait`
pub struct Wait {
    owner: Py<Condition>,
    stage: Stage,
}

enum Stage {
    Created,
    Waiting(Place),
    /// Taking the lock again, whatever came of the waiting.
    Acquiring(Delegate, Option<PyErr>),
}

impl Wait {
    /// A call that has not begun.
    pub fn of(owner: &Bound<'_, Condition>) -> Self {
        Self {
            owner: owner.clone().unbind(),
            stage: Stage::Created,
        }
    }

    /// One step: what it yields, or what came of it.
    fn advance(&mut self, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Option<Py<PyAny>>> {
        let owner = self.owner.bind(py).clone();
        let outcome = self.stages(&owner, thrown);
        if outcome.is_err() && !matches!(self.stage, Stage::Created) {
            // Whoever notified this one meant somebody who goes on.
            owner.get().wake(py, 1)?;
        }
        outcome
    }

    fn stages(
        &mut self,
        owner: &Bound<'_, Condition>,
        mut thrown: Option<PyErr>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = owner.py();
        let this = owner.get();
        loop {
            match std::mem::replace(&mut self.stage, Stage::Created) {
                Stage::Created => {
                    if let Some(error) = thrown {
                        return Err(error);
                    }
                    if !Condition::is_locked(owner)? {
                        let text = "cannot wait on un-acquired lock";
                        return Err(PyRuntimeError::new_err(text));
                    }
                    let place = this.waiters.join(owner.as_any(), &this.bound)?;
                    if let Err(error) = owner.call_method0(intern!(py, "release")) {
                        this.waiters.remove(place.future(py))?;
                        return Err(error);
                    }
                    self.stage = Stage::Waiting(place);
                }
                Stage::Waiting(place) => match place.resume(py, thrown.take()) {
                    Ok(Sent::Yield(awaited)) => {
                        self.stage = Stage::Waiting(place);
                        return Ok(Some(awaited));
                    }
                    ended => {
                        this.waiters.remove(place.future(py))?;
                        self.acquire(owner, ended.err())?;
                    }
                },
                Stage::Acquiring(acquiring, failure) => {
                    let sent = match thrown.take() {
                        None => acquiring.send(py),
                        Some(error) => acquiring.throw(py, error),
                    };
                    match sent {
                        Ok(Sent::Yield(awaited)) => {
                            self.stage = Stage::Acquiring(acquiring, failure);
                            return Ok(Some(awaited));
                        }
                        Ok(Sent::Return(_)) => {
                            // The stage says whether `advance` passes the notification on.
                            self.stage = Stage::Acquiring(acquiring, None);
                            return failure.map_or(Ok(None), Err);
                        }
                        Err(error) if is_cancelled_error(py, &error)? => {
                            self.acquire(owner, Some(error))?;
                        }
                        Err(error) => {
                            self.stage = Stage::Acquiring(acquiring, None);
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    fn acquire(&mut self, owner: &Bound<'_, Condition>, failure: Option<PyErr>) -> PyResult<()> {
        let acquiring = owner.call_method0(intern!(owner.py(), "acquire"))?;
        self.stage = Stage::Acquiring(Delegate::new(&acquiring)?, failure);
        Ok(())
    }

    /// One step.
    pub fn step(mut self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match self.advance(py, thrown) {
            Ok(Some(awaited)) => Stepped::Yield(Body::Sync(Step::Condition(self)), awaited),
            Ok(None) => Stepped::Return(truth(py)),
            Err(error) => Stepped::Raise(error),
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match &self.stage {
            Stage::Created => None,
            Stage::Waiting(place) => Some(place.awaited(py)),
            Stage::Acquiring(acquiring, _) => Some(acquiring.clone_ref(py)),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        match &self.stage {
            Stage::Created => Ok(()),
            Stage::Waiting(place) => place.traverse(visit),
            Stage::Acquiring(acquiring, _) => acquiring.traverse(visit),
        }
    }
}

/// `Condition.wait_for`
pub struct WaitFor {
    predicate: Py<PyAny>,
    owner: Py<Condition>,
    waiting: Option<Delegate>,
}

impl WaitFor {
    /// A call that has not begun.
    pub fn of(owner: &Bound<'_, Condition>, predicate: &Bound<'_, PyAny>) -> Self {
        Self {
            predicate: predicate.clone().unbind(),
            owner: owner.clone().unbind(),
            waiting: None,
        }
    }

    fn advance(
        &mut self,
        py: Python<'_>,
        mut thrown: Option<PyErr>,
    ) -> PyResult<Result<Py<PyAny>, Py<PyAny>>> {
        loop {
            match self.waiting.take() {
                Some(waiting) => {
                    let sent = match thrown.take() {
                        None => waiting.send(py),
                        Some(error) => waiting.throw(py, error),
                    };
                    if let Sent::Yield(awaited) = sent? {
                        self.waiting = Some(waiting);
                        return Ok(Err(awaited));
                    }
                }
                None => {
                    if let Some(error) = thrown.take() {
                        return Err(error);
                    }
                }
            }
            let result = self.predicate.bind(py).call0()?;
            if result.is_truthy()? {
                return Ok(Ok(result.unbind()));
            }
            let waiting = self.owner.bind(py).call_method0(intern!(py, "wait"))?;
            self.waiting = Some(Delegate::new(&waiting)?);
        }
    }

    /// One step.
    pub fn step(mut self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match self.advance(py, thrown) {
            Ok(Ok(result)) => Stepped::Return(result),
            Ok(Err(awaited)) => Stepped::Yield(Body::Sync(Step::WaitFor(self)), awaited),
            Err(error) => Stepped::Raise(error),
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        self.waiting.as_ref().map(|waiting| waiting.clone_ref(py))
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.predicate)?;
        visit.call(&self.owner)?;
        match &self.waiting {
            Some(waiting) => waiting.traverse(visit),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            lock: GilCell::new(None),
            waiters: Line::default(),
            bound: LoopBound::default(),
        }
    }

    /// Wake so many of those who wait: they go on once they have the lock.
    ///
    /// Raises RuntimeError when the lock is not acquired.
    #[pyo3(signature = (n = None), text_signature = "($self, n=1)")]
    fn notify(slf: &Bound<'_, Self>, n: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if !Self::is_locked(slf)? {
            let text = "cannot notify on un-acquired lock";
            return Err(PyRuntimeError::new_err(text));
        }
        slf.get()._notify(slf.py(), n)
    }

    /// Wake all who wait.
    ///
    /// Raises RuntimeError when the lock is not acquired.
    fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let count = slf.get().waiters.len(slf.py())?;
        slf.call_method1(intern!(slf.py(), "notify"), (count,))
            .map(drop)
    }

    #[pyo3(signature = (n = None))]
    fn _notify(&self, py: Python<'_>, n: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let count = match n {
            None => 1,
            Some(n) => match n.extract::<i64>() {
                Ok(n) => usize::try_from(n).unwrap_or(0),
                Err(_) if n.gt(0)? => n.call_method0(intern!(py, "__ceil__"))?.extract()?,
                Err(_) => 0,
            },
        };
        self.wake(py, count)
    }

    #[getter]
    fn _lock(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.lock.cloned(py)
    }

    #[setter(_lock)]
    fn set_lock(&self, py: Python<'_>, lock: Option<Py<PyAny>>) {
        self.lock.set(py, lock);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.lock.traverse())?;
            self.waiters.traverse(&visit)?;
            self.bound.traverse(&visit)
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.lock.set(py, None);
            self.waiters.set(py, None);
            self.bound.set(py, None);
        });
    }
}

loop_attribute!(Condition);
line_attribute!(Condition, _waiters, set_waiters, waiters);
