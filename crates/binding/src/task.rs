//! `Task`: asyncio's, native. A step is queued as itself, without a Handle, and run without a Python frame.
//!
//! The order of everything is that of `task_step_impl` in `Modules/_asynciomodule.c`.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::{
    PyKeyboardInterrupt, PyRecursionError, PyRuntimeError, PySystemExit, PyTypeError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::GilCell;
use crate::context;
use crate::coroutine::{self, Sent};
use crate::event_loop::work::{LoopRef, Work};
use crate::future::{Future, Reading, Waiter, invalid_state};
use crate::imports::{call_exception_handler, imports};
use crate::interop;

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
            Some(context) if !context.is_none() => context.unbind(),
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

    /// The context that its steps run in.
    pub fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.cloned(py)
    }

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
    fn read_awaited(future: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let py = future.py();
        if let Ok(native) = future.cast::<Future>() {
            return match native.get().read(py)? {
                Reading::Result(_) => Ok(None),
                Reading::Exception(exception) => Ok(Some(exception)),
            };
        }
        future.call_method0(intern!(py, "result")).map(|_| None)
    }

    /// One step: sends None (or throws `exception`) into the coroutine and acts on what comes back.
    fn step(slf: &Bound<'_, Self>, exception: Option<Py<PyAny>>) -> PyResult<()> {
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
        this.leave_waiter(slf)?;
        let Some(coro) = this.coro.cloned(py) else {
            return Err(PyRuntimeError::new_err("uninitialized Task object"));
        };
        let coro = coro.into_bound(py);
        let sent = match exception {
            None => coroutine::send_none(&coro),
            Some(exception) => coroutine::throw(&coro, exception.bind(py)),
        };
        match sent {
            Sent::Yield(yielded) => this.wait_for(slf, yielded),
            Sent::Return(result) => {
                if this.must_cancel.replace(py, false) {
                    Future::cancel_with(future, future.get().cancel_message(py))?;
                } else {
                    Future::finish(future, result.unbind())?;
                }
                this.unregister(py);
                Ok(())
            }
            Sent::Raised(error) => this.fail_with(slf, error),
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

    fn leave_waiter(&self, slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(awaited) = self.fut_waiter.take(py) else {
            return Ok(());
        };
        if interop::version(py)?.awaited_by
            && let Ok(native) = awaited.bind(py).cast::<Future>()
        {
            native.get().discard_awaited_by(slf.as_any())?;
        }
        Ok(())
    }

    fn fail_with(&self, slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        let future = slf.as_super();
        if error.is_instance(py, imports(py)?.cancelled_error.bind(py)) {
            future
                .get()
                .set_cancelled_exc(py, error.into_value(py).into_any());
            Future::cancel_with(future, future.get().cancel_message(py))?;
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
        if let Ok(native) = yielded.cast_exact::<Future>() {
            return self.wait_for_native(slf, native);
        }
        if let Ok(native) = yielded.cast_exact::<Task>() {
            return self.wait_for_native(slf, native.as_super());
        }
        self.wait_for_foreign(slf, yielded)
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
        if interop::version(py)?.awaited_by {
            awaited.get().add_awaited_by(slf.as_any())?;
        }
        if self.must_cancel.get(py) {
            let message = slf.as_super().get().cancel_message(py);
            let cancelled = match awaited.cast::<Task>() {
                Ok(task) => Task::request_cancel(task, message)?,
                Err(_) => Future::cancel_with(awaited, message)?,
            };
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

    /// `Task.cancel`: down a chain of tasks that await each other, to the first that waits for something else.
    ///
    /// CPython does this by recursion, which ends at its limit for C frames. Ours are larger, so a chain is walked.
    ///
    /// # Errors
    /// RecursionError for tasks that await each other in a circle; whatever the `cancel` of a foreign future raises.
    fn request_cancel(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let again = || message.as_ref().map(|message| message.clone_ref(py));
        let mut task = slf.clone();
        let mut above: Option<Bound<'_, Self>> = None;
        // Brent's way to notice a circle: an earlier task is kept, a later one each time the distance doubles.
        let (mut earlier, mut distance, mut limit) = (slf.clone(), 0_usize, 1_usize);
        loop {
            let future = task.as_super().get();
            future.forget_traceback(py);
            if future.is_done(py) {
                // It is done, but who awaits it has not heard: that one's next step is told.
                return Ok(above.is_some_and(|above| Self::cancel_next_step(&above, again())));
            }
            task.get()
                .cancels_requested
                .with(py, |count| *count = count.saturating_add(1));
            let Some(awaited) = task.get().fut_waiter.cloned(py) else {
                return Ok(Self::cancel_next_step(&task, again()));
            };
            let awaited = awaited.into_bound(py);
            if let Some(next) = Self::with_own_cancel(&awaited)? {
                if next.is(&earlier) {
                    return Err(too_deep("tasks that await each other in a circle"));
                }
                distance += 1;
                if distance == limit {
                    (earlier, distance, limit) = (next.clone(), 0, limit.saturating_mul(2));
                }
                above = Some(std::mem::replace(&mut task, next));
                continue;
            }
            let cancelled = match awaited.cast_exact::<Future>() {
                Ok(native) => Future::cancel_with(native, again())?,
                Err(_) => cancel_foreign(&awaited, again())?,
            };
            return Ok(cancelled || Self::cancel_next_step(&task, again()));
        }
    }

    /// The next step throws CancelledError into the coroutine. Always `true`, which is what `cancel` returns then.
    fn cancel_next_step(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> bool {
        let py = slf.py();
        slf.get().must_cancel.set(py, true);
        slf.as_super().get().set_cancel_message(py, message);
        true
    }

    /// `object` as a native task, unless its class has a `cancel` of its own.
    fn with_own_cancel<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Self>>> {
        let py = object.py();
        if let Ok(task) = object.cast_exact::<Self>() {
            return Ok(Some(task.clone()));
        }
        let Ok(task) = object.cast::<Self>() else {
            return Ok(None);
        };
        let name = intern!(py, "cancel");
        let own = py.get_type::<Self>().getattr(name)?;
        let class = task.get_type().getattr(name)?;
        let instance = task.getattr(intern!(py, "__dict__"))?.contains(name)?;
        Ok((!instance && class.is(&own)).then(|| task.clone()))
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

/// How many `cancel_foreign` are under way, one inside the other.
static FOREIGN_CANCELS: GilCell<usize> = GilCell::new(0);

/// How deep they may get: Python's own default for calls.
const DEEPEST_FOREIGN_CANCEL: usize = 1000;

/// `awaited.cancel(msg=message)`, by asyncio's rules for what is not our own.
///
/// # Errors
/// What it raises; RecursionError before a chain that alternates with native tasks uses up the stack.
fn cancel_foreign(awaited: &Bound<'_, PyAny>, message: Option<Py<PyAny>>) -> PyResult<bool> {
    let py = awaited.py();
    if FOREIGN_CANCELS.get(py) >= DEEPEST_FOREIGN_CANCEL {
        return Err(too_deep("a chain of tasks"));
    }
    let options = PyDict::new(py);
    options.set_item(intern!(py, "msg"), message)?;
    let cancel = awaited.getattr(intern!(py, "cancel"))?;
    FOREIGN_CANCELS.with(py, |depth| *depth += 1);
    let cancelled = cancel.call((), Some(&options));
    FOREIGN_CANCELS.with(py, |depth| *depth -= 1);
    cancelled?.is_truthy()
}

fn too_deep(what: &str) -> PyErr {
    PyRecursionError::new_err(format!(
        "maximum recursion depth exceeded while cancelling {what}"
    ))
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

#[pymethods]
impl Task {
    #[new]
    #[pyo3(
        signature = (*_args, **_options),
        text_signature = "(coro, *, loop=None, name=None, context=None, eager_start=False)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Future::unbound()).add_subclass(Self::blank())
    }

    /// A task that runs `coro` on `loop` (by default the current one).
    ///
    /// Raises TypeError when `coro` is no coroutine.
    #[pyo3(signature = (coro, *, r#loop = None, name = None, context = None, eager_start = None))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        r#loop: Option<&Bound<'py, PyAny>>,
        name: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
        eager_start: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let eager_start = match eager_start {
            Some(eager_start) => eager_start.is_truthy()?,
            None => false,
        };
        if eager_start && !interop::version(py)?.eager_start {
            return Err(PyTypeError::new_err(
                "'eager_start' is an invalid keyword argument for Task()",
            ));
        }
        Future::bind(slf.as_super(), r#loop)?;
        Self::start(
            slf,
            coro,
            Options {
                name,
                context,
                eager_start,
            },
        )
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.as_super().get().loop_ref(slf.py())?;
        imports(slf.py())?.task_repr.bind(slf.py()).call1((slf,))
    }

    /// Return the coroutine that the task wraps.
    fn get_coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.coro.cloned(py)
    }

    /// Return the contextvars.Context of the task.
    fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.cloned(py)
    }

    /// Return the name of the task.
    fn get_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let number = self.name.with(py, |name| match name {
            Some(Name::Number(number)) => Err(*number),
            Some(Name::Given(name)) => Ok(name.clone_ref(py)),
            None => Ok(py.None()),
        });
        match number {
            Ok(name) => Ok(name.into_bound(py)),
            Err(number) => {
                let name = PyString::new(py, &format!("Task-{number}")).into_any();
                self.name.set(py, Some(Name::Given(name.clone().unbind())));
                Ok(name)
            }
        }
    }

    /// Set the name of the task; anything is made a str.
    #[pyo3(signature = (value, /))]
    fn set_name(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = value.str()?.into_any().unbind();
        self.name.set(py, Some(Name::Given(name)));
        Ok(())
    }

    /// Request that CancelledError be thrown into the coroutine at its next step; False when the task is done.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        Self::request_cancel(slf, msg)
    }

    /// Return how many cancellations were requested and not taken back.
    fn cancelling(&self, py: Python<'_>) -> u32 {
        self.cancels_requested.get(py)
    }

    /// Take one request for cancellation back; return how many are left.
    fn uncancel(&self, py: Python<'_>) -> PyResult<u32> {
        let left = self.cancels_requested.with(py, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 && interop::version(py)?.uncancel_clears {
            self.must_cancel.set(py, false);
        }
        Ok(left)
    }

    /// Return the stack frames of the suspended coroutine, or of the traceback when it failed.
    #[pyo3(signature = (*, limit = None))]
    fn get_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports(slf.py())?
            .task_get_stack
            .bind(slf.py())
            .call1((slf, limit))
    }

    /// Print the stack or traceback, to sys.stderr by default.
    #[pyo3(signature = (*, limit = None, file = None))]
    fn print_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<Bound<'py, PyAny>>,
        file: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports(slf.py())?
            .task_print_stack
            .bind(slf.py())
            .call1((slf, limit, file))
    }

    /// A task's result comes from its coroutine. Raises RuntimeError.
    #[pyo3(signature = (_result, /))]
    fn set_result(&self, _result: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err(
            "Task does not support set_result operation",
        ))
    }

    /// A task's exception comes from its coroutine. Raises RuntimeError.
    #[pyo3(signature = (_exception, /))]
    fn set_exception(&self, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err(
            "Task does not support set_exception operation",
        ))
    }

    #[getter]
    fn _coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.coro.cloned(py)
    }

    #[getter]
    fn _context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.cloned(py)
    }

    #[getter]
    fn _fut_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.fut_waiter.cloned(py)
    }

    #[getter]
    fn _must_cancel(&self, py: Python<'_>) -> bool {
        self.must_cancel.get(py)
    }

    #[getter]
    fn _num_cancels_requested(&self, py: Python<'_>) -> u32 {
        self.cancels_requested.get(py)
    }

    #[getter]
    fn _log_destroy_pending(&self, py: Python<'_>) -> bool {
        self.log_destroy_pending.get(py)
    }

    #[setter(_log_destroy_pending)]
    fn set_log_destroy_pending(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.log_destroy_pending.set(py, value.is_truthy()?);
        Ok(())
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.coro.traverse())?;
            visit.call(self.context.traverse())?;
            visit.call(self.fut_waiter.traverse())?;
            if let Some(Name::Given(name)) = self.name.traverse() {
                visit.call(name)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.fut_waiter.set(py, None);
            self.context.set(py, None);
            self.coro.set(py, None);
        });
    }
}

/// A step of a task as a callable, for loops that are not ours and for `Context.run`.
#[pyclass(frozen, name = "TaskStepMethWrapper", module = "riata._native")]
pub struct TaskStep {
    task: Py<Task>,
    exception: Option<Py<PyAny>>,
    /// Whether the task is the current one already.
    entered: bool,
}

impl TaskStep {
    /// The next step of `task`, which throws `exception` if there is one.
    pub fn new(task: Py<Task>, exception: Option<Py<PyAny>>) -> Self {
        Self {
            task,
            exception,
            entered: false,
        }
    }
}

/// Runs a step (already in the right context) with the task as the current one, on any loop.
fn step_entered(task: &Bound<'_, Task>, exception: Option<Py<PyAny>>) -> PyResult<()> {
    let py = task.py();
    let event_loop = task.as_super().get().loop_ref(py)?.object(py);
    interop::enter_task(&event_loop, task.as_any())?;
    let outcome = Task::step(task, exception);
    let left = interop::clear_current_task(&event_loop);
    outcome.and(left)
}

#[pymethods]
impl TaskStep {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let exception = self
            .exception
            .as_ref()
            .map(|exception| exception.clone_ref(py));
        match self.entered {
            true => Task::step(self.task.bind(py), exception),
            false => step_entered(self.task.bind(py), exception),
        }
    }

    #[getter]
    fn __self__(&self, py: Python<'_>) -> Py<Task> {
        self.task.clone_ref(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)?;
        visit.call(&self.exception)
    }
}

/// What wakes a task when a future that is not ours is done; also how a waiting task looks in `_callbacks`.
#[pyclass(frozen, name = "TaskWakeupMethWrapper", module = "riata._native")]
pub struct TaskWakeup {
    task: Py<Task>,
}

impl TaskWakeup {
    /// What wakes `task`.
    pub fn new(task: Py<Task>) -> Self {
        Self { task }
    }

    /// Whether `callback` is one of these for `task`.
    pub fn wakes(callback: &Bound<'_, PyAny>, task: &Py<Task>) -> bool {
        callback
            .cast::<Self>()
            .is_ok_and(|wakeup| wakeup.get().task.is(task))
    }
}

#[pymethods]
impl TaskWakeup {
    fn __call__(&self, py: Python<'_>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let task = self.task.bind(py);
        match Task::read_awaited(future) {
            Ok(exception) => step_entered(task, exception),
            Err(error) => step_entered(task, Some(error.into_value(py).into_any())),
        }
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        Self::wakes(other, &self.task)
    }

    fn __hash__(&self) -> usize {
        self.task.as_ptr() as usize
    }

    #[getter]
    fn __self__(&self, py: Python<'_>) -> Py<Task> {
        self.task.clone_ref(py)
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        "task_wakeup"
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "Task.task_wakeup"
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)
    }
}
