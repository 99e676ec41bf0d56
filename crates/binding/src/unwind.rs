//! Calls into Python that a thread may not come back from.
//!
//! While the interpreter ends, CPython up to 3.13 ends a daemon thread that asks for the GIL by `pthread_exit`, which
//! unwinds the thread's stack. Rust frames that were compiled for calls that never unwind would end the process there.
//! The places where a loop spends its time in Python code (steps of coroutines, callbacks, methods of protocols) call it
//! as something that may unwind, with a guard on the stack: the unwinding meets the guard first, and the thread stays
//! there until the process is gone, which is what CPython does itself from 3.14 on.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::hint::black_box;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::gevent::greenlets::Switch;

type Send = unsafe extern "C-unwind" fn(Object, Object, *mut Object) -> c_int;
type Vectorcall = unsafe extern "C-unwind" fn(Object, *const Object, usize, Object) -> Object;
type Object = *mut ffi::PyObject;

/// The interpreter's functions by address. Called by name they would be the ones that pyo3 has declared as never
/// unwinding, and the linker's optimizer would leave the guards out.
static PYITER_SEND: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static PYOBJECT_VECTORCALL_DICT: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static PYOBJECT_VECTORCALL_METHOD: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Finds the functions. Called once, while the module is made.
pub fn install() {
    PYITER_SEND.store(black_box(ffi::PyIter_Send as *mut ()), Ordering::Relaxed);
    PYOBJECT_VECTORCALL_DICT.store(
        black_box(ffi::PyObject_VectorcallDict as *mut ()),
        Ordering::Relaxed,
    );
    PYOBJECT_VECTORCALL_METHOD.store(
        black_box(ffi::PyObject_VectorcallMethod as *mut ()),
        Ordering::Relaxed,
    );
}

/// A function that `install` has found.
///
/// # Safety
/// `F` is the type of the function that is kept in `place`.
#[inline(always)]
unsafe fn function<F: Copy>(place: &AtomicPtr<()>) -> F {
    let address = place.load(Ordering::Relaxed);
    // SAFETY: B6: found while the module was made; by the caller's promise the type is right.
    unsafe { std::mem::transmute_copy(&address) }
}

/// Stays where it is when it is dropped by unwinding.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        loop {
            // SAFETY: no arguments, no state. The thread holds neither the GIL nor a lock.
            unsafe { libc::pause() };
        }
    }
}

/// `call()`, which a thread may not come back from.
#[inline(always)]
pub fn guarded<R>(call: impl FnOnce() -> R) -> R {
    let guard = Guard;
    let result = call();
    std::mem::forget(guard);
    result
}

/// What `PyIter_Send` answered.
pub enum Sent<'py> {
    /// The coroutine yielded.
    Next(Bound<'py, PyAny>),
    /// The coroutine returned.
    Return(Bound<'py, PyAny>),
    /// The coroutine raised.
    Error(PyErr),
}

/// `coro.send(None)`.
#[inline]
pub fn send_none<'py>(coro: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coro.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: B4: both objects live across the call; `result` is a new reference, or NULL with an exception set.
    unsafe {
        // PYGEN_RETURN is 0, PYGEN_ERROR -1, PYGEN_NEXT 1: Include/object.h.
        match guarded(|| function::<Send>(&PYITER_SEND)(coro.as_ptr(), ffi::Py_None(), &mut result))
        {
            0 => Sent::Return(Bound::from_owned_ptr(py, result)),
            1 => Sent::Next(Bound::from_owned_ptr(py, result)),
            _ => Sent::Error(PyErr::fetch(py)),
        }
    }
}

/// `callable(*args)`.
///
/// # Errors
/// What it raises.
#[inline]
pub fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: B4: a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), vectorcall(callable, args)) }
}

/// `callable(*args)`, for what it does; false if it has raised, which is the interpreter's current exception then.
///
/// It takes less of the stack than `call`.
#[inline(always)]
#[must_use]
pub fn call_only(callable: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> bool {
    // SAFETY: B4: a new reference, or NULL with an exception set.
    let result = unsafe { Bound::from_owned_ptr_or_opt(callable.py(), vectorcall(callable, args)) };
    result.is_some()
}

/// `callable(*args)`: a new reference, or NULL with an exception set.
#[inline(always)]
fn vectorcall(callable: &Bound<'_, PyAny>, args: &Bound<'_, PyTuple>) -> *mut ffi::PyObject {
    let values = args.as_slice();
    // SAFETY: B4: the objects live across the call. A `Bound` is a pointer, and the tuple keeps what its slice shows.
    unsafe {
        guarded(|| {
            function::<Vectorcall>(&PYOBJECT_VECTORCALL_DICT)(
                callable.as_ptr(),
                values.as_ptr().cast(),
                values.len(),
                std::ptr::null_mut(),
            )
        })
    }
}

/// `callable(argument)`.
///
/// # Errors
/// What it raises.
#[inline]
pub fn call_one<'py>(
    callable: &Bound<'py, PyAny>,
    argument: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // The place before the first argument is the callee's to use: PY_VECTORCALL_ARGUMENTS_OFFSET.
    let args = [std::ptr::null_mut(), argument.as_ptr()];
    // SAFETY: B4, as above; the array lives across the call.
    unsafe {
        let result = guarded(|| {
            let count = 1 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
            function::<Vectorcall>(&PYOBJECT_VECTORCALL_DICT)(
                callable.as_ptr(),
                args.as_ptr().add(1),
                count,
                std::ptr::null_mut(),
            )
        });
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// `object.name(*arguments)`, with `N` arguments.
///
/// # Errors
/// What looking it up or calling it raises.
#[inline]
pub fn call_method<'py, const N: usize>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    arguments: [&Bound<'py, PyAny>; N],
) -> PyResult<Bound<'py, PyAny>> {
    const MOST: usize = 4;
    const { assert!(N + 2 <= MOST) };
    let mut args = [std::ptr::null_mut(); MOST];
    args[1] = object.as_ptr();
    for (place, argument) in args[2..].iter_mut().zip(arguments) {
        *place = argument.as_ptr();
    }
    // SAFETY: B4, as above; the array lives across the call.
    unsafe {
        let result = guarded(|| {
            let count = (1 + N) | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
            function::<Vectorcall>(&PYOBJECT_VECTORCALL_METHOD)(
                name.as_ptr(),
                args.as_ptr().add(1),
                count,
                std::ptr::null_mut(),
            )
        });
        Bound::from_owned_ptr_or_err(object.py(), result)
    }
}

/// `greenlet.switch(*args)`, by greenlet's own function.
///
/// # Safety
/// It is `PyGreenlet_Switch`; the greenlet and the tuple live across the call.
#[inline(always)]
pub unsafe fn switch(function: Switch, greenlet: Object, args: Object) -> Object {
    // SAFETY: B21: by the caller's promise.
    guarded(|| unsafe { function(greenlet, args, std::ptr::null_mut()) })
}
