//! `ensure_future`, and making tasks of coroutines without a call into Python.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::any_future;
use super::running;
use crate::coroutine;
use crate::event_loop::EventLoop;
use crate::imports::imports;
use crate::task::{Options, Task};

/// Wrap a coroutine or an awaitable in a task; a future is returned as it is.
///
/// Raises TypeError for what is no awaitable, ValueError for a future of another loop than the one given.
#[pyfunction]
#[pyo3(signature = (coro_or_future, *, r#loop = None))]
pub fn ensure_future<'py>(
    coro_or_future: &Bound<'py, PyAny>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    ensure(coro_or_future, r#loop)
}

/// `ensure_future`.
///
/// # Errors
/// As there; what the loop's `create_task` raises.
#[inline]
pub fn ensure<'py>(
    coro_or_future: &Bound<'py, PyAny>,
    event_loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro_or_future.py();
    if coroutine::is_exact(coro_or_future) {
        return start(coro_or_future, event_loop, Failure::Closes);
    }
    if any_future::is_future(coro_or_future)? {
        if let Some(event_loop) = event_loop
            && !any_future::event_loop(coro_or_future)?.is(event_loop)
        {
            let text = "The future belongs to a different loop than the one specified as the loop argument";
            return Err(PyValueError::new_err(text));
        }
        return Ok(coro_or_future.clone());
    }
    if coroutine::is_coroutine(coro_or_future)? {
        return start(coro_or_future, event_loop, Failure::Closes);
    }
    let imports = imports(py)?;
    if !imports
        .isawaitable
        .bind(py)
        .call1((coro_or_future,))?
        .is_truthy()?
    {
        let text = "An asyncio.Future, a coroutine or an awaitable is required";
        return Err(PyTypeError::new_err(text));
    }
    let wrapped = wrap_awaitable(coro_or_future)?;
    start(&wrapped, event_loop, Failure::Leaves)
}

/// A coroutine of ours that awaits `awaitable`.
fn wrap_awaitable<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    static WRAP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    WRAP.get_or_try_init(py, || {
        let module = py.import(intern!(py, "riata._awaitable"))?;
        Ok::<_, PyErr>(module.getattr(intern!(py, "wrap"))?.unbind())
    })?
    .bind(py)
    .call1((awaitable,))
}

/// What becomes of a coroutine that no task could be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    Closes,
    Leaves,
}

fn start<'py>(
    coro: &Bound<'py, PyAny>,
    event_loop: Option<&Bound<'py, PyAny>>,
    failure: Failure,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    let started = match event_loop {
        Some(event_loop) => create_task(event_loop, coro),
        None => create_task(&running::event_loop(py)?, coro),
    };
    if let Err(error) = &started
        && failure == Failure::Closes
        && error.is_instance_of::<PyRuntimeError>(py)
    {
        coro.call_method0(intern!(py, "close"))?;
    }
    started
}

/// `loop.create_task(coro)`.
///
/// # Errors
/// What it raises.
#[inline]
pub fn create_task<'py>(
    event_loop: &Bound<'py, PyAny>,
    coro: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if let Ok(native) = event_loop.cast::<EventLoop>()
        && native.get().makes_native_tasks(py)?
    {
        native.get().check_closed(py)?;
        return Ok(Task::create(native, coro, Options::default())?.into_any());
    }
    event_loop.call_method1(intern!(py, "create_task"), (coro,))
}
