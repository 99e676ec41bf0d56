//! Running the batch: what was ready when a turn got to it, one piece of work after the other.
//!
//! What a piece of work raises goes to the loop's exception handler, as if asyncio's Handle had run it. `SystemExit` and
//! `KeyboardInterrupt` end `run_forever`; the rest of the batch stays in the queue. While a task steps it is the current one.

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::EventLoop;
use super::work::{Work, warn_slow};
use crate::collector;
use crate::gevent::callback::Callback;
use crate::handle::Handle;
use crate::interop;
use crate::task::Task;
use crate::transport::StreamTransport;
use crate::unwind;

impl EventLoop {
    /// Runs what is ready now, and not what becomes ready meanwhile.
    pub(super) fn run_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().ready.with(py, |ready| ready.begin_batch());
        Self::run_batch(slf)
    }

    /// Runs what is left of the batch.
    #[inline(always)]
    pub(super) fn run_batch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let token = this.token.get(py);
        while let Some(work) = this.ready.with(py, |ready| ready.pop_batch()) {
            if this.debug(py) {
                Self::run_timed(slf, work)?;
            } else {
                Self::run_one(slf, work)?;
            }
            if this.token.get(py) != token {
                return Ok(()); // somebody else goes on with the batch
            }
            Self::flush_much(slf)?;
        }
        Ok(())
    }

    /// Debug mode: the handle that runs is known to the exception handler, and slow work is told of.
    fn run_timed(slf: &Bound<'_, Self>, work: Work) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let handle = match &work {
            Work::Handle(handle) => Some(handle.clone_ref(py).into_any()),
            Work::ForeignHandle(handle) => Some(handle.clone_ref(py)),
            _ => None,
        };
        let again = work.clone_ref(py);
        this.current_handle.set(py, handle);
        let before = Self::now(slf)?;
        let outcome = Self::run_one(slf, work);
        let took = Self::now(slf)?.saturating_sub(before).as_secs_f64();
        this.current_handle.set(py, None);
        outcome?;
        let limit: f64 = slf
            .getattr(intern!(py, "slow_callback_duration"))?
            .extract()?;
        if took >= limit {
            warn_slow(slf, &again, took)?;
        }
        Ok(())
    }

    /// Runs one thing. What it raises goes to the exception handler.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt, which end `run_forever`.
    #[inline]
    pub fn run_one(slf: &Bound<'_, Self>, work: Work) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.pulse.beat();
        let failed = match work {
            Work::Step(task) => {
                match Self::step(slf, task.bind(py), |task| Task::run_step(task, None)) {
                    Ok(()) => return Ok(()),
                    Err(error) => (Work::Step(task), error),
                }
            }
            Work::Wake(task, future) => {
                match Self::step(slf, task.bind(py), |task| {
                    Task::run_wakeup(task, future.bind(py))
                }) {
                    Ok(()) => return Ok(()),
                    Err(error) => (Work::Wake(task, future), error),
                }
            }
            Work::Throw(task, exception) => {
                let thrown = exception.clone_ref(py);
                match Self::step(slf, task.bind(py), |task| {
                    Task::run_step(task, Some(thrown))
                }) {
                    Ok(()) => return Ok(()),
                    Err(error) => (Work::Throw(task, exception), error),
                }
            }
            Work::Handle(handle) => {
                let handle = handle.bind(py);
                let outcome = match handle.get().is_cancelled(py) {
                    true => Ok(()),
                    false => {
                        this.stats.with(py, |stats| stats.callbacks += 1);
                        Self::leave_task(slf).and_then(|()| Handle::run(handle))
                    }
                };
                collector::show_if_held(handle);
                return outcome;
            }
            Work::ForeignHandle(handle) => {
                if handle
                    .getattr(py, intern!(py, "_cancelled"))?
                    .is_truthy(py)?
                {
                    return Ok(());
                }
                this.stats.with(py, |stats| stats.callbacks += 1);
                Self::leave_task(slf)?;
                return unwind::call_method(handle.bind(py), intern!(py, "_run"), []).map(drop);
            }
            Work::Event(key, readiness) => return Self::tell_later(slf, key, readiness),
            Work::Green(callback) => {
                Callback::run(callback.bind(py));
                return Ok(());
            }
            Work::Stream(transport, signal) => {
                this.stats.with(py, |stats| stats.callbacks += 1);
                Self::leave_task(slf)?;
                match StreamTransport::run(transport.bind(py), slf, signal) {
                    Ok(()) => return Ok(()),
                    Err(error) => (Work::Stream(transport, signal), error),
                }
            }
            Work::Observe(observer, future) => {
                this.stats.with(py, |stats| stats.callbacks += 1);
                Self::leave_task(slf)?;
                match observer.notify(future.bind(py)) {
                    Ok(()) => return Ok(()),
                    Err(error) => (Work::Observe(observer, future), error),
                }
            }
            Work::Ring(alarm) => {
                this.stats.with(py, |stats| stats.callbacks += 1);
                Self::leave_task(slf)?;
                match alarm.ring(py) {
                    Ok(()) => return Ok(()),
                    Err(error) => (Work::Ring(alarm), error),
                }
            }
            Work::Callback {
                callback,
                future,
                context,
            } => {
                this.stats.with(py, |stats| stats.callbacks += 1);
                Self::leave_task(slf)?;
                let outcome = {
                    let context = context.bind(py);
                    if crate::context::is_exact(context) {
                        crate::context::run_in(context, || {
                            unwind::call_one(callback.bind(py), future.bind(py)).map(drop)
                        })
                    } else {
                        let args = PyTuple::new(py, [future.bind(py)])?;
                        crate::handle::run_in_stand_in(context, callback.bind(py), &args).map(drop)
                    }
                };
                match outcome {
                    Ok(()) => return Ok(()),
                    Err(error) => (
                        Work::Callback {
                            callback,
                            future,
                            context,
                        },
                        error,
                    ),
                }
            }
        };
        Self::report(slf, failed.0, failed.1)
    }

    /// Tells the exception handler what `work` raised, as if a Handle had run it.
    #[cold]
    fn report(slf: &Bound<'_, Self>, work: Work, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        if error.is_instance_of::<PySystemExit>(py)
            || error.is_instance_of::<PyKeyboardInterrupt>(py)
        {
            return Err(error);
        }
        let handle = work.to_handle(slf)?;
        let callback = handle.getattr(intern!(py, "_callback"))?;
        let args = handle
            .getattr(intern!(py, "_args"))?
            .cast_into::<PyTuple>()?;
        Handle::report(&handle, &callback, &args, slf.as_any(), error)
    }

    /// Runs a task's step with the task as the current one.
    #[inline]
    fn step<'py>(
        slf: &Bound<'py, Self>,
        task: &Bound<'py, Task>,
        body: impl FnOnce(&Bound<'py, Task>) -> PyResult<()>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.stats.with(py, |stats| stats.task_steps += 1);
        let entered = this.entered.replace(py, Some(task.as_ptr().addr()));
        if entered.is_none() || this.stepping.get(py) {
            this.entered.set(py, entered);
            interop::enter_task(slf.as_any(), task.as_any())?;
            this.entered.set(py, Some(task.as_ptr().addr()));
        } else if entered != Some(task.as_ptr().addr()) {
            interop::set_current_task(slf.as_any(), task.as_any())?;
        }
        let nested = this.stepping.replace(py, true);
        let outcome = body(task);
        this.stepping.set(py, nested);
        outcome
    }

    /// No task is the current one: before anything runs that is not a task's step.
    #[inline]
    pub fn leave_task(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().entered.take(py) {
            Some(_) => interop::clear_current_task(slf.as_any()),
            None => Ok(()),
        }
    }
}
