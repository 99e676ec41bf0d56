//! The methods and attributes of `Task` that Python sees, with asyncio's names.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::{Name, Options, Task};
use crate::future::Future;
use crate::imports::imports;
use crate::unwritten::is_unwritten;

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
    /// With `eager_start` it runs at once up to where it has to wait, if the loop is running: on Python 3.11, too.
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
        let eager_start = match eager_start {
            Some(eager_start) => eager_start.is_truthy()?,
            None => false,
        };
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
    pub fn cancelling(&self, py: Python<'_>) -> u32 {
        self.cancels_requested.get(py)
    }

    /// Take one request for cancellation back; return how many are left. The last one that is taken back before it was
    /// thrown is forgotten, as asyncio's tasks do from Python 3.13 on: before, a timeout could leave one behind.
    pub fn uncancel(&self, py: Python<'_>) -> u32 {
        let left = self.cancels_requested.with(py, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            self.must_cancel.set(py, false);
        }
        left
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
        if is_unwritten(self) {
            return Ok(());
        }
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
