//! Driving a coroutine: `send` and `throw` without a Python frame.

#![allow(unsafe_code)]

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

use crate::combine::Coroutine;
use crate::imports::imports;
use crate::unwind;

pub use crate::unwind::send_none;

/// What a coroutine did with what was sent.
pub use crate::unwind::Sent;

/// Whether `object` is a coroutine of a Python function, or one of ours.
#[inline]
pub fn is_exact(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: B4: a type check on a live object.
    let python = unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) } != 0;
    python || object.is_exact_instance_of::<Coroutine>()
}

/// Whether asyncio takes `object` for a coroutine (`asyncio.iscoroutine`).
///
/// # Errors
/// What a subclass hook of `collections.abc.Coroutine` raises.
#[inline]
pub fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if is_exact(object) {
        return Ok(true);
    }
    imports(object.py())?
        .iscoroutine
        .bind(object.py())
        .call1((object,))?
        .is_truthy()
}

/// `coro.throw(exception)`.
pub fn throw<'py>(coro: &Bound<'py, PyAny>, exception: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coro.py();
    match unwind::call_method(coro, intern!(py, "throw"), [exception]) {
        Ok(yielded) => Sent::Next(yielded),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            match error.value(py).getattr(intern!(py, "value")) {
                Ok(value) => Sent::Return(value),
                Err(error) => Sent::Error(error),
            }
        }
        Err(error) => Sent::Error(error),
    }
}
