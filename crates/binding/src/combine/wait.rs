//! `wait`.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PySet, PyString};
use pyo3::{PyTraverseError, PyVisit};

use super::alarm::{Alarm, Set};
use super::any_future;
use super::body::{Body, Stepped};
use super::delegate::Delegate;
use super::observer::Observer;
use super::running;
use crate::cell::GilCell;
use crate::coroutine;
use crate::event_loop::work::LoopRef;
use crate::future::Sent;
use crate::version::version;

/// When enough has happened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// `FIRST_COMPLETED`
    First,
    /// `FIRST_EXCEPTION`
    Exception,
    /// `ALL_COMPLETED`
    All,
}

/// Counts futures that are done, and then gives a future its result: what asyncio's `_wait` does in `_on_completion`.
#[pyclass(frozen, name = "Countdown", module = "riata._native")]
pub struct Countdown {
    left: GilCell<usize>,
    until: Until,
    /// What gets None when enough has happened.
    waiter: Py<PyAny>,
    alarm: GilCell<Option<Set>>,
    /// The task that waits, for the call graph of Python 3.14.
    caller: Option<Py<PyAny>>,
}

impl Countdown {
    /// A countdown for `left` futures, by which a new future of `event_loop` is resolved.
    ///
    /// # Errors
    /// What the loop's `create_future` raises.
    pub fn create<'py>(
        py: Python<'py>,
        event_loop: &Bound<'py, PyAny>,
        left: usize,
        until: Until,
    ) -> PyResult<Bound<'py, Self>> {
        let caller = match version(py)?.awaited_by {
            true => running::task(event_loop)?,
            false => None,
        };
        let waiter = LoopRef::new(event_loop).create_future(py)?;
        let this = Self {
            left: GilCell::new(left),
            until,
            waiter: waiter.unbind(),
            alarm: GilCell::new(None),
            caller: caller.map(Bound::unbind),
        };
        Bound::new(py, this)
    }

    /// What to await.
    ///
    /// # Errors
    /// What its `__await__` raises.
    pub fn awaited(&self, py: Python<'_>) -> PyResult<Delegate> {
        Delegate::new(self.waiter.bind(py))
    }

    /// Resolves the future after `timeout` seconds at the latest.
    ///
    /// # Errors
    /// What the loop's `call_later` raises.
    pub fn limit(&self, event_loop: &Bound<'_, PyAny>, timeout: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        let alarm = Alarm::Release(self.waiter.clone_ref(py));
        let set = Set::later(py, &LoopRef::new(event_loop), timeout, alarm)?;
        self.alarm.set(py, Some(set));
        Ok(())
    }

    /// Listens to `future`.
    ///
    /// # Errors
    /// What a future that is not ours raises; so for those that follow.
    pub fn watch(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        any_future::observe(future, Observer::Wait(slf.clone().unbind()))?;
        any_future::add_awaited_by(future, slf.get().caller(slf.py()))
    }

    /// Listens no more.
    pub fn unwatch(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        any_future::unobserve(future, Observer::Wait(slf.clone().unbind()))?;
        any_future::discard_awaited_by(future, slf.get().caller(slf.py()))
    }

    fn caller<'a, 'py>(&'a self, py: Python<'py>) -> Option<&'a Bound<'py, PyAny>> {
        self.caller.as_ref().map(|caller| caller.bind(py))
    }

    /// Takes the limit back.
    pub fn stop_alarm(&self, py: Python<'_>) -> PyResult<()> {
        match self.alarm.take(py) {
            Some(set) => set.cancel(py),
            None => Ok(()),
        }
    }

    /// One of the futures is done.
    pub fn completed(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let left = this.left.with(py, |left| {
            *left = left.saturating_sub(1);
            *left
        });
        let enough = left == 0
            || match this.until {
                Until::First => true,
                Until::Exception => {
                    !any_future::is_cancelled(future)? && any_future::exception(future)?.is_some()
                }
                Until::All => false,
            };
        if enough {
            this.stop_alarm(py)?;
            release(this.waiter.bind(py))?;
        }
        any_future::discard_awaited_by(future, this.caller(py))
    }
}

/// `asyncio.tasks._release_waiter`.
///
/// # Errors
/// What a future that is not ours raises.
pub fn release(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    match any_future::is_done(waiter)? {
        true => Ok(()),
        false => any_future::set_result(waiter, waiter.py().None().into_bound(waiter.py())),
    }
}

#[pymethods]
impl Countdown {
    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.waiter)?;
        visit.call(&self.caller)?;
        // SAFETY: B3: called by the collector.
        match unsafe { self.alarm.traverse() } {
            Some(set) => set.traverse(&visit),
            None => Ok(()),
        }
    }
}

/// What `wait` does.
pub enum Wait {
    /// Not begun: futures, timeout, what to wait for.
    Created(Py<PyAny>, Option<Py<PyAny>>, Option<Py<PyAny>>),
    /// Until enough are done.
    Waiting(Box<Waiting>),
}

/// A `wait` that has begun.
pub struct Waiting {
    futures: Vec<Py<PyAny>>,
    countdown: Py<Countdown>,
    awaited: Delegate,
}

impl Wait {
    /// One step.
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        let waiting = match (self, thrown) {
            (Self::Created(futures, timeout, until), None) => {
                let timeout = timeout.map(|timeout| timeout.into_bound(py));
                let until = until.map(|until| until.into_bound(py));
                match Self::begin(futures.bind(py), timeout, until) {
                    Ok(waiting) => waiting.go_on(py, None),
                    Err(error) => Err(error),
                }
            }
            (Self::Waiting(waiting), thrown) => waiting.go_on(py, thrown),
            (Self::Created(..), Some(error)) => Err(error),
        };
        waiting.unwrap_or_else(Stepped::Raise)
    }

    fn begin(
        futures: &Bound<'_, PyAny>,
        timeout: Option<Bound<'_, PyAny>>,
        until: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Box<Waiting>> {
        let py = futures.py();
        if any_future::is_future(futures)? || coroutine::is_coroutine(futures)? {
            let text = format!(
                "expect a list of futures, not {}",
                futures.get_type().name()?
            );
            return Err(PyTypeError::new_err(text));
        }
        if !futures.is_truthy()? {
            return Err(PyValueError::new_err("Set of Tasks/Futures is empty."));
        }
        let until = until_of(py, until)?;
        let set = py.get_type::<PySet>().call1((futures,))?;
        let futures: Vec<Bound<'_, PyAny>> = set.try_iter()?.collect::<PyResult<_>>()?;
        for future in &futures {
            if any_future::native(future).is_none() && coroutine::is_coroutine(future)? {
                let text = "Passing coroutines is forbidden, use tasks explicitly.";
                return Err(PyTypeError::new_err(text));
            }
        }
        let event_loop = running::running_loop(py)?;
        let countdown = Countdown::create(py, &event_loop, futures.len(), until)?;
        if let Some(timeout) = timeout.filter(|timeout| !timeout.is_none()) {
            countdown.get().limit(&event_loop, &timeout)?;
        }
        for future in &futures {
            Countdown::watch(&countdown, future)?;
        }
        let awaited = countdown.get().awaited(py)?;
        Ok(Box::new(Waiting {
            futures: futures.into_iter().map(Bound::unbind).collect(),
            countdown: countdown.unbind(),
            awaited,
        }))
    }

    /// What `cr_await` shows.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Waiting(waiting) => Some(waiting.awaited.clone_ref(py)),
            Self::Created(..) => None,
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Created(futures, timeout, until) => {
                visit.call(futures)?;
                visit.call(timeout)?;
                visit.call(until)
            }
            Self::Waiting(waiting) => {
                for future in &waiting.futures {
                    visit.call(future)?;
                }
                visit.call(&waiting.countdown)?;
                waiting.awaited.traverse(visit)
            }
        }
    }
}

impl Waiting {
    fn go_on(self: Box<Self>, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Stepped> {
        let sent = match thrown {
            None => self.awaited.send(py),
            Some(error) => self.awaited.throw(py, error),
        };
        if let Ok(Sent::Yield(awaited)) = sent {
            return Ok(Stepped::Yield(Body::Wait(Wait::Waiting(self)), awaited));
        }
        let countdown = self.countdown.bind(py);
        countdown.get().stop_alarm(py)?;
        for future in &self.futures {
            Countdown::unwatch(countdown, future.bind(py))?;
        }
        sent?;
        let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
        for future in &self.futures {
            let future = future.bind(py);
            match any_future::is_done(future)? {
                true => done.add(future)?,
                false => pending.add(future)?,
            }
        }
        Ok(Stepped::Return(
            (done, pending).into_pyobject(py)?.into_any().unbind(),
        ))
    }
}

fn until_of(py: Python<'_>, until: Option<Bound<'_, PyAny>>) -> PyResult<Until> {
    let Some(until) = until else {
        return Ok(Until::All);
    };
    let is =
        |name: &Bound<'_, PyString>| -> PyResult<bool> { Ok(until.is(name) || until.eq(name)?) };
    if is(intern!(py, "FIRST_COMPLETED"))? {
        Ok(Until::First)
    } else if is(intern!(py, "FIRST_EXCEPTION"))? {
        Ok(Until::Exception)
    } else if is(intern!(py, "ALL_COMPLETED"))? {
        Ok(Until::All)
    } else {
        let text = format!(
            "Invalid return_when value: {}",
            until.str()?.to_string_lossy()
        );
        Err(PyValueError::new_err(text))
    }
}
