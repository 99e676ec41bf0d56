//! Driving a coroutine: `send` and `throw` without a Python frame.

#![allow(unsafe_code)]

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::imports::imports;

/// What a coroutine did with what was sent.
pub enum Sent<'py> {
    /// It yielded: it waits for something.
    Yield(Bound<'py, PyAny>),
    /// It returned.
    Return(Bound<'py, PyAny>),
    /// It raised.
    Raised(PyErr),
}

/// Whether asyncio takes `object` for a coroutine (`asyncio.iscoroutine`).
///
/// # Errors
/// What a subclass hook of `collections.abc.Coroutine` raises.
#[inline]
pub fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: B4: a type check on a live object.
    if unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) } != 0 {
        return Ok(true);
    }
    imports(object.py())?
        .iscoroutine
        .bind(object.py())
        .call1((object,))?
        .is_truthy()
}

/// `coro.send(None)`.
#[inline]
pub fn send_none<'py>(coro: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coro.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: B4: both objects live across the call; `result` is a new reference, or NULL with an exception set.
    unsafe {
        match ffi::PyIter_Send(coro.as_ptr(), ffi::Py_None(), &mut result) {
            ffi::PySendResult::PYGEN_RETURN => Sent::Return(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_NEXT => Sent::Yield(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_ERROR => Sent::Raised(PyErr::fetch(py)),
        }
    }
}

/// `coro.throw(exception)`.
pub fn throw<'py>(coro: &Bound<'py, PyAny>, exception: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coro.py();
    match coro.call_method1(intern!(py, "throw"), (exception,)) {
        Ok(yielded) => Sent::Yield(yielded),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            match error.value(py).getattr(intern!(py, "value")) {
                Ok(value) => Sent::Return(value),
                Err(error) => Sent::Raised(error),
            }
        }
        Err(error) => Sent::Raised(error),
    }
}
