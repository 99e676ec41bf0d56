//! A future of any kind: our own without a call into Python, another's by asyncio's names.
//!
//! Ours are those whose class is exactly `Future`, `Task` or `gather`'s: what a Python subclass overrides is called.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::gather::GatheringFuture;
use super::observer::{Observation, Observer};
use crate::future::{
    Future, Reading, State, Waiter, future_add_to_awaited_by, future_discard_from_awaited_by,
};
use crate::imports::imports;
use crate::task::Task;
use crate::version::version;

/// `object` as a native future, unless a Python subclass may have changed what it does.
#[inline]
pub fn native<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Future>> {
    if let Ok(task) = object.cast_exact::<Task>() {
        return Some(task.as_super());
    }
    if let Ok(future) = object.cast_exact::<Future>() {
        return Some(future);
    }
    match object.cast_exact::<GatheringFuture>() {
        Ok(gathering) => Some(gathering.as_super()),
        Err(_) => None,
    }
}

/// `asyncio.isfuture`.
///
/// # Errors
/// What looking the attribute up raises.
#[inline]
pub fn is_future(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if native(object).is_some() {
        return Ok(true);
    }
    let py = object.py();
    imports(py)?.isfuture.bind(py).call1((object,))?.is_truthy()
}

/// `future.done()`.
///
/// # Errors
/// What another's raises; so for all that follow.
#[inline]
pub fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match native(future) {
        Some(native) => Ok(native.get().is_done(future.py())),
        None => future
            .call_method0(intern!(future.py(), "done"))?
            .is_truthy(),
    }
}

/// `future.cancelled()`.
pub fn is_cancelled(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match native(future) {
        Some(native) => Ok(native.get().state(future.py()) == State::Cancelled),
        None => future
            .call_method0(intern!(future.py(), "cancelled"))?
            .is_truthy(),
    }
}

/// `future.exception()`, of one that is done and not cancelled.
pub fn exception<'py>(future: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = future.py();
    match native(future) {
        Some(native) => Ok(native
            .get()
            .exception(py)?
            .map(|error| error.into_bound(py))),
        None => {
            let exception = future.call_method0(intern!(py, "exception"))?;
            Ok((!exception.is_none()).then_some(exception))
        }
    }
}

/// `future.result()`.
pub fn result<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    match native(future) {
        Some(native) => match native.get().read(py)? {
            Reading::Result(result) => Ok(result.into_bound(py)),
            Reading::Exception(exception) => Err(PyErr::from_value(exception.into_bound(py))),
        },
        None => future.call_method0(intern!(py, "result")),
    }
}

/// `future.set_result(result)`.
pub fn set_result(future: &Bound<'_, PyAny>, result: Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    match future.cast_exact::<Future>() {
        Ok(native) => Future::finish(native, result.unbind()),
        Err(_) => future
            .call_method1(intern!(py, "set_result"), (result,))
            .map(drop),
    }
}

/// `future.set_exception(error)`.
pub fn set_exception(future: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    match future.cast_exact::<Future>() {
        Ok(native) => Future::fail(native, error),
        Err(_) => future
            .call_method1(intern!(py, "set_exception"), (error,))
            .map(drop),
    }
}

/// `future.cancel()`, with `msg=` if there is a message to pass on.
pub fn cancel(future: &Bound<'_, PyAny>, message: Message<'_, '_>) -> PyResult<bool> {
    let py = future.py();
    let given = || match message {
        Message::Given(message) => message.map(|message| message.clone().unbind()),
        Message::None => None,
    };
    if let Ok(task) = future.cast_exact::<Task>() {
        return Task::request_cancel(task, given());
    }
    if let Ok(native) = future.cast_exact::<Future>() {
        return Future::cancel_with(native, given());
    }
    let cancel = future.getattr(intern!(py, "cancel"))?;
    match message {
        Message::None => cancel.call0()?.is_truthy(),
        Message::Given(message) => {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "msg"), message)?;
            cancel.call((), Some(&options))?.is_truthy()
        }
    }
}

/// How `cancel` is called.
#[derive(Clone, Copy)]
pub enum Message<'a, 'py> {
    /// Without an argument.
    None,
    /// With `msg=`, which may be None.
    Given(Option<&'a Bound<'py, PyAny>>),
}

/// `future._make_cancelled_error()`.
pub fn cancelled_error<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    match native(future) {
        Some(native) => {
            let error = native.get().cancelled_error(py)?.into_value(py);
            Ok(error.into_bound(py).into_any())
        }
        None => future.call_method0(intern!(py, "_make_cancelled_error")),
    }
}

/// `asyncio.futures._get_loop`.
pub fn event_loop<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if let Some(native) = native(future) {
        return Ok(native.get().loop_ref(py)?.object(py));
    }
    match future.getattr_opt(intern!(py, "get_loop"))? {
        Some(get_loop) => get_loop.call0(),
        None => future.getattr(intern!(py, "_loop")),
    }
}

/// `future.add_done_callback(observer)`.
#[inline]
pub fn observe(future: &Bound<'_, PyAny>, observer: Observer) -> PyResult<()> {
    let py = future.py();
    match native(future) {
        Some(native) => Future::add_waiter(native, Waiter::Observer(observer)),
        None => {
            let callback = Bound::new(py, Observation::new(observer))?;
            future
                .call_method1(intern!(py, "add_done_callback"), (callback,))
                .map(drop)
        }
    }
}

/// `future.remove_done_callback(observer)`.
pub fn unobserve(future: &Bound<'_, PyAny>, observer: Observer) -> PyResult<()> {
    let py = future.py();
    match native(future) {
        Some(native) => {
            native.get().remove_observer(py, &observer);
            Ok(())
        }
        None => {
            let callback = Bound::new(py, Observation::new(observer))?;
            future
                .call_method1(intern!(py, "remove_done_callback"), (callback,))
                .map(drop)
        }
    }
}

/// Notes for the call graph of Python 3.14 that `waiter` awaits `future`, if there is a waiter.
#[inline]
pub fn add_awaited_by(
    future: &Bound<'_, PyAny>,
    waiter: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    match waiter {
        Some(waiter) if version(future.py())?.awaited_by => edge(future, waiter, Edge::Add),
        _ => Ok(()),
    }
}

/// Takes that note back.
#[inline]
pub fn discard_awaited_by(
    future: &Bound<'_, PyAny>,
    waiter: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    match waiter {
        Some(waiter) if version(future.py())?.awaited_by => edge(future, waiter, Edge::Discard),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Add,
    Discard,
}

fn edge(future: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>, what: Edge) -> PyResult<()> {
    let py = future.py();
    if future.cast::<Future>().is_ok() {
        return match what {
            Edge::Add => future_add_to_awaited_by(future, waiter),
            Edge::Discard => future_discard_from_awaited_by(future, waiter),
        };
    }
    let name = match what {
        Edge::Add => "future_add_to_awaited_by",
        Edge::Discard => "future_discard_from_awaited_by",
    };
    let futures = py.import(intern!(py, "asyncio.futures"))?;
    futures.getattr(name)?.call1((future, waiter)).map(drop)
}
