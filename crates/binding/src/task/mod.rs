//! `Task`: asyncio's, native. A step is queued as itself, without a Handle, and run without a Python frame.
//!
//! The order of everything is that of `Modules/_asynciomodule.c`.
//!
//! - here: how a task is made, and how it ends unnoticed
//! - `step`: one step of the coroutine
//! - `cancel`: requests for cancellation
//! - `surface`: the methods and attributes that Python sees
//! - `callable`: steps as Python objects, for loops that are not ours

mod callable;
mod cancel;
mod step;
mod surface;

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::cell::GilCell;
use crate::context;
use crate::coroutine;
use crate::event_loop::work::{LoopRef, Work};
use crate::future::Future;
use crate::imports::call_exception_handler;
use crate::interop;
use crate::watchdog;

pub use callable::{TaskStep, TaskWakeup};

/// What a task is called: a number until somebody asks.
enum Name {
    Number(u64),
    Given(Py<PyAny>),
}

/// The number of the next task without a name, as asyncio counts them.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// A native `asyncio.Task`.
#[pyclass(frozen, extends = Future, subclass, weakref, dict, name = "Task", module = "riata")]
pub struct Task {
    coro: GilCell<Option<Py<PyAny>>>,
    context: GilCell<Option<Py<PyAny>>>,
    /// The future that it waits for.
    fut_waiter: GilCell<Option<Py<PyAny>>>,
    name: GilCell<Option<Name>>,
    /// Where it stands among the live tasks.
    place: GilCell<usize>,
    cancels_requested: GilCell<u32>,
    must_cancel: GilCell<bool>,
    log_destroy_pending: GilCell<bool>,
}

/// How a task is made.
#[derive(Default)]
pub struct Options<'py> {
    /// Its name; None for `Task-N`.
    pub name: Option<Bound<'py, PyAny>>,
    /// Its context; None for a copy of the current one.
    pub context: Option<Bound<'py, PyAny>>,
    /// Whether the first step runs at once when the loop is running.
    pub eager_start: bool,
}

impl Task {
    fn blank() -> Self {
        Self {
            coro: GilCell::new(None),
            context: GilCell::new(None),
            fut_waiter: GilCell::new(None),
            name: GilCell::new(None),
            place: GilCell::new(interop::UNREGISTERED),
            cancels_requested: GilCell::new(0),
            must_cancel: GilCell::new(false),
            log_destroy_pending: GilCell::new(true),
        }
    }

    /// A task of `event_loop` that will run `coro`: what `loop.create_task` returns when there is no factory.
    ///
    /// # Errors
    /// TypeError when `coro` is no coroutine; RuntimeError when the loop is closed.
    pub fn create<'py>(
        event_loop: &Bound<'py, crate::event_loop::EventLoop>,
        coro: &Bound<'py, PyAny>,
        options: Options<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let future = Future::on(LoopRef::Native(event_loop.clone().unbind()));
        let task = Bound::new(
            py,
            PyClassInitializer::from(future).add_subclass(Self::blank()),
        )?;
        if event_loop.get().debug(py) {
            task.as_super().get().note_source(py)?;
        }
        Self::start(&task, coro, options)?;
        Ok(task)
    }

    /// The rest of making a task: checks the coroutine, schedules the first step.
    fn start<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        options: Options<'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !coroutine::is_coroutine(coro)? {
            this.log_destroy_pending.set(py, false);
            let text = format!(
                "a coroutine was expected, got {}",
                coro.repr()?.to_string_lossy()
            );
            return Err(PyTypeError::new_err(text));
        }
        let context = match options.context {
            Some(context) if !context.is_none() => {
                interop::check_context(&context)
                    .inspect_err(|_| this.log_destroy_pending.set(py, false))?;
                context.unbind()
            }
            _ => context::copy_current(py)?,
        };
        let name = match options.name {
            Some(name) if !name.is_none() => {
                Name::Given(if name.is_exact_instance_of::<PyString>() {
                    name.unbind()
                } else {
                    name.str()?.into_any().unbind()
                })
            }
            _ => Name::Number(NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)),
        };
        if watchdog::is_watching() {
            slf.as_super().get().note_creator(py);
        }
        this.fut_waiter.set(py, None);
        this.must_cancel.set(py, false);
        this.cancels_requested.set(py, 0);
        this.context.set(py, Some(context));
        this.name.set(py, Some(name));
        this.coro.set(py, Some(coro.clone().unbind()));
        let event_loop = slf.as_super().get().loop_ref(py)?;
        if options.eager_start
            && event_loop
                .object(py)
                .call_method0(intern!(py, "is_running"))?
                .is_truthy()?
        {
            return Self::start_eagerly(slf, &event_loop.object(py));
        }
        event_loop.push(py, Work::Step(slf.clone().unbind()))?;
        this.register(slf);
        Ok(())
    }

    fn start_eagerly<'py>(slf: &Bound<'py, Self>, event_loop: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let before = interop::swap_current_task(event_loop, Some(slf.as_any()))?;
        slf.get().register(slf);
        let outcome = slf.get().in_context(
            py,
            || Self::step(slf, None),
            || TaskStep::new(slf.clone().unbind(), None),
        );
        interop::swap_current_task(event_loop, before.as_ref())?;
        outcome?;
        if slf.as_super().get().is_done(py) {
            slf.get().coro.set(py, None);
        }
        Ok(())
    }

    /// Runs `body` in the task's context; a context that is not contextvars' own is asked to run `stand_in`.
    #[inline]
    fn in_context(
        &self,
        py: Python<'_>,
        body: impl FnOnce() -> PyResult<()>,
        stand_in: impl FnOnce() -> TaskStep,
    ) -> PyResult<()> {
        let Some(context) = self.context.cloned(py) else {
            return body();
        };
        let context = context.into_bound(py);
        if context::is_exact(&context) {
            return context::run_in(&context, body);
        }
        let callable = Bound::new(py, stand_in())?.into_any();
        context
            .call_method1(intern!(py, "run"), (callable,))
            .map(drop)
    }

    fn register(&self, slf: &Bound<'_, Self>) {
        let py = slf.py();
        if self.place.get(py) == interop::UNREGISTERED {
            let place = interop::register_task(py, slf.as_ptr());
            self.place.set(py, place);
        }
    }

    /// Leaves the live tasks.
    pub fn unregister(&self, py: Python<'_>) {
        let place = self.place.replace(py, interop::UNREGISTERED);
        if place != interop::UNREGISTERED {
            interop::unregister_task(py, place);
        }
    }

    /// Notes that the task behind a pointer of the live list stands at another place now.
    ///
    /// # Safety
    /// `pointer` is a Task (or subclass) that has not been deallocated.
    #[allow(unsafe_code)]
    pub unsafe fn move_live(py: Python<'_>, pointer: *mut pyo3::ffi::PyObject, place: usize) {
        // SAFETY: B5: by the caller's promise.
        unsafe { Borrowed::from_ptr(py, pointer).cast_unchecked::<Self>() }
            .get()
            .place
            .set(py, place);
    }

    /// Nobody is told if it dies before it is done.
    pub fn forget_destroy_pending(&self, py: Python<'_>) {
        self.log_destroy_pending.set(py, false);
    }

    /// The context that its steps run in.
    pub fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.cloned(py)
    }

    /// Whether the destructor has something to report.
    pub fn must_report(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let pending = !slf.as_super().get().is_done(py) && slf.get().log_destroy_pending.get(py);
        pending && slf.get().coro.with(py, |coro| coro.is_some())
    }

    /// Reports a task that dies before it is done. Called by the finalizer.
    pub fn report_destroyed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().unregister(py);
        if !Self::must_report(slf) {
            return Ok(());
        }
        slf.get().log_destroy_pending.set(py, false);
        let context = PyDict::new(py);
        context.set_item(intern!(py, "task"), slf)?;
        context.set_item(
            intern!(py, "message"),
            "Task was destroyed but it is pending!",
        )?;
        if let Some(stack) = slf.as_super().get().source_traceback(py) {
            context.set_item(intern!(py, "source_traceback"), stack)?;
        }
        let event_loop = slf.as_super().get().loop_ref(py)?;
        call_exception_handler(&event_loop.object(py), &context)
    }
}
