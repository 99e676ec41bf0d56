//! `contextvars.Context`: copied, entered and left without a Python frame.

#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// A copy of the current context, as `contextvars.copy_context()` gives.
#[inline]
pub fn copy_current(py: Python<'_>) -> PyResult<Py<PyAny>> {
    // SAFETY: B4: the GIL is held; the call returns a new reference or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()).map(Bound::unbind) }
}

/// A copy of `context`, as its `copy()` gives.
pub fn copy(context: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    // SAFETY: B4: the GIL is held and the object lives; the function checks its type, and returns a new reference or
    // NULL with an exception set.
    unsafe {
        Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr()))
            .map(Bound::unbind)
    }
}

/// Whether `context` is `contextvars.Context` itself, which can be entered, and not a stand-in that has to be
/// asked to `run`.
#[inline]
pub fn is_exact(context: &Bound<'_, PyAny>) -> bool {
    // SAFETY: B4: a type check on a live object.
    unsafe { ffi::PyContext_CheckExact(context.as_ptr()) != 0 }
}

/// Calls `body` inside `context`, as `Context.run` does.
///
/// # Errors
/// RuntimeError when the context is entered already; whatever `body` gives.
#[inline]
pub fn run_in<R>(context: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let py = context.py();
    // SAFETY: B4: the GIL is held and `context` lives across the call; the function checks its type itself.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let outcome = body();
    // SAFETY: B4: entered above. No exception is set: PyErr values are held outside the interpreter.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let left = PyErr::fetch(py);
        return outcome.and(Err(left));
    }
    outcome
}

/// As `run_in`; in a copy when the context is entered already: by a callback further down the stack, or by a greenlet
/// that is suspended inside it.
///
/// # Errors
/// Whatever `body` gives.
#[inline]
pub fn run_in_or_copy<R>(
    context: &Bound<'_, PyAny>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    let py = context.py();
    let mut entered = context.clone();
    // SAFETY: B4: the GIL is held and the context lives across the call.
    if unsafe { ffi::PyContext_Enter(entered.as_ptr()) } < 0 {
        drop(PyErr::fetch(py));
        entered = copy(context)?.into_bound(py);
        // SAFETY: B4, as above.
        if unsafe { ffi::PyContext_Enter(entered.as_ptr()) } < 0 {
            return Err(PyErr::fetch(py));
        }
    }
    let outcome = body();
    // SAFETY: B4: entered above. No exception is set: PyErr values are held outside the interpreter.
    if unsafe { ffi::PyContext_Exit(entered.as_ptr()) } < 0 {
        let left = PyErr::fetch(py);
        return outcome.and(Err(left));
    }
    outcome
}
