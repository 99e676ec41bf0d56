//! Native parties that want to be told when a time has come: what asyncio gives a callback to `call_later` for.
//!
//! On a loop of ours an alarm stands among the timers as itself, without a handle. Where a loop's scheduling is overridden,
//! in debug mode and on other loops it goes through `call_later` and `call_at` as a callable.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::clock::{Nanos, monotonic};
use riata_engine::timers::TimerKey;

use super::as_completed::AsCompleted;
use super::timeout::Timeout;
use super::wait;
use crate::event_loop::EventLoop;
use crate::event_loop::work::LoopRef;
use crate::future::{Future, State};

/// What happens when the time has come.
pub enum Alarm {
    /// A future gets a result, unless it was cancelled: `asyncio.futures._set_result_unless_cancelled`.
    Resolve(Py<PyAny>),
    /// The same with a result other than None; boxed, since it is rare and would make every timer larger.
    ResolveWith(Box<(Py<PyAny>, Py<PyAny>)>),
    /// A future gets None, unless it is done: `asyncio.tasks._release_waiter`.
    Release(Py<PyAny>),
    /// A timeout cancels its task.
    Timeout(Py<Timeout>),
    /// What is not done yet will not be by `as_completed`.
    Completed(Py<AsCompleted>),
}

impl Alarm {
    /// Does it.
    ///
    /// # Errors
    /// What asyncio's callback would raise.
    pub fn ring(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Release(waiter) => wait::release(waiter.bind(py)),
            Self::Timeout(timeout) => Timeout::expire(timeout.bind(py)),
            Self::Completed(iterator) => AsCompleted::time_out(iterator.bind(py)),
            Self::Resolve(future) => resolve(future.bind(py), py.None()),
            Self::ResolveWith(both) => resolve(both.0.bind(py), both.1.clone_ref(py)),
        }
    }

    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Release(waiter) => Self::Release(waiter.clone_ref(py)),
            Self::Timeout(timeout) => Self::Timeout(timeout.clone_ref(py)),
            Self::Completed(iterator) => Self::Completed(iterator.clone_ref(py)),
            Self::Resolve(future) => Self::Resolve(future.clone_ref(py)),
            Self::ResolveWith(both) => {
                let (future, result) = &**both;
                Self::ResolveWith(Box::new((future.clone_ref(py), result.clone_ref(py))))
            }
        }
    }

    /// What asyncio's callback is called.
    fn qualname(&self) -> &'static str {
        match self {
            Self::Resolve(_) | Self::ResolveWith(_) => "_set_result_unless_cancelled",
            Self::Release(_) => "_release_waiter",
            Self::Timeout(_) => "Timeout._on_timeout",
            Self::Completed(_) => "_AsCompletedIterator._handle_timeout",
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Resolve(future) => visit.call(future),
            Self::ResolveWith(both) => {
                visit.call(&both.0)?;
                visit.call(&both.1)
            }
            Self::Release(waiter) => visit.call(waiter),
            Self::Timeout(timeout) => visit.call(timeout),
            Self::Completed(iterator) => visit.call(iterator),
        }
    }
}

/// Gives `future` its result, unless it was cancelled.
fn resolve(future: &Bound<'_, PyAny>, result: Py<PyAny>) -> PyResult<()> {
    let py = future.py();
    match future.cast_exact::<Future>() {
        Ok(native) if native.get().state(py) == State::Cancelled => Ok(()),
        Ok(native) => Future::finish(native, result),
        Err(_) => crate::imports::imports(py)?
            .set_result_unless_cancelled
            .bind(py)
            .call1((future, result))
            .map(drop),
    }
}

/// An alarm as a callable.
#[pyclass(frozen, name = "AlarmBell", module = "riata._native")]
pub struct AlarmBell {
    alarm: Alarm,
}

impl AlarmBell {
    /// `alarm` as a callable.
    pub fn new(alarm: Alarm) -> Self {
        Self { alarm }
    }
}

#[pymethods]
impl AlarmBell {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.alarm.ring(py)
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        let name = self.alarm.qualname();
        name.rsplit('.').next().unwrap_or(name)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.alarm.qualname()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.alarm.traverse(&visit)
    }
}

/// An alarm that is set, or was.
pub enum Set {
    /// Among the timers of a loop of ours.
    Timer(Py<EventLoop>, TimerKey),
    /// A handle.
    Handle(Py<PyAny>),
}

impl Set {
    /// `loop.call_later(delay, alarm)`.
    ///
    /// # Errors
    /// What the loop raises.
    #[inline]
    pub fn later(
        py: Python<'_>,
        event_loop: &LoopRef,
        delay: &Bound<'_, PyAny>,
        alarm: Alarm,
    ) -> PyResult<Self> {
        if let LoopRef::Native(native) = event_loop
            && native.get().schedules_directly(py)
            && let Some(seconds) = plain_seconds(delay)
        {
            native.get().check_closed(py)?;
            let when = monotonic().as_secs_f64() + seconds;
            return Ok(Self::timer(py, native, when, alarm));
        }
        let bell = Bound::new(py, AlarmBell::new(alarm))?;
        let handle = event_loop
            .object(py)
            .call_method1(intern!(py, "call_later"), (delay, bell))?;
        Ok(Self::Handle(handle.unbind()))
    }

    /// `loop.call_at(when, alarm)`.
    ///
    /// # Errors
    /// What the loop raises.
    #[inline]
    pub fn at(
        event_loop: &Bound<'_, PyAny>,
        when: &Bound<'_, PyAny>,
        alarm: Alarm,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        if let Ok(native) = event_loop.cast::<EventLoop>()
            && native.get().schedules_directly(py)
            && let Some(seconds) = plain_seconds(when)
        {
            native.get().check_closed(py)?;
            return Ok(Self::timer(py, native.as_unbound(), seconds, alarm));
        }
        let bell = Bound::new(py, AlarmBell::new(alarm))?;
        let handle = event_loop.call_method1(intern!(py, "call_at"), (when, bell))?;
        Ok(Self::Handle(handle.unbind()))
    }

    /// `loop.call_soon(alarm)`.
    ///
    /// # Errors
    /// What the loop raises.
    pub fn soon(event_loop: &Bound<'_, PyAny>, alarm: Alarm) -> PyResult<Self> {
        let py = event_loop.py();
        let bell = Bound::new(py, AlarmBell::new(alarm))?;
        let handle = event_loop.call_method1(intern!(py, "call_soon"), (bell,))?;
        Ok(Self::Handle(handle.unbind()))
    }

    #[inline]
    fn timer(py: Python<'_>, native: &Py<EventLoop>, when: f64, alarm: Alarm) -> Self {
        let deadline = Nanos::not_before_secs_f64(when);
        let key = native.get().add_alarm(py, deadline, alarm);
        Self::Timer(native.clone_ref(py), key)
    }

    /// Cancels it; nothing if it rang.
    ///
    /// # Errors
    /// What the `cancel` of another's handle raises.
    #[inline]
    pub fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        self.cancel_in_time(py).map(drop)
    }

    /// Cancels it; false if it is no timer any more: it rang, or is ready and will ring all the same.
    ///
    /// # Errors
    /// What the `cancel` of another's handle raises.
    #[inline]
    pub fn cancel_in_time(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::Timer(event_loop, key) => Ok(event_loop.get().forget_timer(py, *key).is_some()),
            Self::Handle(handle) => {
                handle.call_method0(py, intern!(py, "cancel"))?;
                Ok(true)
            }
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Timer(event_loop, _) => visit.call(event_loop),
            Self::Handle(handle) => visit.call(handle),
        }
    }
}

/// The value of a float or an int that has one; None for any other number.
#[inline]
pub fn plain_seconds(number: &Bound<'_, PyAny>) -> Option<f64> {
    if let Ok(float) = number.cast_exact::<PyFloat>() {
        return Some(pyo3::types::PyFloatMethods::value(float));
    }
    let int = number.cast_exact::<PyInt>().ok()?;
    match int.extract::<i32>() {
        Ok(small) => Some(f64::from(small)), // without a Python float on the way
        Err(_) => int.extract().ok(),
    }
}
