//! The class `TaskGroup`: its state, entering it, its tasks. `task_group_create` makes them, `task_group_exit` is its end.

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
use crate::imports::{call_exception_handler, imports};
use crate::interop;
use crate::unwritten::is_unwritten;
use crate::version::version;

/// Asynchronous context manager that waits for the tasks made in it, and cancels them all when one fails.
#[pyclass(frozen, subclass, weakref, dict, name = "TaskGroup", module = "riata")]
pub struct TaskGroup {
    pub(super) event_loop: GilCell<Option<Py<PyAny>>>,
    pub(super) parent: GilCell<Option<Py<PyAny>>>,
    pub(super) tasks: GilCell<Option<Py<PySet>>>,
    /// A list; made when first something is put into it, or asked for.
    pub(super) errors: GilCell<Option<Py<PyList>>>,
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
            errors: GilCell::new(None),
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

    /// The list of what went wrong; made when first asked for.
    fn error_list<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        if let Some(errors) = self.errors.cloned(py) {
            return errors.into_bound(py);
        }
        let errors = PyList::empty(py);
        self.errors.set(py, Some(errors.clone().unbind()));
        errors
    }

    /// Notes what went wrong.
    ///
    /// # Errors
    /// MemoryError.
    pub(super) fn note_error(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        self.error_list(error.py()).append(error)
    }

    /// Whether something went wrong.
    pub(super) fn has_errors(&self, py: Python<'_>) -> bool {
        let errors = self.errors.cloned(py);
        errors.is_some_and(|errors| !errors.bind(py).is_empty())
    }

    /// Cancels all tasks that are not done, by the `_abort` of a Python subclass where that has one.
    ///
    /// # Errors
    /// What a task that is not ours raises, or a subclass.
    pub(super) fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.is_exact_instance_of::<Self>() {
            true => slf.get().cancel_tasks(slf.py()),
            false => slf.call_method0(intern!(slf.py(), "_abort")).map(drop),
        }
    }

    fn cancel_tasks(&self, py: Python<'_>) -> PyResult<()> {
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
    ///
    /// # Errors
    /// What a Python subclass's `_is_base_error` raises.
    pub(super) fn note_base_error(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = error.py();
        let is_base = match slf.is_exact_instance_of::<Self>() {
            true => is_base_error(error),
            false => slf
                .call_method1(intern!(py, "_is_base_error"), (error,))?
                .is_truthy()?,
        };
        if is_base && slf.get().base_error.with(py, |base| base.is_none()) {
            let error = error.clone().unbind();
            slf.get().base_error.set(py, Some(error));
        }
        Ok(())
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
        this.note_error(&error)?;
        Self::note_base_error(slf, &error)?;
        let Some(parent) = parent else {
            return Ok(());
        };
        if any_future::is_done(parent)? {
            return this.report(task, &error, parent);
        }
        if !this.aborting.get(py) && !this.parent_cancel_requested.get(py) {
            Self::abort(slf)?;
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
    pub(super) fn refusal(slf: &Bound<'_, Self>) -> PyResult<Option<PyErr>> {
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
    pub(super) fn join(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let rules = &version(py)?.task_groups;
        let parent = this.parent.cloned(py);
        any_future::add_awaited_by(task, parent.as_ref().map(|parent| parent.bind(py)))?;
        // A Python subclass may have an `_on_task_done` of its own.
        let heard = match slf.is_exact_instance_of::<Self>() {
            true => None,
            false => Some(slf.getattr(intern!(py, "_on_task_done"))?),
        };
        if rules.hears_at_once && any_future::is_done(task)? {
            return match heard {
                None => Self::task_done(slf, task),
                Some(heard) => heard.call1((task,)).map(drop),
            };
        }
        this.task_set(py)?.add(task)?;
        match heard {
            None => any_future::observe(task, Observer::Group(slf.clone().unbind()))?,
            Some(heard) => task
                .call_method1(intern!(py, "add_done_callback"), (heard,))
                .map(drop)?,
        }
        if rules.cancels_late_joiners && this.aborting.get(py) && !any_future::is_done(task)? {
            any_future::cancel(task, Message::None)?;
        }
        Ok(())
    }
}

fn is_base_error(error: &Bound<'_, PyAny>) -> bool {
    error.is_instance_of::<PySystemExit>() || error.is_instance_of::<PyKeyboardInterrupt>()
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
        let errors = self.errors.cloned(py);
        let errors = errors.map_or(0, |errors| errors.bind(py).len());
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
        Self::abort(slf)?;
        if let Some(parent) = this.parent.cloned(py)
            && !this.parent_cancel_requested.replace(py, true)
        {
            this.cancelled_by_method.set(py, true);
            any_future::cancel(parent.bind(py), Message::None)?;
        }
        Ok(())
    }

    fn _abort(&self, py: Python<'_>) -> PyResult<()> {
        self.cancel_tasks(py)
    }

    fn _is_base_error(&self, exc: &Bound<'_, PyAny>) -> bool {
        is_base_error(exc)
    }

    fn _on_task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::task_done(slf, task)
    }

    #[getter]
    fn _tasks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        self.task_set(py)
    }

    #[setter(_tasks)]
    fn set_tasks(&self, py: Python<'_>, value: Py<PySet>) {
        self.tasks.set(py, Some(value));
    }

    #[getter]
    fn _errors<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.error_list(py)
    }

    #[setter(_errors)]
    fn set_errors(&self, py: Python<'_>, errors: Py<PyList>) {
        self.errors.set(py, Some(errors));
    }

    #[getter]
    fn _loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.event_loop.cloned(py)
    }

    #[setter(_loop)]
    fn set_loop(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.event_loop.set(py, value);
    }

    #[getter]
    fn _parent_task(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parent.cloned(py)
    }

    #[setter(_parent_task)]
    fn set_parent_task(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.parent.set(py, value);
    }

    #[getter]
    fn _parent_cancel_requested(&self, py: Python<'_>) -> bool {
        self.parent_cancel_requested.get(py)
    }

    #[setter(_parent_cancel_requested)]
    fn set_parent_cancel_requested(&self, py: Python<'_>, value: bool) {
        self.parent_cancel_requested.set(py, value);
    }

    #[getter]
    fn _base_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.base_error.cloned(py)
    }

    #[setter(_base_error)]
    fn set_base_error(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.base_error.set(py, value);
    }

    #[getter]
    fn _on_completed_fut(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.completed.cloned(py)
    }

    #[setter(_on_completed_fut)]
    fn set_on_completed_fut(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.completed.set(py, value);
    }

    #[getter]
    fn _entered(&self, py: Python<'_>) -> bool {
        self.entered.get(py)
    }

    #[setter(_entered)]
    fn set_entered(&self, py: Python<'_>, value: bool) {
        self.entered.set(py, value);
    }

    #[getter]
    fn _exiting(&self, py: Python<'_>) -> bool {
        self.exiting.get(py)
    }

    #[setter(_exiting)]
    fn set_exiting(&self, py: Python<'_>, value: bool) {
        self.exiting.set(py, value);
    }

    #[getter]
    fn _aborting(&self, py: Python<'_>) -> bool {
        self.aborting.get(py)
    }

    #[setter(_aborting)]
    fn set_aborting(&self, py: Python<'_>, value: bool) {
        self.aborting.set(py, value);
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
            visit.call(self.errors.traverse())?;
            visit.call(self.base_error.traverse())?;
            visit.call(self.completed.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.event_loop.set(py, None);
            self.parent.set(py, None);
            self.tasks.set(py, None);
            self.errors.set(py, None);
            self.base_error.set(py, None);
            self.completed.set(py, None);
        });
    }
}
