//! `call_soon`, `call_soon_threadsafe`, `call_later`, `call_at` and the clock.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use riata_engine::clock::{Nanos, monotonic};

use super::EventLoop;
use super::work::{LoopRef, Work};
use crate::handle::{Handle, TimerHandle};

impl EventLoop {
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
        let waiting = timer.clone().unbind();
        // asyncio's comparisons let a time that is not a number come at once; so does this conversion.
        let deadline = Nanos::not_before_secs_f64(timer.get().seconds());
        let key = slf
            .get()
            .timers
            .with(py, |timers| timers.insert(deadline, waiting));
        timer.get().set_key(py, Some(key));
    }

    fn check_timer(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        method: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.get().check_closed(py)?;
        if slf.get().debug(py) {
            slf.get().check_thread(py)?;
            Self::check_callback(slf, callback, method)?;
        }
        Ok(())
    }
}

#[pymethods]
impl EventLoop {
    /// Return the time on the loop's clock, in seconds: time.monotonic().
    fn time(&self) -> f64 {
        monotonic().as_secs_f64()
    }

    /// Arrange for `callback(*args)` to be called at the next turn of the loop, in `context`.
    ///
    /// Returns a Handle. Raises RuntimeError when the loop is closed.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        if this.debug(py) {
            this.check_thread(py)?;
            Self::check_callback(slf, &callback, "call_soon")?;
        }
        let handle = Bound::new(py, Handle::new(LoopRef::of(slf), callback, args, context)?)?;
        this.ready.with(py, |ready| {
            ready.push(Work::Handle(handle.clone().unbind()))
        });
        Ok(handle)
    }

    /// Like call_soon, from any thread; wakes the loop.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        if this.debug(py) {
            Self::check_callback(slf, &callback, "call_soon_threadsafe")?;
        }
        let handle = Bound::new(py, Handle::new(LoopRef::of(slf), callback, args, context)?)?;
        this.push_threadsafe(py, Work::Handle(handle.clone().unbind()))?;
        Ok(handle)
    }

    /// Arrange for `callback(*args)` to be called after `delay` seconds, in `context`.
    ///
    /// Returns a TimerHandle. Raises TypeError for None, RuntimeError when the loop is closed.
    #[pyo3(signature = (delay, callback, *args, context = None))]
    fn call_later<'py>(
        slf: &Bound<'py, Self>,
        delay: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if delay.is_none() {
            return Err(PyTypeError::new_err("delay must not be None"));
        }
        let overrides = slf.get().overrides.get(py);
        if overrides.call_at || overrides.time {
            let when = slf.call_method0(intern!(py, "time"))?.add(delay)?;
            let mut all = vec![when, callback];
            all.extend(args.iter());
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
        Self::check_timer(slf, &callback, "call_later")?;
        let timer = TimerHandle::create(
            Handle::new(LoopRef::of(slf), callback, args, context)?,
            when,
            py,
        )?;
        Self::start_timer(slf, &timer);
        Ok(timer.into_any())
    }

    /// Arrange for `callback(*args)` to be called at `when`, in seconds on the loop's clock, in `context`.
    ///
    /// Returns a TimerHandle. Raises TypeError for None, RuntimeError when the loop is closed.
    #[pyo3(signature = (when, callback, *args, context = None))]
    fn call_at<'py>(
        slf: &Bound<'py, Self>,
        when: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, TimerHandle>> {
        if when.is_none() {
            return Err(PyTypeError::new_err("when cannot be None"));
        }
        Self::check_timer(slf, &callback, "call_at")?;
        let handle = Handle::new(LoopRef::of(slf), callback, args, context)?;
        let timer = TimerHandle::create_given(handle, when)?;
        Self::start_timer(slf, &timer);
        Ok(timer)
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
