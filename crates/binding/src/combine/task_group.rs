//! The class `TaskGroup`: its state, entering it, its tasks. `task_group_exit` is its end.

use std::ffi::CStr;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::any_future::{self, Message};
use super::body::{Body, Kind};
use super::coroutine::Coroutine;
use super::observer::Observer;
use super::running;
use super::task_group_exit::GroupExit;
use crate::cell::GilCell;
use crate::event_loop::EventLoop;
use crate::fastcall::{FastCall, FastMethod, is_named};
use crate::imports::{call_exception_handler, imports};
use crate::interop;
use crate::task::{Options, Task};
use crate::unwritten::is_unwritten;

/// Asynchronous context manager that waits for the tasks made in it, and cancels them all when one fails.
#[pyclass(frozen, subclass, weakref, dict, name = "TaskGroup", module = "riata")]
pub struct TaskGroup {
    pub(super) event_loop: GilCell<Option<Py<PyAny>>>,
    pub(super) parent: GilCell<Option<Py<PyAny>>>,
    pub(super) tasks: GilCell<Option<Py<PySet>>>,
    pub(super) errors: GilCell<Vec<Py<PyAny>>>,
    /// A SystemExit or KeyboardInterrupt.
    pub(super) base_error: GilCell<Option<Py<PyAny>>>,
    /// What the parent awaits in `__aexit__`.
    pub(super) completed: GilCell<Option<Py<PyAny>>>,
    pub(super) entered: GilCell<bool>,
    pub(super) exiting: GilCell<bool>,
    pub(super) aborting: GilCell<bool>,
    pub(super) cancel_on_enter: GilCell<bool>,
    /// The group has cancelled its parent, and has to take that back.
    pub(super) parent_cancel_requested: GilCell<bool>,
    /// The same by `cancel`, which asyncio has since 3.15.
    pub(super) cancelled_by_method: GilCell<bool>,
}

impl TaskGroup {
    fn blank() -> Self {
        Self {
            event_loop: GilCell::new(None),
            parent: GilCell::new(None),
            tasks: GilCell::new(None),
            errors: GilCell::new(Vec::new()),
            base_error: GilCell::new(None),
            completed: GilCell::new(None),
            entered: GilCell::new(false),
            exiting: GilCell::new(false),
            aborting: GilCell::new(false),
            cancel_on_enter: GilCell::new(false),
            parent_cancel_requested: GilCell::new(false),
            cancelled_by_method: GilCell::new(false),
        }
    }

    /// The set of tasks that are not done; made when first asked for.
    fn task_set<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        if let Some(tasks) = self.tasks.cloned(py) {
            return Ok(tasks.into_bound(py));
        }
        let tasks = PySet::empty(py)?;
        self.tasks.set(py, Some(tasks.clone().unbind()));
        Ok(tasks)
    }

    /// Whether no task is left.
    pub(super) fn is_empty(&self, py: Python<'_>) -> bool {
        let tasks = self.tasks.cloned(py);
        tasks.is_none_or(|tasks| tasks.bind(py).is_empty())
    }

    /// `__aenter__`, without the coroutine.
    ///
    /// # Errors
    /// RuntimeError when it was entered before, or not by a task.
    pub fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.entered.get(py) {
            let text = format!("TaskGroup {} has already been entered", slf.repr()?);
            return Err(PyRuntimeError::new_err(text));
        }
        let event_loop = match this.event_loop.cloned(py) {
            Some(event_loop) => event_loop.into_bound(py),
            None => running::running_loop(py)?,
        };
        this.event_loop.set(py, Some(event_loop.clone().unbind()));
        let Some(parent) = running::task(&event_loop)? else {
            let text = format!("TaskGroup {} cannot determine the parent task", slf.repr()?);
            return Err(PyRuntimeError::new_err(text));
        };
        this.parent.set(py, Some(parent.unbind()));
        this.entered.set(py, true);
        if this.cancel_on_enter.get(py) {
            slf.call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// Cancels all tasks that are not done.
    ///
    /// # Errors
    /// What a task that is not ours raises; so for those that follow.
    pub(super) fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.aborting.set(py, true);
        let Some(tasks) = self.tasks.cloned(py) else {
            return Ok(());
        };
        for task in PyList::new(py, tasks.bind(py).iter().collect::<Vec<_>>())? {
            if !any_future::is_done(&task)? {
                any_future::cancel(&task, Message::None)?;
            }
        }
        Ok(())
    }

    /// Notes the first SystemExit or KeyboardInterrupt.
    pub(super) fn note_base_error(&self, error: &Bound<'_, PyAny>) {
        let py = error.py();
        let is_base =
            error.is_instance_of::<PySystemExit>() || error.is_instance_of::<PyKeyboardInterrupt>();
        if is_base && self.base_error.with(py, |base| base.is_none()) {
            self.base_error.set(py, Some(error.clone().unbind()));
        }
    }

    /// A task of the group is done: asyncio's `_on_task_done`.
    pub fn task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if let Some(tasks) = this.tasks.cloned(py) {
            tasks.bind(py).discard(task)?;
        }
        let parent = this.parent.cloned(py);
        let parent = parent.as_ref().map(|parent| parent.bind(py));
        any_future::discard_awaited_by(task, parent)?;
        if let Some(completed) = this.completed.cloned(py)
            && this.is_empty(py)
            && !any_future::is_done(completed.bind(py))?
        {
            let value = pyo3::types::PyBool::new(py, true).to_owned().into_any();
            any_future::set_result(completed.bind(py), value)?;
        }
        if any_future::is_cancelled(task)? {
            return Ok(());
        }
        let Some(error) = any_future::exception(task)? else {
            return Ok(());
        };
        let kept = error.clone().unbind();
        this.errors.with(py, |errors| errors.push(kept));
        this.note_base_error(&error);
        let Some(parent) = parent else {
            return Ok(());
        };
        if any_future::is_done(parent)? {
            return this.report(task, &error, parent);
        }
        if !this.aborting.get(py) && !this.parent_cancel_requested.get(py) {
            this.abort(py)?;
            this.parent_cancel_requested.set(py, true);
            any_future::cancel(parent, Message::None)?;
        }
        Ok(())
    }

    fn report(
        &self,
        task: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        parent: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = task.py();
        let text = format!(
            "Task {} has errored out but its parent task {} is already completed",
            task.repr()?,
            parent.str()?
        );
        let context = PyDict::new(py);
        context.set_item(intern!(py, "message"), text)?;
        context.set_item(intern!(py, "exception"), error)?;
        context.set_item(intern!(py, "task"), task)?;
        match self.event_loop.cloned(py) {
            Some(event_loop) => call_exception_handler(event_loop.bind(py), &context),
            None => Ok(()),
        }
    }

    /// Why no task may be made now.
    fn refusal(slf: &Bound<'_, Self>) -> PyResult<Option<PyErr>> {
        let py = slf.py();
        let this = slf.get();
        let why = if !this.entered.get(py) {
            "has not been entered"
        } else if this.exiting.get(py) && this.is_empty(py) {
            "is finished"
        } else if this.aborting.get(py) {
            "is shutting down"
        } else {
            return Ok(None);
        };
        let text = format!("TaskGroup {} {why}", slf.repr()?);
        Ok(Some(PyRuntimeError::new_err(text)))
    }

    /// A task that was made joins.
    fn join(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let rules = &interop::version(py)?.task_groups;
        let parent = this.parent.cloned(py);
        any_future::add_awaited_by(task, parent.as_ref().map(|parent| parent.bind(py)))?;
        if rules.hears_at_once && any_future::is_done(task)? {
            return Self::task_done(slf, task);
        }
        this.task_set(py)?.add(task)?;
        any_future::observe(task, Observer::Group(slf.clone().unbind()))?;
        if rules.cancels_late_joiners && this.aborting.get(py) && !any_future::is_done(task)? {
            any_future::cancel(task, Message::None)?;
        }
        Ok(())
    }
}

/// `create_task(coro, **options)`.
pub struct CreateTask;

/// What `create_task` was given.
struct Given<'a, 'py> {
    coro: Borrowed<'a, 'py, PyAny>,
    options: Options<'py>,
    /// All keywords, where the loop has to be asked.
    others: bool,
}

impl CreateTask {
    /// None for a call that does not fit this Python's signature.
    fn parse<'a, 'py>(
        call: &FastCall<'a, 'py>,
        py: Python<'py>,
    ) -> PyResult<Option<Given<'a, 'py>>> {
        let version = interop::version(py)?;
        let mut coro = call.positional().next();
        let mut options = Options::default();
        let mut others = false;
        if call.positional().len() > 1 {
            return Ok(None);
        }
        for (keyword, value) in call.keywords() {
            if is_named(&keyword, intern!(py, "name"))? {
                options.name = Some(value.to_owned());
            } else if is_named(&keyword, intern!(py, "context"))? {
                options.context = Some(value.to_owned());
            } else if coro.is_none() && is_named(&keyword, intern!(py, "coro"))? {
                coro = Some(value);
            } else if !version.task_groups.takes_any_keyword {
                return Ok(None);
            } else if version.create_task_is_open && is_named(&keyword, intern!(py, "eager_start"))?
            {
                options.eager_start = value.is_truthy()?;
            } else {
                others = true;
            }
        }
        Ok(coro.map(|coro| Given {
            coro,
            options,
            others,
        }))
    }

    /// By the loop's own `create_task`, with the arguments that this Python's asyncio gives it.
    fn ask<'py>(
        event_loop: &Bound<'py, PyAny>,
        call: &FastCall<'_, 'py>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        let rules = &interop::version(py)?.task_groups;
        let options = PyDict::new(py);
        if rules.takes_any_keyword {
            for (keyword, value) in call.keywords() {
                if !is_named(&keyword, intern!(py, "coro"))? {
                    options.set_item(keyword, value)?;
                }
            }
        } else {
            if !rules.names_afterwards {
                options.set_item(intern!(py, "name"), &given.options.name)?;
            }
            if let Some(context) = given.options.context.filter(|context| !context.is_none()) {
                options.set_item(intern!(py, "context"), context)?;
            }
        }
        let task = event_loop
            .getattr(intern!(py, "create_task"))?
            .call((given.coro,), Some(&options))?;
        if rules.names_afterwards {
            let tasks = py.import(intern!(py, "asyncio.tasks"))?;
            let name = given.options.name;
            tasks.call_method1(intern!(py, "_set_task_name"), (&task, name))?;
        }
        Ok(task)
    }
}

impl FastMethod for CreateTask {
    type Class = TaskGroup;
    const NAME: &'static str = "create_task";
    const C_NAME: &'static CStr = c"create_task";
    const DOC: &'static CStr = c"create_task($self, coro, **options)\n--\n\n\
        Create a new task in this group and return it; the keywords are those of asyncio.create_task.\n\n\
        Raises RuntimeError when the group is not entered, finished or shutting down.";

    fn call<'py>(
        slf: &Bound<'py, TaskGroup>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Some(given) = Self::parse(call, py)? else {
            // A mistake: asyncio has the words for it.
            let keywords = PyDict::new(py);
            for (key, value) in call.keywords() {
                keywords.set_item(key, value)?;
            }
            let mut all = vec![slf.clone().into_any()];
            all.extend(call.positional().map(|argument| argument.to_owned()));
            let original = imports(py)?.asyncio_task_group.bind(py);
            return original
                .getattr(intern!(py, "create_task"))?
                .call(PyTuple::new(py, all)?, Some(&keywords));
        };
        if let Some(refusal) = TaskGroup::refusal(slf)? {
            if interop::version(py)?.task_groups.closes_refused {
                given.coro.call_method0(intern!(py, "close"))?;
            }
            return Err(refusal);
        }
        let Some(event_loop) = slf.get().event_loop.cloned(py) else {
            return Err(PyRuntimeError::new_err("TaskGroup without a loop"));
        };
        let event_loop = event_loop.bind(py);
        let task = match event_loop.cast::<EventLoop>() {
            Ok(native) if !given.others && native.get().makes_native_tasks(py)? => {
                native.get().check_closed(py)?;
                Task::create(native, &given.coro, given.options)?.into_any()
            }
            _ => Self::ask(event_loop, call, given)?,
        };
        TaskGroup::join(slf, &task)?;
        Ok(task)
    }
}

#[pymethods]
impl TaskGroup {
    #[new]
    #[pyo3(signature = (*_args, **_options), text_signature = "()")]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self::blank()
    }

    /// A group to be entered with `async with`.
    fn __init__(&self) {}

    /// asyncio.TaskGroup: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let original = imports(slf.py())?.asyncio_task_group.bind(slf.py());
        match slf.is_exact_instance_of::<Self>() {
            true => Ok(original.clone()),
            false => interop::face(&slf.get_type(), original),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let tasks = self.tasks.cloned(py);
        let tasks = tasks.map_or(0, |tasks| tasks.bind(py).len());
        let errors = self.errors.with(py, |errors| errors.len());
        let mut text = "<TaskGroup".to_owned();
        if tasks > 0 {
            text += &format!(" tasks={tasks}");
        }
        if errors > 0 {
            text += &format!(" errors={errors}");
        }
        if self.aborting.get(py) {
            text += " cancelling";
        } else if self.entered.get(py) {
            text += " entered";
        }
        text + ">"
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let body = Body::GroupEnter(slf.clone().unbind());
        Coroutine::create(slf.py(), Kind::GroupEnter, body)
    }

    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        et: Option<Py<PyAny>>,
        exc: Option<Py<PyAny>>,
        tb: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        drop((et, tb)); // the value has both
        let body = Body::GroupExit(GroupExit::Created(slf.clone().unbind(), exc));
        Coroutine::create(slf.py(), Kind::GroupExit, body)
    }

    /// Cancel the group: its tasks, and the body if it runs still. `async with` then ends without CancelledError.
    ///
    /// A group that is not entered yet is cancelled when it is. Doing it again, or after the end, changes nothing.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !this.entered.get(py) {
            this.cancel_on_enter.set(py, true);
            return Ok(());
        }
        if this.exiting.get(py) && this.is_empty(py) || this.aborting.get(py) {
            return Ok(());
        }
        this.abort(py)?;
        if let Some(parent) = this.parent.cloned(py)
            && !this.parent_cancel_requested.replace(py, true)
        {
            this.cancelled_by_method.set(py, true);
            any_future::cancel(parent.bind(py), Message::None)?;
        }
        Ok(())
    }

    fn _abort(&self, py: Python<'_>) -> PyResult<()> {
        self.abort(py)
    }

    fn _on_task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::task_done(slf, task)
    }

    #[getter]
    fn _tasks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        self.task_set(py)
    }

    #[getter]
    fn _errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let errors: Vec<Py<PyAny>> = self.errors.with(py, |errors| {
            errors.iter().map(|error| error.clone_ref(py)).collect()
        });
        PyList::new(py, errors)
    }

    #[getter]
    fn _loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.event_loop.cloned(py)
    }

    #[getter]
    fn _parent_task(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parent.cloned(py)
    }

    #[getter]
    fn _parent_cancel_requested(&self, py: Python<'_>) -> bool {
        self.parent_cancel_requested.get(py)
    }

    #[getter]
    fn _base_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.base_error.cloned(py)
    }

    #[getter]
    fn _on_completed_fut(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.completed.cloned(py)
    }

    #[getter]
    fn _entered(&self, py: Python<'_>) -> bool {
        self.entered.get(py)
    }

    #[getter]
    fn _exiting(&self, py: Python<'_>) -> bool {
        self.exiting.get(py)
    }

    #[getter]
    fn _aborting(&self, py: Python<'_>) -> bool {
        self.aborting.get(py)
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.event_loop.traverse())?;
            visit.call(self.parent.traverse())?;
            visit.call(self.tasks.traverse())?;
            for error in self.errors.traverse() {
                visit.call(error)?;
            }
            visit.call(self.base_error.traverse())?;
            visit.call(self.completed.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.event_loop.set(py, None);
            self.parent.set(py, None);
            self.tasks.set(py, None);
            drop(self.errors.take(py));
            self.base_error.set(py, None);
            self.completed.set(py, None);
        });
    }
}
