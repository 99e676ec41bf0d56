//! One step of a task's coroutine: `task_step_impl` of `Modules/_asynciomodule.c`.

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::cancel::cancel_foreign;
use super::{Task, TaskStep, TaskWakeup};
use crate::combine::GatheringFuture;
use crate::combine::any_future::{self, Message};
use crate::context;
use crate::coroutine::{self, Sent};
use crate::event_loop::work::Work;
use crate::future::{Future, Reading, Waiter, invalid_state};
use crate::imports::imports;

impl Task {
    /// Runs one step on a loop of ours, in the task's context.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt out of the coroutine; what a context raises that cannot be entered.
    #[inline]
    pub fn run_step(slf: &Bound<'_, Self>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let Some(context) = slf.get().context.cloned(py) else {
            return Self::step(slf, exception);
        };
        let context = context.into_bound(py);
        if context::is_exact(&context) {
            return context::run_in(&context, || Self::step(slf, exception));
        }
        let callable = Bound::new(
            py,
            TaskStep {
                task: slf.clone().unbind(),
                exception,
                entered: true,
            },
        )?;
        context
            .call_method1(intern!(py, "run"), (callable,))
            .map(drop)
    }

    /// Runs one step because `future` is done.
    #[inline]
    pub fn run_wakeup(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        match Self::read_awaited(future) {
            Ok(None) => Self::run_step(slf, None),
            Ok(Some(exception)) => Self::run_step(slf, Some(exception)),
            Err(error) => Self::run_step(slf, Some(error.into_value(slf.py()).into_any())),
        }
    }

    /// The exception that the awaited future gives to the coroutine, if any.
    #[inline]
    pub(super) fn read_awaited(future: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let py = future.py();
        if let Some(native) = plain(future) {
            return match native.get().read(py)? {
                Reading::Result(_) => Ok(None),
                Reading::Exception(exception) => Ok(Some(exception)),
            };
        }
        future.call_method0(intern!(py, "result")).map(|_| None)
    }

    /// One step: sends None (or throws `exception`) into the coroutine and acts on what comes back.
    pub(super) fn step(slf: &Bound<'_, Self>, exception: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let future = slf.as_super();
        if future.get().is_done(py) {
            let exception = exception.unwrap_or_else(|| py.None());
            let text = format!(
                "_step(): already done: {} {}",
                slf.repr()?.to_string_lossy(),
                exception.bind(py).repr()?
            );
            return Err(invalid_state(py, &text));
        }
        let exception = this.with_pending_cancel(slf, exception)?;
        this.fut_waiter.set(py, None);
        let Some(coro) = this.coro.cloned(py) else {
            return Err(PyRuntimeError::new_err("uninitialized Task object"));
        };
        let coro = coro.into_bound(py);
        let sent = match exception {
            None => coroutine::send_none(&coro),
            Some(exception) => coroutine::throw(&coro, exception.bind(py)),
        };
        match sent {
            Sent::Next(yielded) => this.wait_for(slf, yielded),
            Sent::Return(result) => {
                if this.must_cancel.replace(py, false) {
                    Future::cancel_with(future, future.get().cancel_message(py))?;
                } else {
                    Future::finish(future, result.unbind())?;
                }
                this.unregister(py);
                Ok(())
            }
            Sent::Error(error) => this.fail_with(slf, error),
        }
    }

    /// A requested cancellation takes the place of whatever was to be thrown, unless that is a CancelledError.
    fn with_pending_cancel(
        &self,
        slf: &Bound<'_, Self>,
        exception: Option<Py<PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        if !self.must_cancel.replace(py, false) {
            return Ok(exception);
        }
        let cancelled = imports(py)?.cancelled_error.bind(py);
        if let Some(exception) = &exception
            && exception.bind(py).is_instance(cancelled)?
        {
            return Ok(Some(exception.clone_ref(py)));
        }
        Ok(Some(
            slf.as_super()
                .get()
                .cancelled_error(py)?
                .into_value(py)
                .into_any(),
        ))
    }

    fn fail_with(&self, slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        let future = slf.as_super();
        if error.is_instance(py, imports(py)?.cancelled_error.bind(py)) {
            future
                .get()
                .set_cancelled_exc(py, error.into_value(py).into_any());
            // asyncio's task forgets the message of the request, too: who looks again is told none.
            Future::cancel_with(future, None)?;
            self.unregister(py);
            return Ok(());
        }
        // On 3.11 the traceback is not on the value before this.
        let exception = error.clone_ref(py).into_value(py);
        Future::fail(future, exception.bind(py).as_any())?;
        self.unregister(py);
        if error.is_instance_of::<PySystemExit>(py)
            || error.is_instance_of::<PyKeyboardInterrupt>(py)
        {
            return Err(error);
        }
        Ok(())
    }

    /// Acts on what the coroutine yielded.
    #[inline]
    fn wait_for<'py>(&self, slf: &Bound<'py, Self>, yielded: Bound<'py, PyAny>) -> PyResult<()> {
        if yielded.is_none() {
            return self.push(slf, Work::Step(slf.clone().unbind()));
        }
        if yielded.is(slf) {
            let text = format!(
                "Task cannot await on itself: {}",
                slf.repr()?.to_string_lossy()
            );
            return self.throw_soon(slf, text);
        }
        match plain(&yielded) {
            Some(native) => self.wait_for_native(slf, native),
            None => self.wait_for_foreign(slf, yielded),
        }
    }

    #[inline]
    fn wait_for_native<'py>(
        &self,
        slf: &Bound<'py, Self>,
        awaited: &Bound<'py, Future>,
    ) -> PyResult<()> {
        let py = slf.py();
        if !awaited.get().same_loop(py, slf.as_super().get()) {
            return self.throw_soon(slf, different_loop(slf, awaited)?);
        }
        if !awaited.get().take_blocking(py) {
            return self.throw_soon(slf, yield_used(slf, awaited)?);
        }
        Future::add_waiter(awaited, Waiter::Task(slf.clone().unbind()))?;
        self.fut_waiter
            .set(py, Some(awaited.clone().into_any().unbind()));
        if self.must_cancel.get(py) {
            let message = slf.as_super().get().cancel_message(py);
            let message = message.map(|message| message.into_bound(py));
            let cancelled = any_future::cancel(awaited, Message::Given(message.as_ref()))?;
            if cancelled {
                self.must_cancel.set(py, false);
            }
        }
        Ok(())
    }

    /// Whatever else was yielded: another kind of future, by `_asyncio_future_blocking`, or a mistake.
    fn wait_for_foreign<'py>(
        &self,
        slf: &Bound<'py, Self>,
        awaited: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let blocking = awaited.getattr_opt(intern!(py, "_asyncio_future_blocking"))?;
        let Some(blocking) = blocking.filter(|blocking| !blocking.is_none()) else {
            let text = if awaited.is_exact_instance(&py.import("types")?.getattr("GeneratorType")?)
            {
                format!(
                    "yield was used instead of yield from for generator in task {} with {}",
                    slf.repr()?.to_string_lossy(),
                    awaited.repr()?.to_string_lossy()
                )
            } else {
                format!("Task got bad yield: {}", awaited.repr()?.to_string_lossy())
            };
            return self.throw_soon(slf, text);
        };
        if !future_loop(&awaited)?.is(slf.as_super().get().loop_ref(py)?.object(py)) {
            return self.throw_soon(slf, different_loop(slf, &awaited)?);
        }
        if !blocking.is_truthy()? {
            return self.throw_soon(slf, yield_used(slf, &awaited)?);
        }
        awaited.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
        let wakeup = Bound::new(py, TaskWakeup::new(slf.clone().unbind()))?;
        let options = PyDict::new(py);
        options.set_item(intern!(py, "context"), self.context.cloned(py))?;
        awaited
            .getattr(intern!(py, "add_done_callback"))?
            .call((wakeup,), Some(&options))?;
        self.fut_waiter.set(py, Some(awaited.clone().unbind()));
        if self.must_cancel.get(py) {
            let message = slf.as_super().get().cancel_message(py);
            if cancel_foreign(&awaited, message)? {
                self.must_cancel.set(py, false);
            }
        }
        Ok(())
    }

    /// Throws RuntimeError(text) into the coroutine at its next step.
    fn throw_soon(&self, slf: &Bound<'_, Self>, text: String) -> PyResult<()> {
        let exception = PyRuntimeError::new_err(text)
            .into_value(slf.py())
            .into_any();
        self.push(slf, Work::Throw(slf.clone().unbind(), exception))
    }

    fn push(&self, slf: &Bound<'_, Self>, work: Work) -> PyResult<()> {
        slf.as_super()
            .get()
            .loop_ref(slf.py())?
            .push(slf.py(), work)
    }
}

/// A native future none of whose methods a Python subclass can have overridden.
#[inline]
fn plain<'a, 'py>(future: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Future>> {
    if let Ok(native) = future.cast_exact::<Future>() {
        return Some(native);
    }
    if let Ok(native) = future.cast_exact::<Task>() {
        return Some(native.as_super());
    }
    let gathering = future.cast_exact::<GatheringFuture>();
    gathering.ok().map(|native| native.as_super())
}

/// `asyncio.futures._get_loop`.
fn future_loop<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    match future.getattr_opt(intern!(py, "get_loop"))? {
        Some(get_loop) => get_loop.call0(),
        None => future.getattr(intern!(py, "_loop")),
    }
}

fn different_loop(task: &Bound<'_, Task>, awaited: &Bound<'_, PyAny>) -> PyResult<String> {
    let (task, awaited) = (task.repr()?, awaited.repr()?);
    Ok(format!(
        "Task {} got Future {} attached to a different loop",
        task.to_string_lossy(),
        awaited.to_string_lossy()
    ))
}

fn yield_used(task: &Bound<'_, Task>, awaited: &Bound<'_, PyAny>) -> PyResult<String> {
    let (task, awaited) = (task.repr()?, awaited.repr()?);
    Ok(format!(
        "yield was used instead of yield from in task {} with {}",
        task.to_string_lossy(),
        awaited.to_string_lossy()
    ))
}
