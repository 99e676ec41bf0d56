//! `create_task`, `create_future`, `set_task_factory`.

use std::ffi::CStr;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::EventLoop;
use super::work::LoopRef;
use crate::fastcall::{FastCall, FastMethod, is_named};
use crate::future::Future;
use crate::imports::imports;
use crate::task::{Options, Task};
use crate::version::version;

#[pymethods]
impl EventLoop {
    /// Create a riata.Future attached to the loop (or one of another class, if it stands at asyncio's name).
    fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let imports = imports(py)?;
        if !imports.makes_futures(py)? {
            let create = imports.base_event_loop.bind(py);
            return create.call_method1(intern!(py, "create_future"), (slf,));
        }
        let future = Bound::new(py, Future::on(LoopRef::Native(slf.clone().unbind())))?;
        if slf.get().debug(py) {
            future.get().note_source(py)?;
        }
        Ok(future.into_any())
    }

    /// Set a task factory: a callable `(loop, coro, **options)` that returns a future; None for riata.Task.
    ///
    /// Raises TypeError for what cannot be called.
    fn set_task_factory(&self, py: Python<'_>, factory: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if factory
            .as_ref()
            .is_some_and(|factory| !factory.is_callable())
        {
            return Err(PyTypeError::new_err(
                "task factory must be a callable or None",
            ));
        }
        self.task_factory.set(py, factory.map(Bound::unbind));
        Ok(())
    }

    /// Return the task factory, or None.
    fn get_task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task_factory.cloned(py)
    }

    #[getter(_task_factory)]
    fn task_factory_py(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task_factory.cloned(py)
    }

    #[setter(_task_factory)]
    fn set_task_factory_py(&self, py: Python<'_>, factory: Option<Py<PyAny>>) {
        self.task_factory.set(py, factory);
    }
}

/// `create_task(coro, **options)`.
pub struct CreateTask;

impl FastMethod for CreateTask {
    type Class = EventLoop;
    const NAME: &'static str = "create_task";
    const C_NAME: &'static CStr = c"create_task";
    const DOC: &'static CStr = c"create_task($self, coro, **options)\n--\n\n\
        Schedule a coroutine; return its Task, or what the task factory makes of it.\n\n\
        Takes the keywords that this Python's asyncio takes: name, context, and eager_start where it has it;\n\
        a factory is given them as this Python's asyncio gives them.\n\
        Raises TypeError for what is no coroutine, RuntimeError when the loop is closed.";

    fn call<'py>(
        slf: &Bound<'py, EventLoop>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        let mut options = Options::default();
        let mut native = this.task_factory.with(py, |factory| factory.is_none());
        for (keyword, value) in call.keywords() {
            if is_named(&keyword, intern!(py, "name"))? {
                options.name = Some(value.to_owned());
            } else if is_named(&keyword, intern!(py, "context"))? {
                options.context = Some(value.to_owned());
            } else if is_named(&keyword, intern!(py, "eager_start"))?
                && version(py)?.create_task_is_open
            {
                options.eager_start = value.is_truthy()?;
            } else {
                native = false;
            }
        }
        let mut positional = call.positional();
        if native
            && positional.len() == 1
            && imports(py)?.makes_tasks(py)?
            && let Some(coro) = positional.next()
        {
            return Ok(Task::create(slf, &coro, options)?.into_any());
        }
        // A task factory, another class at asyncio's name, or a mistake: asyncio has its own way with each.
        let keywords = PyDict::new(py);
        for (key, value) in call.keywords() {
            keywords.set_item(key, value)?;
        }
        let mut all = vec![slf.clone().into_any()];
        all.extend(call.positional().map(|argument| argument.to_owned()));
        let create = imports(py)?
            .base_event_loop
            .bind(py)
            .getattr(intern!(py, "create_task"))?;
        create.call(PyTuple::new(py, all)?, Some(&keywords))
    }
}
