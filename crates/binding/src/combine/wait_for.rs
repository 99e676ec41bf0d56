//! `wait_for`: from Python 3.12 on a timeout around `await`; on 3.11 a race of a task and a timer.

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::any_future::{self, Message};
use super::body::{Body, Stepped};
use super::delegate::Delegate;
use super::ensure_future;
use super::running;
use super::timeout::Timeout;
use super::wait::{Countdown, Until};
use crate::future::Sent;
use crate::imports::imports;
use crate::version::version;

/// What `wait_for` does.
pub enum WaitFor {
    /// Not begun: what to wait for, and how many seconds.
    Created(Py<PyAny>, Py<PyAny>),
    /// Python 3.11 without a timeout: `await` alone.
    Bare(Delegate),
    /// In a timeout.
    Timed(Py<Timeout>, Delegate),
    /// Python 3.11: until the future is done or the time is over.
    Racing(Race),
    /// The future was cancelled and is to end.
    Ending(Race, Then),
}

/// A future that something listens to.
pub struct Race {
    future: Py<PyAny>,
    countdown: Py<Countdown>,
    awaited: Delegate,
}

/// What follows when a cancelled future has ended.
pub enum Then {
    /// Its result, and TimeoutError for its CancelledError.
    Answer,
    /// This exception.
    Raise(Py<PyAny>),
}

impl Race {
    fn begin(py: Python<'_>, event_loop: &Bound<'_, PyAny>, future: Py<PyAny>) -> PyResult<Self> {
        let countdown = Countdown::create(py, event_loop, 1, Until::All)?;
        let awaited = countdown.get().awaited(py)?;
        Ok(Self {
            future,
            countdown: countdown.unbind(),
            awaited,
        })
    }

    fn watch(&self, py: Python<'_>) -> PyResult<()> {
        Countdown::watch(self.countdown.bind(py), self.future.bind(py))
    }

    fn unwatch(&self, py: Python<'_>) -> PyResult<()> {
        Countdown::unwatch(self.countdown.bind(py), self.future.bind(py))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.future)?;
        visit.call(&self.countdown)?;
        self.awaited.traverse(visit)
    }
}

impl WaitFor {
    /// One step.
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        let stepped = match self {
            Self::Created(awaitable, timeout) => match thrown {
                None => Self::begin(awaitable.bind(py), timeout.bind(py)),
                Some(error) => Err(error),
            },
            Self::Bare(awaited) => bare(py, awaited, thrown),
            Self::Timed(timeout, awaited) => timed(py, timeout, awaited, thrown),
            Self::Racing(race) => racing(py, race, thrown),
            Self::Ending(race, then) => ending(py, race, then, thrown),
        };
        stepped.unwrap_or_else(Stepped::Raise)
    }

    fn begin(awaitable: &Bound<'_, PyAny>, timeout: &Bound<'_, PyAny>) -> PyResult<Stepped> {
        let py = awaitable.py();
        let races = version(py)?.wait_for_makes_a_task;
        let event_loop = running::running_loop(py)?;
        if timeout.is_none() && races {
            return bare(py, Delegate::new(awaitable)?, None);
        }
        if !timeout.is_none() && timeout.rich_compare(0, CompareOp::Le)?.is_truthy()? {
            let future = ensure_future::ensure(awaitable, races.then_some(&event_loop))?;
            if any_future::is_done(&future)? {
                return any_future::result(&future).map(|result| Stepped::Return(result.unbind()));
            }
            return end(py, &event_loop, future.unbind(), Then::Answer);
        }
        if races {
            let future = py.None();
            let mut race = Race::begin(py, &event_loop, future)?;
            race.countdown.get().limit(&event_loop, timeout)?;
            race.future = ensure_future::ensure(awaitable, Some(&event_loop))?.unbind();
            race.watch(py)?;
            return racing(py, race, None);
        }
        let timeout = Bound::new(py, Timeout::after(&event_loop, Some(timeout))?)?;
        Timeout::enter(&timeout)?;
        match Delegate::new(awaitable) {
            Ok(awaited) => timed(py, timeout.unbind(), awaited, None),
            Err(error) => {
                Timeout::leave(&timeout, Some(error.value(py)))?;
                Err(error)
            }
        }
    }

    /// What `cr_await` shows.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Created(..) => None,
            Self::Bare(awaited) | Self::Timed(_, awaited) => Some(awaited.clone_ref(py)),
            Self::Racing(race) | Self::Ending(race, _) => Some(race.awaited.clone_ref(py)),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Created(awaitable, timeout) => {
                visit.call(awaitable)?;
                visit.call(timeout)
            }
            Self::Bare(awaited) => awaited.traverse(visit),
            Self::Timed(timeout, awaited) => {
                visit.call(timeout)?;
                awaited.traverse(visit)
            }
            Self::Racing(race) | Self::Ending(race, Then::Answer) => race.traverse(visit),
            Self::Ending(race, Then::Raise(error)) => {
                race.traverse(visit)?;
                visit.call(error)
            }
        }
    }
}

fn go_on(py: Python<'_>, awaited: &Delegate, thrown: Option<PyErr>) -> PyResult<Sent> {
    match thrown {
        None => awaited.send(py),
        Some(error) => awaited.throw(py, error),
    }
}

fn bare(py: Python<'_>, awaited: Delegate, thrown: Option<PyErr>) -> PyResult<Stepped> {
    Ok(match go_on(py, &awaited, thrown)? {
        Sent::Yield(yielded) => Stepped::Yield(Body::WaitFor(WaitFor::Bare(awaited)), yielded),
        Sent::Return(result) => Stepped::Return(result),
    })
}

#[inline]
fn timed(
    py: Python<'_>,
    timeout: Py<Timeout>,
    awaited: Delegate,
    thrown: Option<PyErr>,
) -> PyResult<Stepped> {
    match go_on(py, &awaited, thrown) {
        Ok(Sent::Yield(yielded)) => {
            let body = Body::WaitFor(WaitFor::Timed(timeout, awaited));
            Ok(Stepped::Yield(body, yielded))
        }
        Ok(Sent::Return(result)) => {
            Timeout::leave(timeout.bind(py), None)?;
            Ok(Stepped::Return(result))
        }
        Err(error) => {
            Timeout::leave(timeout.bind(py), Some(error.value(py)))?;
            Err(error)
        }
    }
}

/// `_cancel_and_wait`, begun.
fn end(
    py: Python<'_>,
    event_loop: &Bound<'_, PyAny>,
    future: Py<PyAny>,
    then: Then,
) -> PyResult<Stepped> {
    let race = Race::begin(py, event_loop, future)?;
    race.watch(py)?;
    if let Err(error) = any_future::cancel(race.future.bind(py), Message::None) {
        race.unwatch(py)?;
        return Err(error);
    }
    ending(py, race, then, None)
}

fn ending(py: Python<'_>, race: Race, then: Then, thrown: Option<PyErr>) -> PyResult<Stepped> {
    let sent = go_on(py, &race.awaited, thrown);
    if let Ok(Sent::Yield(yielded)) = sent {
        let body = Body::WaitFor(WaitFor::Ending(race, then));
        return Ok(Stepped::Yield(body, yielded));
    }
    race.unwatch(py)?;
    sent?;
    match then {
        Then::Raise(error) => Err(PyErr::from_value(error.into_bound(py))),
        Then::Answer => match any_future::result(race.future.bind(py)) {
            Ok(result) => Ok(Stepped::Return(result.unbind())),
            Err(error) if is_cancelled_error(py, &error)? => {
                let timeout = PyTimeoutError::new_err(());
                timeout.set_cause(py, Some(error.clone_ref(py)));
                timeout.set_context(py, Some(error));
                Err(timeout)
            }
            Err(error) => Err(error),
        },
    }
}

/// Python 3.11.
fn racing(py: Python<'_>, race: Race, thrown: Option<PyErr>) -> PyResult<Stepped> {
    let sent = go_on(py, &race.awaited, thrown);
    if let Ok(Sent::Yield(yielded)) = sent {
        let body = Body::WaitFor(WaitFor::Racing(race));
        return Ok(Stepped::Yield(body, yielded));
    }
    race.countdown.get().stop_alarm(py)?;
    let then = match sent {
        Ok(_) => Then::Answer,
        Err(error) if is_cancelled_error(py, &error)? => {
            Then::Raise(error.into_value(py).into_any())
        }
        Err(error) => return Err(error),
    };
    let future = race.future.bind(py);
    if any_future::is_done(future)? {
        return any_future::result(future).map(|result| Stepped::Return(result.unbind()));
    }
    race.unwatch(py)?;
    // The task must not be running any more when `wait_for` is over.
    end(py, &running::running_loop(py)?, race.future, then)
}

fn is_cancelled_error(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    Ok(error.is_instance(py, imports(py)?.cancelled_error.bind(py)))
}
