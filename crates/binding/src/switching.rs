//! Debug builds only: another greenlet runs before and after each call into Python.
//!
//! Any call into Python may switch greenlets, and most never do. For the tests that `make switching` runs, all do: the
//! linker (`build.rs`) leads each call from this module into the interpreter to a function here, which calls the hook,
//! then the interpreter's function, then the hook. The hook (`tests/switching`) switches to a greenlet and back; so
//! the stack of the caller is swapped away under it, and the collector runs. It is the function `switch` of the module
//! that the environment variable `RIATA_SWITCHING` names when this one is imported. What it raises (a signal's
//! handler may run in it) is raised by the call. No cell may be open at any of these calls.
//!
//! A release build has nothing of this.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::unwind::guarded;

type Object = *mut ffi::PyObject;

/// The hook; null without one. It is never given back.
static HOOK: AtomicPtr<ffi::PyObject> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    /// The hook runs on this thread: its own calls are not interrupted.
    static BUSY: Cell<bool> = const { Cell::new(false) };
    /// What the hook raised where nothing can be raised: the next call that can raises it.
    static LATER: Cell<Object> = const { Cell::new(std::ptr::null_mut()) };
}

/// Finds the hook. Called once, while the module is made.
///
/// # Errors
/// What importing it raises.
pub fn install(py: Python<'_>) -> PyResult<()> {
    if let Ok(name) = std::env::var("RIATA_SWITCHING")
        && !name.is_empty()
    {
        let hook = py.import(name)?.getattr("switch")?;
        HOOK.store(hook.into_ptr(), Ordering::Relaxed);
    }
    Ok(())
}

/// Calls the hook; false if it has raised. An exception that is set stays so.
fn switch() -> bool {
    let hook = HOOK.load(Ordering::Relaxed);
    if hook.is_null() || BUSY.get() {
        return true;
    }
    if crate::cell::is_any_lent() {
        eprintln!("a call into Python while a GilCell is lent");
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
        std::process::abort();
    }
    BUSY.set(true);
    // SAFETY: B4: whoever calls a function of the interpreter's holds the GIL, and the hook lives for ever. What was
    // set is put away and put back.
    let went_well = unsafe {
        let py = Python::assume_attached();
        let before = PyErr::take(py);
        let answer = guarded(|| __real_PyObject_CallNoArgs(hook));
        let went_well = !answer.is_null();
        if went_well {
            ffi::Py_DECREF(answer);
        }
        if let Some(before) = before {
            put_off(py);
            before.restore(py);
            true
        } else if went_well && let Some(raised) = put_off_before(py) {
            raised.restore(py);
            false
        } else {
            went_well
        }
    };
    BUSY.set(false);
    went_well
}

/// Keeps what is raised for the next call that can raise it.
fn put_off(py: Python<'_>) {
    if let Some(raised) = PyErr::take(py) {
        let before = LATER.replace(raised.into_value(py).into_ptr());
        // SAFETY: B4: a reference of ours, or NULL.
        unsafe { ffi::Py_XDECREF(before) }
    }
}

/// What was put off.
fn put_off_before(py: Python<'_>) -> Option<PyErr> {
    let raised = LATER.replace(std::ptr::null_mut());
    // SAFETY: B4: a reference of ours, or NULL.
    unsafe { Bound::from_owned_ptr_or_opt(py, raised).map(PyErr::from_value) }
}

/// What a function of the interpreter's returns.
trait Answer: Sized {
    /// "An exception is set."
    const FAILED: Self;
    /// Gives up what is owned.
    fn discard(self);
}

impl Answer for Object {
    const FAILED: Self = std::ptr::null_mut();
    fn discard(self) {
        // SAFETY: B4: a new reference, or NULL.
        unsafe { ffi::Py_XDECREF(self) }
    }
}

impl Answer for c_int {
    const FAILED: Self = -1;
    fn discard(self) {}
}

impl Answer for isize {
    const FAILED: Self = -1;
    fn discard(self) {}
}

/// The hook, `call`, the hook.
fn around<R: Answer>(call: impl FnOnce() -> R) -> R {
    if !switch() {
        return R::FAILED;
    }
    let answer = call();
    if switch() {
        return answer;
    }
    answer.discard();
    R::FAILED
}

macro_rules! wrapped {
    ($($real:ident $wrap:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        unsafe extern "C-unwind" {
            $(fn $real($($argument: $kind),*) -> $answer;)*
            fn __real_PyIter_Send(iter: Object, value: Object, result: *mut Object) -> c_int;
            fn __real_PyObject_GetBuffer(object: Object, view: *mut ffi::Py_buffer, flags: c_int) -> c_int;
            fn __real__Py_Dealloc(object: Object);
        }
        $(
            // SAFETY: B6: called as the interpreter's function is, which it passes everything on to.
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn $wrap($($argument: $kind),*) -> $answer {
                // SAFETY: B4: as above.
                around(|| unsafe { $real($($argument),*) })
            }
        )*
    };
}

wrapped! {
    __real_PyErr_CheckSignals __wrap_PyErr_CheckSignals() -> c_int;
    __real_PyIter_Next __wrap_PyIter_Next(a: Object) -> Object;
    __real_PyNumber_Add __wrap_PyNumber_Add(a: Object, b: Object) -> Object;
    __real_PyNumber_Index __wrap_PyNumber_Index(a: Object) -> Object;
    __real_PyObject_Call __wrap_PyObject_Call(a: Object, b: Object, c: Object) -> Object;
    __real_PyObject_CallNoArgs __wrap_PyObject_CallNoArgs(a: Object) -> Object;
    __real_PyObject_CallOneArg __wrap_PyObject_CallOneArg(a: Object, b: Object) -> Object;
    __real_PyObject_DelItem __wrap_PyObject_DelItem(a: Object, b: Object) -> c_int;
    __real_PyObject_GetAttr __wrap_PyObject_GetAttr(a: Object, b: Object) -> Object;
    __real_PyObject_GetItem __wrap_PyObject_GetItem(a: Object, b: Object) -> Object;
    __real_PyObject_GetIter __wrap_PyObject_GetIter(a: Object) -> Object;
    __real_PyObject_Hash __wrap_PyObject_Hash(a: Object) -> isize;
    __real_PyObject_IsInstance __wrap_PyObject_IsInstance(a: Object, b: Object) -> c_int;
    __real_PyObject_IsSubclass __wrap_PyObject_IsSubclass(a: Object, b: Object) -> c_int;
    __real_PyObject_IsTrue __wrap_PyObject_IsTrue(a: Object) -> c_int;
    __real_PyObject_Repr __wrap_PyObject_Repr(a: Object) -> Object;
    __real_PyObject_RichCompare __wrap_PyObject_RichCompare(a: Object, b: Object, c: c_int) -> Object;
    __real_PyObject_SetAttr __wrap_PyObject_SetAttr(a: Object, b: Object, c: Object) -> c_int;
    __real_PyObject_SetItem __wrap_PyObject_SetItem(a: Object, b: Object, c: Object) -> c_int;
    __real_PyObject_Size __wrap_PyObject_Size(a: Object) -> isize;
    __real_PyObject_Str __wrap_PyObject_Str(a: Object) -> Object;
    __real_PyObject_Vectorcall __wrap_PyObject_Vectorcall(
        a: Object, b: *const Object, c: usize, d: Object
    ) -> Object;
    __real_PyObject_VectorcallDict __wrap_PyObject_VectorcallDict(
        a: Object, b: *const Object, c: usize, d: Object
    ) -> Object;
    __real_PyObject_VectorcallMethod __wrap_PyObject_VectorcallMethod(
        a: Object, b: *const Object, c: usize, d: Object
    ) -> Object;
}

// SAFETY: B6: called as the interpreter's function is.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __wrap_PyIter_Send(
    iter: Object,
    value: Object,
    result: *mut Object,
) -> c_int {
    if !switch() {
        return -1;
    }
    // SAFETY: B4: as it was called; the result is a new reference, or NULL.
    unsafe {
        let answer = __real_PyIter_Send(iter, value, result);
        if switch() {
            return answer;
        }
        std::ptr::replace(result, std::ptr::null_mut()).discard();
        -1
    }
}

// SAFETY: B6: called as the interpreter's function is.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __wrap_PyObject_GetBuffer(
    object: Object,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> c_int {
    if !switch() {
        return -1;
    }
    // SAFETY: B4: as it was called.
    unsafe { __real_PyObject_GetBuffer(object, view, flags) }
}

/// The last reference is gone. Only afterwards is it safe to run something else, and only what the collector knows may
/// have had a finalizer, or held what has one.
// SAFETY: B6: called as the interpreter's function is.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __wrap__Py_Dealloc(object: Object) {
    // SAFETY: B4: a whole object, whose type is read before it is gone.
    let runs_python = unsafe {
        let runs_python =
            ffi::PyType_HasFeature(ffi::Py_TYPE(object), ffi::Py_TPFLAGS_HAVE_GC) != 0;
        __real__Py_Dealloc(object);
        runs_python
    };
    if runs_python && !switch() {
        // SAFETY: B4: as above.
        put_off(unsafe { Python::assume_attached() });
    }
}
