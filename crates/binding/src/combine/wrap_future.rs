//! `wrap_future` and `run_coroutine_threadsafe`: futures of other threads.

use pyo3::exceptions::{PyAssertionError, PyKeyboardInterrupt, PySystemExit, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::any_future;
use super::ensure_future;
use super::observer::Observer;
use super::running;
use crate::coroutine;
use crate::event_loop::EventLoop;
use crate::event_loop::work::{LoopRef, Work};
use crate::future::{Future, State, Waiter};
use crate::imports::imports;
use crate::version::version;

/// What a future of another thread has to tell when it is done: what asyncio's `_chain_future` makes a closure for. It
/// does not hold that future, which keeps its callbacks as long as it lives.
#[pyclass(frozen, name = "Link", module = "riata._native")]
pub struct Link {
    destination: Py<Future>,
    event_loop: Py<EventLoop>,
}

impl Link {
    /// On the loop's thread: `_copy_future_state`.
    ///
    /// # Errors
    /// What the other raises; InvalidStateError when somebody else has finished the loop's future.
    pub fn copy(&self, source: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = source.py();
        let destination = self.destination.bind(py);
        if destination.get().state(py) == State::Cancelled {
            return Ok(());
        }
        if source
            .get_type()
            .is(imports(py)?.concurrent_future.bind(py))
        {
            return copy_done(source, destination);
        }
        if source.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            return Future::cancel_with(destination, None).map(drop);
        }
        let exception = source.call_method0(intern!(py, "exception"))?;
        if exception.is_none() {
            let result = source.call_method0(intern!(py, "result"))?;
            return Future::finish(destination, result.unbind());
        }
        fail_converted(destination, &exception)
    }
}

/// The loop's future is done, and tells the other if it was cancelled: `_call_check_cancel`.
///
/// # Errors
/// What cancelling the other raises.
pub fn check_cancel(source: &Bound<'_, PyAny>, destination: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = source.py();
    match destination.cast::<Future>()?.get().state(py) {
        State::Cancelled => source.call_method0(intern!(py, "cancel")).map(drop),
        _ => Ok(()),
    }
}

/// `Link::copy` for a `concurrent.futures.Future` itself, without its lock: one that is done changes no more.
fn copy_done(source: &Bound<'_, PyAny>, destination: &Bound<'_, Future>) -> PyResult<()> {
    let py = source.py();
    if !source
        .getattr(intern!(py, "_state"))?
        .eq(intern!(py, "FINISHED"))?
    {
        return Future::cancel_with(destination, None).map(drop);
    }
    let exception = source.getattr(intern!(py, "_exception"))?;
    match exception.is_none() {
        true => Future::finish(
            destination,
            source.getattr(intern!(py, "_result"))?.unbind(),
        ),
        false => fail_converted(destination, &exception),
    }
}

fn fail_converted(destination: &Bound<'_, Future>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = exception.py();
    let futures = py.import(intern!(py, "asyncio.futures"))?;
    let converted = futures.call_method1(intern!(py, "_convert_future_exc"), (exception,))?;
    Future::fail(destination, &converted)
}

#[pymethods]
impl Link {
    /// The other thread's future is done: `_call_set_state`.
    fn __call__(slf: &Bound<'_, Self>, source: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let event_loop = this.event_loop.bind(py);
        if event_loop.get().is_closed(py) {
            return Ok(());
        }
        if version(py)?.chains_at_once && event_loop.get().runs_here(py) {
            return this.copy(source.bind(py));
        }
        let observer = Observer::LinkCopy(slf.clone().unbind());
        if event_loop.get().overrides_call_soon_threadsafe(py) {
            let call = super::observer::Observation::new(observer);
            return event_loop
                .call_method1(intern!(py, "call_soon_threadsafe"), (call, source))
                .map(drop);
        }
        event_loop
            .get()
            .push_threadsafe(py, Work::Observe(observer, source))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.destination)?;
        visit.call(&self.event_loop)
    }
}

/// Wrap a concurrent.futures.Future in a future of the loop, by default the current one. Others are returned as they are.
#[pyfunction]
#[pyo3(signature = (future, *, r#loop = None))]
pub fn wrap_future<'py>(
    future: &Bound<'py, PyAny>,
    r#loop: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if any_future::is_future(future)? {
        return Ok(future.clone());
    }
    if !future.is_instance(imports(py)?.concurrent_future.bind(py))? {
        let text = format!(
            "concurrent.futures.Future is expected, got {}",
            future.repr()?
        );
        return Err(PyAssertionError::new_err(text));
    }
    let event_loop = match r#loop {
        Some(event_loop) => event_loop,
        None => running::event_loop(py)?,
    };
    let wrapping = LoopRef::new(&event_loop).create_future(py)?;
    match (
        wrapping.cast_exact::<Future>(),
        event_loop.cast::<EventLoop>(),
    ) {
        (Ok(destination), Ok(native)) => {
            let link = Bound::new(
                py,
                Link {
                    destination: destination.clone().unbind(),
                    event_loop: native.clone().unbind(),
                },
            )?;
            let observer = Observer::LinkCancel(future.clone().unbind());
            Future::add_waiter(destination, Waiter::Observer(observer))?;
            future.call_method1(intern!(py, "add_done_callback"), (link,))?;
        }
        _ => chain(future, &wrapping)?,
    }
    Ok(wrapping)
}

/// `asyncio.futures._chain_future`.
fn chain(source: &Bound<'_, PyAny>, destination: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = source.py();
    let futures = py.import(intern!(py, "asyncio.futures"))?;
    futures
        .call_method1(intern!(py, "_chain_future"), (source, destination))
        .map(drop)
}

/// A coroutine on its way to the thread of its loop.
#[pyclass(frozen, name = "Submission", module = "riata._native")]
pub struct Submission {
    coro: Py<PyAny>,
    event_loop: Py<PyAny>,
    /// A `concurrent.futures.Future`.
    future: Py<PyAny>,
}

#[pymethods]
impl Submission {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        let started = ensure_future::ensure(self.coro.bind(py), Some(self.event_loop.bind(py)))
            .and_then(|task| chain(&task, future));
        let Err(error) = started else {
            return Ok(());
        };
        let ends_the_program = error.is_instance_of::<PySystemExit>(py)
            || error.is_instance_of::<PyKeyboardInterrupt>(py);
        if !ends_the_program
            && future
                .call_method0(intern!(py, "set_running_or_notify_cancel"))?
                .is_truthy()?
        {
            future.call_method1(intern!(py, "set_exception"), (error.value(py),))?;
        }
        Err(error)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "run_coroutine_threadsafe.<locals>.callback"
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.coro)?;
        visit.call(&self.event_loop)?;
        visit.call(&self.future)
    }
}

/// Run a coroutine on a loop that runs in another thread; return a concurrent.futures.Future of its result.
///
/// Raises TypeError for what is no coroutine, RuntimeError when the loop is closed.
#[pyfunction]
pub fn run_coroutine_threadsafe<'py>(
    coro: &Bound<'py, PyAny>,
    r#loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if !coroutine::is_coroutine(coro)? {
        return Err(PyTypeError::new_err("A coroutine object is required"));
    }
    let future = imports(py)?.concurrent_future.bind(py).call0()?;
    let submission = Submission {
        coro: coro.clone().unbind(),
        event_loop: r#loop.clone().unbind(),
        future: future.clone().unbind(),
    };
    r#loop.call_method1(intern!(py, "call_soon_threadsafe"), (submission,))?;
    Ok(future)
}
