//! `create_task`, `create_future`, `set_task_factory`.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::EventLoop;
use super::work::LoopRef;
use crate::future::Future;
use crate::imports::imports;
use crate::interop;
use crate::task::{Options, Task};

#[pymethods]
impl EventLoop {
    /// Create a riata.Future attached to the loop.
    fn create_future<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Future>> {
        let py = slf.py();
        let future = Bound::new(py, Future::on(LoopRef::Native(slf.clone().unbind())))?;
        if slf.get().debug(py) {
            future.get().note_source(py)?;
        }
        Ok(future)
    }

    /// Schedule a coroutine; return its riata.Task, or what the task factory makes of it.
    ///
    /// Takes the keywords that this Python's asyncio takes: `name`, `context`, `eager_start` where it has it; a
    /// factory is given them as this Python's asyncio gives them. Raises TypeError for what is no coroutine.
    #[pyo3(signature = (coro, **options))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: &Bound<'py, PyAny>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        let parsed = match options {
            _ if this.task_factory.with(py, |factory| factory.is_some()) => None,
            None => Some(Options::default()),
            Some(options) => parse(options)?,
        };
        match parsed {
            Some(parsed) => Ok(Task::create(slf, coro, parsed)?.into_any()),
            None => {
                let create = imports(py)?.base_event_loop.bind(py).getattr(intern!(py, "create_task"))?;
                create.call((slf, coro), options)
            }
        }
    }

    /// Set a task factory: a callable `(loop, coro, **options)` that returns a future; None for riata.Task.
    ///
    /// Raises TypeError for what cannot be called.
    fn set_task_factory(&self, py: Python<'_>, factory: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if factory.as_ref().is_some_and(|factory| !factory.is_callable()) {
            return Err(PyTypeError::new_err("task factory must be a callable or None"));
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

/// The keywords of `create_task`; None when this Python's asyncio has to say what it makes of them.
fn parse<'py>(options: &Bound<'py, PyDict>) -> PyResult<Option<Options<'py>>> {
    let py = options.py();
    let mut parsed = Options::default();
    for (key, value) in options {
        let key = key.cast_into::<pyo3::types::PyString>()?;
        match &*key.to_string_lossy() {
            "name" => parsed.name = Some(value),
            "context" => parsed.context = Some(value),
            "eager_start" if interop::version(py)?.create_task_is_open => parsed.eager_start = value.is_truthy()?,
            _ => return Ok(None),
        }
    }
    Ok(Some(parsed))
}
