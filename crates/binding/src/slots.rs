//! Type slots that PyO3 does not offer, put in once, before a type is used: `am_send` of what `await` runs, and the
//! finalizer of futures and tasks, with a deallocator that calls it.
//!
//! A finalizer is needed for what asyncio reports at the end of a life: "exception was never retrieved", "Task was
//! destroyed but it is pending". For an instance of a Python subclass `subtype_dealloc` calls it; for an exact
//! instance the type's own deallocator has to, as `FutureObj_dealloc` in `Modules/_asynciomodule.c` does.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyClass, PyTypeInfo};

use crate::combine::Coroutine;
use crate::future::{Future, FutureIter, Sent};
use crate::gevent::callback::Callback;
use crate::returned::set_stop_iteration;
use crate::task::Task;
use crate::transport::{
    DatagramTransport, Endpoint, ReadPipeTransport, StreamTransport, TlsTransport,
    WritePipeTransport,
};
use crate::trashcan;

/// The deallocators that PyO3 made.
struct Deallocators {
    future: ffi::destructor,
    task: ffi::destructor,
}

static DEALLOCATORS: OnceLock<Deallocators> = OnceLock::new();

/// Puts the slots in. Called once, while the module is made.
///
/// # Errors
/// ImportError when PyO3 made a type without a deallocator.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let (future, task, iter) = (
        Future::type_object_raw(py),
        Task::type_object_raw(py),
        FutureIter::type_object_raw(py),
    );
    // SAFETY: B6: heap types that no instance and no subclass exists of yet, changed under the GIL.
    unsafe {
        let (Some(future_dealloc), Some(task_dealloc)) = ((*future).tp_dealloc, (*task).tp_dealloc)
        else {
            return Err(no_deallocator());
        };
        if DEALLOCATORS
            .set(Deallocators {
                future: future_dealloc,
                task: task_dealloc,
            })
            .is_err()
        {
            return Ok(());
        }
        // PyO3's own way attaches to the interpreter first, for each look.
        let numbers = (*Callback::type_object_raw(py)).tp_as_number;
        if let Some(numbers) = numbers.as_mut() {
            numbers.nb_bool = Some(is_true);
        }
        install_closing::<StreamTransport>(py)?;
        install_closing::<DatagramTransport>(py)?;
        install_closing::<ReadPipeTransport>(py)?;
        install_closing::<WritePipeTransport>(py)?;
        install_closing::<TlsTransport>(py)?;
        install_closing::<Coroutine>(py)?;
        (*future).tp_finalize = Some(finalize_future);
        (*future).tp_dealloc = Some(dealloc_future);
        (*task).tp_finalize = Some(finalize_task);
        (*task).tp_dealloc = Some(dealloc_task);
        // Without a `__del__` to find, a Python subclass would not inherit the finalizer.
        for r#type in [future, task] {
            let definition = (&raw mut FINALIZER_METHODS).cast::<ffi::PyMethodDef>();
            let definition = if r#type == task {
                definition.add(1)
            } else {
                definition
            };
            let method =
                Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(r#type, definition))?;
            if ffi::PyDict_SetItemString((*r#type).tp_dict, c"__del__".as_ptr(), method.as_ptr())
                < 0
            {
                return Err(PyErr::fetch(py));
            }
        }
        set_awaited::<FutureIter>(iter);
        let coroutine = Coroutine::type_object_raw(py);
        set_awaited::<Coroutine>(coroutine);
        for r#type in [future, task, iter, coroutine] {
            ffi::PyType_Modified(r#type);
        }
    }
    Ok(())
}

fn no_deallocator() -> PyErr {
    pyo3::exceptions::PyImportError::new_err("a native type has no deallocator")
}

/// A class without subclasses (a transport, a coroutine) whose instances are finalized if they are open when they die.
trait Closing: PyTypeInfo {
    /// The deallocator that PyO3 made.
    fn deallocator() -> &'static OnceLock<ffi::destructor>;

    /// Whether the finalizer has anything to do.
    fn is_unclosed(object: &Bound<'_, Self>) -> bool;

    /// The finalizer: warns and closes.
    fn close_unheld(object: &Bound<'_, Self>) -> PyResult<()>;
}

macro_rules! closing {
    ($($class:ty),*) => {$(
        impl Closing for $class {
            fn deallocator() -> &'static OnceLock<ffi::destructor> {
                static DEALLOCATOR: OnceLock<ffi::destructor> = OnceLock::new();
                &DEALLOCATOR
            }

            fn is_unclosed(object: &Bound<'_, Self>) -> bool {
                object.get().is_open(object.py())
            }

            fn close_unheld(object: &Bound<'_, Self>) -> PyResult<()> {
                <$class>::finalize(object)
            }
        }
    )*};
}

closing!(
    StreamTransport,
    DatagramTransport,
    ReadPipeTransport,
    WritePipeTransport,
    TlsTransport,
    Coroutine
);

/// Puts the finalizer of such a class in.
///
/// # Safety
/// B6: no instance exists yet.
unsafe fn install_closing<T: Closing>(py: Python<'_>) -> PyResult<()> {
    let class = T::type_object_raw(py);
    // SAFETY: B6: the caller's promise, and the GIL is held.
    unsafe {
        let dealloc = (*class).tp_dealloc.ok_or_else(no_deallocator)?;
        if T::deallocator().set(dealloc).is_ok() {
            (*class).tp_finalize = Some(finalize_closing::<T>);
            (*class).tp_dealloc = Some(dealloc_closing::<T>);
            ffi::PyType_Modified(class);
        }
    }
    Ok(())
}

/// Makes `class` an abstract base class, of which classes that it knows nothing of can be registered as subclasses:
/// asyncio's own class, so that `isinstance` holds of its instances too. Of all metaclasses this one is the least in the
/// way of those that program's subclasses bring along.
///
/// # Errors
/// MemoryError.
pub fn make_abstract<T: PyTypeInfo>(py: Python<'_>) -> PyResult<()> {
    let metaclass = py.import("abc")?.getattr("ABCMeta")?;
    let class = T::type_object(py);
    // SAFETY: B6: a heap type that no instance and no subclass exists of yet. ABCMeta adds nothing to the memory of `type`,
    // whose deallocator is behind its own; the class owns its metaclass.
    unsafe { (*class.as_ptr()).ob_type = metaclass.into_ptr().cast() };
    py.import("_abc")?
        .getattr("_abc_init")?
        .call1((class,))
        .map(drop)
}

/// Sets the slots by which `await` begins and goes on.
///
/// # Safety
/// `class` is the type object of `T`.
unsafe fn set_awaited<T: Awaited>(class: *mut ffi::PyTypeObject) {
    // SAFETY: B6: a heap type that no instance and no subclass exists of yet.
    unsafe {
        if !(*class).tp_as_async.is_null() {
            (*(*class).tp_as_async).am_send = Some(send::<T>);
            if (*(*class).tp_as_async).am_await.is_some() {
                (*(*class).tp_as_async).am_await = Some(ffi::PyObject_SelfIter);
            }
        }
        (*class).tp_iter = Some(ffi::PyObject_SelfIter);
        (*class).tp_iternext = Some(next::<T>);
    }
}

const fn finalizer_method(call: ffi::PyCFunction) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: c"__del__".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: call },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: c"Report what asyncio reports when a future or task dies.".as_ptr(),
    }
}

static mut FINALIZER_METHODS: [ffi::PyMethodDef; 2] =
    [finalizer_method(del_future), finalizer_method(del_task)];

unsafe extern "C" fn is_true(callback: *mut ffi::PyObject) -> c_int {
    // SAFETY: B6: called by the interpreter, with the GIL and a callback.
    unsafe {
        let py = Python::assume_attached();
        let callback = Borrowed::from_ptr(py, callback);
        c_int::from(callback.cast_unchecked::<Callback>().get().is_due(py))
    }
}

unsafe extern "C" fn del_future(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: B6: called through a descriptor that has checked the type.
    unsafe {
        finalize_future(object);
        ffi::Py_NewRef(ffi::Py_None())
    }
}

unsafe extern "C" fn del_task(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: B6: called through a descriptor that has checked the type.
    unsafe {
        finalize_task(object);
        ffi::Py_NewRef(ffi::Py_None())
    }
}

/// Keeps the exception that may be set while a finalizer runs, and reports what the finalizer raises.
///
/// # Safety
/// Called from a slot: the GIL is held.
unsafe fn finalizing(
    object: *mut ffi::PyObject,
    body: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
) {
    let guarded = |py: Python<'_>| {
        let pending = PyErr::take(py);
        // SAFETY: B6: the interpreter calls slots with a live object.
        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
        if let Ok(Err(error)) = catch_unwind(AssertUnwindSafe(|| body(&object))) {
            error.write_unraisable(py, Some(&object));
        }
        drop(object);
        if let Some(pending) = pending {
            pending.restore(py);
        }
    };
    // SAFETY: B6: the interpreter is initialized and holds the GIL. Attaching tells PyO3 that references
    // may be dropped at once.
    unsafe { Python::attach_unchecked(guarded) }
}

unsafe extern "C" fn finalize_future(object: *mut ffi::PyObject) {
    // SAFETY: B6: called by the interpreter, for a Future or an instance of a subclass.
    unsafe {
        finalizing(object, |object| {
            Future::report_unretrieved(object.cast_unchecked::<Future>())
        });
    }
}

unsafe extern "C" fn finalize_task(object: *mut ffi::PyObject) {
    // SAFETY: B6: called by the interpreter, for a Task or an instance of a subclass.
    unsafe {
        finalizing(object, |object| {
            let task = object.cast_unchecked::<Task>();
            Task::report_destroyed(task)?;
            Future::report_unretrieved(task.as_super())
        });
    }
}

unsafe extern "C" fn finalize_closing<T: Closing>(object: *mut ffi::PyObject) {
    // SAFETY: B6: called by the interpreter, for a T, which has no subclasses.
    unsafe {
        finalizing(object, |object| {
            T::close_unheld(object.cast_unchecked::<T>())
        })
    }
}

unsafe extern "C" fn dealloc_closing<T: Closing>(object: *mut ffi::PyObject) {
    // SAFETY: B6: the count is nought; the object is whole until PyO3's deallocator gets it.
    unsafe {
        let py = Python::assume_attached();
        let open = T::is_unclosed(&Borrowed::from_ptr(py, object).cast_unchecked::<T>());
        if open && ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return; // resurrected
        }
        if let Some(dealloc) = T::deallocator().get() {
            dealloc(object);
        }
    }
}

unsafe extern "C" fn dealloc_future(object: *mut ffi::PyObject) {
    // SAFETY: B6: the count is nought; the object is whole until PyO3's deallocator gets it.
    unsafe {
        let py = Python::assume_attached();
        let exact = ffi::Py_TYPE(object) == Future::type_object_raw(py);
        let this = Borrowed::from_ptr(py, object);
        if exact
            && this.cast_unchecked::<Future>().get().must_report(py)
            && ffi::PyObject_CallFinalizerFromDealloc(object) < 0
        {
            return; // resurrected
        }
        if let Some(deallocators) = DEALLOCATORS.get() {
            match exact {
                true => trashcan::dealloc_shallow(py, object, deallocators.future),
                false => (deallocators.future)(object), // in CPython's own trashcan already
            }
        }
    }
}

unsafe extern "C" fn dealloc_task(object: *mut ffi::PyObject) {
    // SAFETY: B6: the count is nought; the object is whole until PyO3's deallocator gets it.
    unsafe {
        let py = Python::assume_attached();
        let exact = ffi::Py_TYPE(object) == Task::type_object_raw(py);
        {
            let this = Borrowed::from_ptr(py, object);
            let task = this.cast_unchecked::<Task>();
            let reports = Task::must_report(&task) || task.as_super().get().must_report(py);
            if exact && reports && ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
                return; // resurrected
            }
            task.get().unregister(py);
        }
        if let Some(deallocators) = DEALLOCATORS.get() {
            match exact {
                true => trashcan::dealloc_shallow(py, object, deallocators.task),
                false => (deallocators.task)(object), // in CPython's own trashcan already
            }
        }
    }
}

/// What can be awaited, natively.
trait Awaited: PyClass<Frozen = True> + Sync {
    fn step(&self, py: Python<'_>) -> PyResult<Sent>;
}

impl Awaited for FutureIter {
    #[inline(always)]
    fn step(&self, py: Python<'_>) -> PyResult<Sent> {
        Self::step(self, py)
    }
}

impl Awaited for Coroutine {
    #[inline(always)]
    fn step(&self, py: Python<'_>) -> PyResult<Sent> {
        Self::step(self, py)
    }
}

/// One step of `object`, whatever happens in it.
///
/// # Safety
/// Called from a slot of `T`, with a live object of that type.
#[inline(always)]
unsafe fn stepped<T: Awaited>(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Sent> {
    // SAFETY: B6: the interpreter calls slots with a live object of their type.
    let this = unsafe { Borrowed::from_ptr(py, object).cast_unchecked::<T>() };
    match catch_unwind(AssertUnwindSafe(|| this.get().step(py))) {
        Ok(outcome) => outcome,
        Err(_) => Err(PyRuntimeError::new_err(
            "riata panicked; the message is on stderr",
        )),
    }
}

/// `am_send`.
unsafe extern "C" fn send<T: Awaited>(
    object: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: B6: called by the interpreter for a T, with room for one reference.
    let step = |py: Python<'_>| unsafe {
        *result = std::ptr::null_mut();
        match stepped::<T>(py, object) {
            Ok(Sent::Yield(awaited)) => {
                *result = awaited.into_ptr();
                ffi::PySendResult::PYGEN_NEXT
            }
            Ok(Sent::Return(value)) => {
                *result = value.into_ptr();
                ffi::PySendResult::PYGEN_RETURN
            }
            Err(error) => {
                error.restore(py);
                ffi::PySendResult::PYGEN_ERROR
            }
        }
    };
    // SAFETY: B6: as above. Attaching tells PyO3 that references may be dropped at once.
    unsafe { Python::attach_unchecked(step) }
}

/// `tp_iternext`, which `await` calls from Python 3.12 on. NULL without an exception is the end with None.
unsafe extern "C" fn next<T: Awaited>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: B6: called by the interpreter for a T.
    let step = |py: Python<'_>| unsafe {
        match stepped::<T>(py, object) {
            Ok(Sent::Yield(awaited)) => return awaited.into_ptr(),
            Ok(Sent::Return(value)) if value.is_none(py) => {}
            Ok(Sent::Return(value)) => set_stop_iteration(py, value),
            Err(error) => error.restore(py),
        }
        std::ptr::null_mut()
    };
    // SAFETY: B6: as above.
    unsafe { Python::attach_unchecked(step) }
}
