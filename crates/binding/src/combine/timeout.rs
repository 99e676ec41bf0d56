//! `timeout`, `timeout_at` and the class `Timeout`.

use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::clock::monotonic;

use super::alarm::{Alarm, Set, plain_seconds};
use super::any_future::{self, Message};
use super::body::{Body, Kind};
use super::coroutine::Coroutine;
use super::running;
use crate::cell::GilCell;
use crate::event_loop::EventLoop;
use crate::imports::imports;
use crate::interop;
use crate::task::Task;
use crate::unwritten::is_unwritten;
use crate::version::version;

/// Where a timeout stands, by asyncio's names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Entered,
    Expiring,
    Expired,
    Exited,
}

impl State {
    /// The value of asyncio's `_State`.
    fn value(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Entered => "active",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Exited => "finished",
        }
    }
}

/// Asynchronous context manager that cancels what takes too long: `timeout` and `timeout_at` make it.
#[pyclass(frozen, subclass, weakref, dict, name = "Timeout", module = "riata")]
pub struct Timeout {
    /// Seconds on the loop's clock.
    when: GilCell<Option<Py<PyAny>>>,
    alarm: GilCell<Option<Set>>,
    /// How many alarms were ready when they were cancelled: they ring, and are not listened to.
    void: GilCell<u32>,
    task: GilCell<Option<Py<PyAny>>>,
    /// How many cancellations had been requested when it was entered.
    cancelling: GilCell<i64>,
    state: GilCell<State>,
}

impl Timeout {
    /// A timeout for the time `when`.
    pub fn until(when: Option<Py<PyAny>>) -> Self {
        Self {
            when: GilCell::new(when),
            alarm: GilCell::new(None),
            void: GilCell::new(0),
            task: GilCell::new(None),
            cancelling: GilCell::new(0),
            state: GilCell::new(State::Created),
        }
    }

    /// A timeout for `delay` seconds from now on the clock of `event_loop`.
    ///
    /// # Errors
    /// TypeError for what is no number; what the loop's `time` raises.
    pub fn after(
        event_loop: &Bound<'_, PyAny>,
        delay: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        let Some(delay) = delay.filter(|delay| !delay.is_none()) else {
            return Ok(Self::until(None));
        };
        let when = match plain_seconds(delay) {
            Some(seconds) if has_own_clock(event_loop) => {
                PyFloat::new(py, monotonic().as_secs_f64() + seconds).into_any()
            }
            _ => event_loop.call_method0(intern!(py, "time"))?.add(delay)?,
        };
        Ok(Self::until(Some(when.unbind())))
    }

    /// `__aenter__`, without the coroutine.
    ///
    /// # Errors
    /// RuntimeError when it was entered before, or not by a task.
    pub fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.get(py) != State::Created {
            return Err(PyRuntimeError::new_err("Timeout has already been entered"));
        }
        let event_loop = running::running_loop(py)?;
        let Some(task) = running::task(&event_loop)? else {
            return Err(PyRuntimeError::new_err(
                "Timeout should be used inside a task",
            ));
        };
        this.state.set(py, State::Entered);
        let cancelling = match task.cast_exact::<Task>() {
            Ok(native) => i64::from(native.get().cancelling(py)),
            Err(_) => task.call_method0(intern!(py, "cancelling"))?.extract()?,
        };
        this.cancelling.set(py, cancelling);
        this.task.set(py, Some(task.unbind()));
        let when = this.when.cloned(py);
        match slf.is_exact_instance_of::<Self>() {
            true => Self::start(slf, when, Some(event_loop)),
            false => slf
                .call_method1(intern!(py, "reschedule"), (when,))
                .map(drop),
        }
    }

    /// `reschedule`, on the running loop if it is not given.
    fn start(
        slf: &Bound<'_, Self>,
        when: Option<Py<PyAny>>,
        event_loop: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let state = this.state.get(py);
        if state != State::Entered {
            let text = match state {
                State::Created => "Timeout has not been entered".to_owned(),
                state => format!("Cannot change state of {} Timeout", state.value()),
            };
            return Err(PyRuntimeError::new_err(text));
        }
        this.when
            .set(py, when.as_ref().map(|when| when.clone_ref(py)));
        this.stop_alarm(py)?;
        let Some(when) = when else {
            return Ok(());
        };
        let when = when.bind(py);
        let event_loop = match event_loop {
            Some(event_loop) => event_loop,
            None => running::running_loop(py)?,
        };
        let due = match plain_seconds(when) {
            Some(seconds) if has_own_clock(&event_loop) => seconds <= monotonic().as_secs_f64(),
            _ => {
                let now = event_loop.call_method0(intern!(py, "time"))?;
                when.rich_compare(now, CompareOp::Le)?.is_truthy()?
            }
        };
        let alarm = Alarm::Timeout(slf.clone().unbind());
        let set = match due {
            true => Set::soon(&event_loop, alarm)?,
            false => Set::at(&event_loop, when, alarm)?,
        };
        this.alarm.set(py, Some(set));
        Ok(())
    }

    fn stop_alarm(&self, py: Python<'_>) -> PyResult<()> {
        match self.alarm.take(py) {
            // It would have been taken out of here if it had rung.
            Some(set) if !set.cancel_in_time(py)? => {
                self.void.with(py, |void| *void += 1);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The time has come: asyncio's `_on_timeout`.
    ///
    /// # Errors
    /// What the `cancel` of a task that is not ours raises.
    pub fn expire(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let is_void = this.void.with(py, |void| {
            let is_void = *void > 0;
            *void = void.saturating_sub(1);
            is_void
        });
        if is_void {
            return Ok(());
        }
        if this.state.get(py) != State::Entered {
            return Err(PyAssertionError::new_err(()));
        }
        if let Some(task) = this.task.cloned(py) {
            any_future::cancel(task.bind(py), Message::None)?;
        }
        this.state.set(py, State::Expiring);
        this.alarm.set(py, None);
        Ok(())
    }

    /// `__aexit__`, without the coroutine: `raised` is what the body raised.
    ///
    /// # Errors
    /// TimeoutError, if the body was cancelled by this timeout and by nobody else.
    pub fn leave(slf: &Bound<'_, Self>, raised: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let state = this.state.get(py);
        if !matches!(state, State::Entered | State::Expiring) {
            return Err(PyAssertionError::new_err(()));
        }
        this.stop_alarm(py)?;
        if state == State::Entered {
            this.state.set(py, State::Exited);
            return Ok(());
        }
        this.state.set(py, State::Expired);
        let Some(task) = this.task.cloned(py) else {
            return Ok(());
        };
        let task = task.bind(py);
        let left = match task.cast_exact::<Task>() {
            Ok(native) => i64::from(native.get().uncancel(py)),
            Err(_) => task.call_method0(intern!(py, "uncancel"))?.extract()?,
        };
        match raised {
            Some(raised) if left <= this.cancelling.get(py) => convert(raised),
            _ => Ok(()),
        }
    }
}

/// Whether the loop's clock is the monotonic one, and not asked for by `time()`.
fn has_own_clock(event_loop: &Bound<'_, PyAny>) -> bool {
    event_loop
        .cast::<EventLoop>()
        .is_ok_and(|native| native.get().has_own_clock(event_loop.py()))
}

/// There was no other cancellation: CancelledError becomes TimeoutError, here or, from Python 3.13 on, where it hides in
/// the contexts of another exception.
fn convert(raised: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = raised.py();
    let cancelled = imports(py)?.cancelled_error.bind(py);
    let looks_deeper = version(py)?.timeout_looks_into_contexts;
    let is_cancelled = match looks_deeper {
        true => raised.is_instance(cancelled)?,
        false => raised.get_type().is(cancelled),
    };
    if is_cancelled {
        let error = PyTimeoutError::new_err(());
        error.set_cause(py, Some(PyErr::from_value(raised.clone())));
        error.set_context(py, Some(PyErr::from_value(raised.clone())));
        return Err(error);
    }
    if looks_deeper {
        insert_timeout_error(raised, cancelled)?;
        if raised.is_instance_of::<pyo3::exceptions::PyBaseExceptionGroup>()
            && raised.is_instance_of::<pyo3::exceptions::PyException>()
        {
            for error in raised.getattr(intern!(py, "exceptions"))?.try_iter()? {
                insert_timeout_error(&error?, cancelled)?;
            }
        }
    }
    Ok(())
}

fn insert_timeout_error(
    raised: &Bound<'_, PyAny>,
    cancelled: &Bound<'_, pyo3::types::PyType>,
) -> PyResult<()> {
    let py = raised.py();
    let name = intern!(py, "__context__");
    let mut error = raised.clone();
    loop {
        let context = error.getattr(name)?;
        if context.is_none() {
            return Ok(());
        }
        if context.is_instance(cancelled)? {
            let timeout = PyTimeoutError::new_err(()).into_value(py);
            let timeout = timeout.bind(py);
            timeout.setattr(intern!(py, "__cause__"), &context)?;
            timeout.setattr(name, &context)?;
            return error.setattr(name, timeout);
        }
        error = context;
    }
}

#[pymethods]
impl Timeout {
    #[new]
    #[pyo3(signature = (*_args, **_options), text_signature = "(when)")]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self::until(None)
    }

    /// A timeout for the time `when`, in seconds on the loop's clock; None for never.
    fn __init__(&self, py: Python<'_>, when: Option<Py<PyAny>>) {
        self.when.set(py, when);
    }

    /// asyncio.Timeout: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let original = imports(slf.py())?.asyncio_timeout.bind(slf.py());
        match slf.is_exact_instance_of::<Self>() {
            true => Ok(original.clone()),
            false => interop::face(&slf.get_type(), original),
        }
    }

    /// Return the current deadline, in seconds on the loop's clock, or None.
    fn when(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.when.cloned(py)
    }

    /// Set another deadline; None for none.
    ///
    /// Raises RuntimeError unless the timeout is entered and has not expired.
    fn reschedule(slf: &Bound<'_, Self>, when: Option<Py<PyAny>>) -> PyResult<()> {
        Self::start(slf, when, None)
    }

    /// Return whether the deadline came while the body ran.
    fn expired(&self, py: Python<'_>) -> bool {
        matches!(self.state.get(py), State::Expiring | State::Expired)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let state = self.state.get(py);
        let mut text = format!("<Timeout [{}]", state.value());
        if state == State::Entered {
            let when = match self.when.cloned(py) {
                Some(when) => {
                    let builtins = py.import(intern!(py, "builtins"))?;
                    builtins.call_method1(intern!(py, "round"), (when, 3))?
                }
                None => py.None().into_bound(py),
            };
            text += &format!(" when={}", when.str()?.to_string_lossy());
        }
        Ok(text + ">")
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let body = Body::TimeoutEnter(slf.clone().unbind());
        Coroutine::create(slf.py(), Kind::TimeoutEnter, body)
    }

    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: Option<Py<PyAny>>,
        exc_val: Option<Py<PyAny>>,
        exc_tb: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        drop((exc_type, exc_tb)); // the value has both
        let body = Body::TimeoutExit(slf.clone().unbind(), exc_val);
        Coroutine::create(slf.py(), Kind::TimeoutExit, body)
    }

    #[getter]
    fn _when(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.when.cloned(py)
    }

    #[getter]
    fn _task(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task.cloned(py)
    }

    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let states = py.import("asyncio.timeouts")?.getattr("_State")?;
        states.call1((self.state.get(py).value(),))
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.when.traverse())?;
            visit.call(self.task.traverse())?;
            match self.alarm.traverse() {
                Some(set) => set.traverse(&visit),
                None => Ok(()),
            }
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.when.set(py, None);
            self.task.set(py, None);
            self.alarm.set(py, None);
        });
    }
}

/// An asynchronous context manager that ends its body with TimeoutError after `delay` seconds; None for never.
///
/// Raises RuntimeError when no loop is running.
#[pyfunction]
pub fn timeout<'py>(
    py: Python<'py>,
    delay: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Timeout>> {
    let event_loop = running::running_loop(py)?;
    Bound::new(py, Timeout::after(&event_loop, delay)?)
}

/// Like `timeout`, for a time on the loop's clock, in seconds.
#[pyfunction]
pub fn timeout_at(py: Python<'_>, when: Option<Py<PyAny>>) -> PyResult<Bound<'_, Timeout>> {
    Bound::new(py, Timeout::until(when))
}
