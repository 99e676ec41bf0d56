//! `call_soon`, `call_soon_threadsafe`, `call_later`, `call_at` and the clock.

use std::ffi::CStr;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::clock::{Nanos, monotonic};
use riata_engine::timers::TimerKey;

use super::EventLoop;
use super::work::{LoopRef, Work};
use crate::collector;
use crate::combine::Alarm;
use crate::fastcall::{CallbackArguments, FastCall, FastMethod};
use crate::gevent::watcher as green;
use crate::handle::{Handle, TimerHandle};
use crate::imports::imports;

/// What waits for its time.
pub enum Timer {
    /// What `call_later` and `call_at` return.
    Handle(Py<TimerHandle>),
    /// A native party, without a handle.
    Alarm(Alarm),
    /// A gevent timer, or a file's watcher.
    Green(Py<green::Watcher>),
}

impl Timer {
    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle) => visit.call(handle),
            Self::Alarm(alarm) => alarm.traverse(visit),
            Self::Green(watcher) => visit.call(watcher),
        }
    }
}

impl EventLoop {
    /// Sets an alarm for `deadline`.
    #[inline]
    pub fn add_alarm(&self, py: Python<'_>, deadline: Nanos, alarm: Alarm) -> TimerKey {
        self.timers
            .with(py, |timers| timers.insert(deadline, Timer::Alarm(alarm)))
    }

    /// Debug mode's look at a callback: coroutines and what cannot be called are refused.
    fn check_callback(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        method: &str,
    ) -> PyResult<()> {
        slf.call_method1(intern!(slf.py(), "_check_callback"), (callback, method))
            .map(drop)
    }

    /// Starts a timer.
    fn start_timer(slf: &Bound<'_, Self>, timer: &Bound<'_, TimerHandle>) {
        let py = slf.py();
        let waiting = Timer::Handle(timer.clone().unbind());
        // asyncio's comparisons let a time that is not a number come at once; so does this conversion.
        let deadline = Nanos::not_before_secs_f64(timer.get().seconds());
        let key = slf
            .get()
            .timers
            .with(py, |timers| timers.insert(deadline, waiting));
        timer.get().set_key(py, Some(key));
    }

    /// The checks before a callback is scheduled.
    fn check_callable(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        method: &str,
        caller: Caller,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.get().check_closed(py)?;
        if slf.get().debug(py) {
            if caller == Caller::LoopThread {
                slf.get().check_thread(py)?;
            }
            Self::check_callback(slf, callback, method)?;
        }
        Ok(())
    }
}

/// Who may call a method.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    LoopThread,
    AnyThread,
}

/// `call_soon(callback, *args, context=None)`.
pub struct CallSoon;

impl FastMethod for CallSoon {
    type Class = EventLoop;
    const NAME: &'static str = "call_soon";
    const C_NAME: &'static CStr = c"call_soon";
    const DOC: &'static CStr = c"call_soon($self, callback, *args, context=None)\n--\n\n\
        Arrange for callback(*args) to be called at the next turn of the loop, in context.\n\n\
        Returns a Handle. Raises RuntimeError when the loop is closed.";

    fn call<'py>(
        slf: &Bound<'py, EventLoop>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let CallbackArguments {
            parameters: [callback],
            rest,
            context,
        } = call.callback_arguments(["callback"])?;
        EventLoop::check_callable(slf, &callback, "call_soon", Caller::LoopThread)?;
        let handle = Handle::new(LoopRef::of(slf), callback.to_owned(), rest, context)?;
        let handle = Bound::new(py, handle)?;
        this.ready.with(py, |ready| {
            ready.push(Work::Handle(handle.clone().unbind()))
        });
        Ok(handle.into_any())
    }
}

/// `call_soon_threadsafe(callback, *args, context=None)`.
pub struct CallSoonThreadsafe;

impl FastMethod for CallSoonThreadsafe {
    type Class = EventLoop;
    const NAME: &'static str = "call_soon_threadsafe";
    const C_NAME: &'static CStr = c"call_soon_threadsafe";
    const DOC: &'static CStr =
        c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\n\
        Like call_soon, from any thread; wakes the loop.";

    fn call<'py>(
        slf: &Bound<'py, EventLoop>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let CallbackArguments {
            parameters: [callback],
            rest,
            context,
        } = call.callback_arguments(["callback"])?;
        EventLoop::check_callable(slf, &callback, "call_soon_threadsafe", Caller::AnyThread)?;
        if let Some(class) = &imports(py)?.asyncio_threadsafe_handle {
            // It locks around the callback: asyncio's own, where this Python has it.
            let handle = class.bind(py).call1((&callback, rest, slf, context))?;
            if slf.get().debug(py) {
                // As base_events does: the stack ends where this was called, not in the handle's `__init__`.
                let stack = handle.getattr(intern!(py, "_source_traceback"))?;
                stack.del_item(-1)?;
            }
            let work = Work::ForeignHandle(handle.clone().unbind());
            slf.get().push_threadsafe(py, work)?;
            return Ok(handle);
        }
        let handle = Handle::new(LoopRef::of(slf), callback.to_owned(), rest, context)?;
        let handle = Bound::new(py, handle)?;
        if slf.get().keeps_alive(py) {
            collector::hide(&handle);
        }
        slf.get()
            .push_threadsafe(py, Work::Handle(handle.clone().unbind()))?;
        Ok(handle.into_any())
    }
}

/// `call_later(delay, callback, *args, context=None)`.
pub struct CallLater;

impl FastMethod for CallLater {
    type Class = EventLoop;
    const NAME: &'static str = "call_later";
    const C_NAME: &'static CStr = c"call_later";
    const DOC: &'static CStr = c"call_later($self, delay, callback, *args, context=None)\n--\n\n\
        Arrange for callback(*args) to be called after delay seconds, in context.\n\n\
        Returns a TimerHandle. Raises TypeError for None, RuntimeError when the loop is closed.";

    fn call<'py>(
        slf: &Bound<'py, EventLoop>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let CallbackArguments {
            parameters: [delay, callback],
            rest,
            context,
        } = call.callback_arguments(["delay", "callback"])?;
        if delay.is_none() {
            return Err(PyTypeError::new_err("delay must not be None"));
        }
        if slf.get().overrides_deadlines(py) {
            let when = slf.call_method0(intern!(py, "time"))?.add(delay)?;
            let mut all = vec![when, callback.to_owned()];
            all.extend(rest.iter());
            let options = PyDict::new(py);
            options.set_item(intern!(py, "context"), context)?;
            return slf
                .getattr(intern!(py, "call_at"))?
                .call(PyTuple::new(py, all)?, Some(&options));
        }
        let now = monotonic().as_secs_f64();
        let when = match delay.extract::<f64>() {
            Ok(delay) => now + delay,
            Err(_) => now.into_pyobject(py)?.add(delay)?.extract()?,
        };
        // asyncio's call_later goes through call_at, and complains in its name.
        EventLoop::check_callable(slf, &callback, "call_at", Caller::LoopThread)?;
        let handle = Handle::new(LoopRef::of(slf), callback.to_owned(), rest, context)?;
        let timer = TimerHandle::create(handle, when, py)?;
        EventLoop::start_timer(slf, &timer);
        Ok(timer.into_any())
    }
}

/// `call_at(when, callback, *args, context=None)`.
pub struct CallAt;

impl FastMethod for CallAt {
    type Class = EventLoop;
    const NAME: &'static str = "call_at";
    const C_NAME: &'static CStr = c"call_at";
    const DOC: &'static CStr = c"call_at($self, when, callback, *args, context=None)\n--\n\n\
        Arrange for callback(*args) to be called at when, in seconds on the loop's clock, in context.\n\n\
        Returns a TimerHandle. Raises TypeError for None, RuntimeError when the loop is closed.";

    fn call<'py>(
        slf: &Bound<'py, EventLoop>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let CallbackArguments {
            parameters: [when, callback],
            rest,
            context,
        } = call.callback_arguments(["when", "callback"])?;
        if when.is_none() {
            return Err(PyTypeError::new_err("when cannot be None"));
        }
        EventLoop::check_callable(slf, &callback, "call_at", Caller::LoopThread)?;
        let handle = Handle::new(LoopRef::of(slf), callback.to_owned(), rest, context)?;
        let timer = TimerHandle::create_given(handle, &when)?;
        EventLoop::start_timer(slf, &timer);
        Ok(timer.into_any())
    }
}

#[pymethods]
impl EventLoop {
    /// Return the time on the loop's clock, in seconds: time.monotonic().
    fn time(&self) -> f64 {
        monotonic().as_secs_f64()
    }

    /// Add a Handle that asyncio's own code made.
    fn _add_callback(&self, py: Python<'_>, handle: Py<PyAny>) -> PyResult<()> {
        if !handle
            .getattr(py, intern!(py, "_cancelled"))?
            .is_truthy(py)?
        {
            self.ready.with(py, |ready| ready.push(work_of(py, handle)));
        }
        Ok(())
    }

    /// Add a Handle that asyncio's own code made, from a signal handler or another thread.
    fn _add_callback_signalsafe(&self, py: Python<'_>, handle: Py<PyAny>) -> PyResult<()> {
        if !handle
            .getattr(py, intern!(py, "_cancelled"))?
            .is_truthy(py)?
        {
            self.push_threadsafe(py, work_of(py, handle))?;
        }
        Ok(())
    }

    /// Wake the loop up.
    fn _write_to_self(&self, py: Python<'_>) {
        if let Some(kernel) = self.kernel(py) {
            kernel.remote.wake();
        }
    }
}

fn work_of(py: Python<'_>, handle: Py<PyAny>) -> Work {
    match handle.bind(py).cast::<Handle>() {
        Ok(native) => Work::Handle(native.clone().unbind()),
        Err(_) => Work::ForeignHandle(handle),
    }
}
