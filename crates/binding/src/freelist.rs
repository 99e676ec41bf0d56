//! Memory of objects that died, kept for the next ones of their type.
//!
//! Handles, futures and tasks live shortly, and a turn may make thousands of them. Taking one off a list is several
//! times cheaper than a call of CPython's allocator and one back; CPython does the same for its contexts and floats.

#![allow(unsafe_code)]

use pyo3::PyTypeInfo;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::cell::GilCell;
use crate::combine::Coroutine;
use crate::future::{Future, FutureIter};
use crate::gevent::callback::Callback;
use crate::handle::{Handle, TimerHandle};
use crate::task::Task;

/// How much memory of dead objects is kept for most types, in objects.
const MOST: usize = 1024;

/// The same for what comes in bursts: tasks and the coroutines that they wait in, and what other threads send until the
/// loop gets the GIL. Memory that is taken from here is none that the collector counts. Less than 2 MB each.
const MOST_IN_BURSTS: usize = 8 * MOST;

/// Memory of dead objects of one type.
pub struct Kept(Vec<*mut ffi::PyObject>);

// SAFETY: B1: the pointers are used under the GIL alone.
unsafe impl Send for Kept {}

/// A type whose exact instances' memory is kept.
trait Recycled: PyTypeInfo {
    /// How many.
    const MOST: usize;

    /// Where.
    fn kept() -> &'static GilCell<Kept>;
}

macro_rules! recycled {
    ($most:expr; $($class:ty),*) => {$(
        impl Recycled for $class {
            const MOST: usize = $most;

            fn kept() -> &'static GilCell<Kept> {
                static KEPT: GilCell<Kept> = GilCell::new(Kept(Vec::new()));
                &KEPT
            }
        }
    )*};
}
recycled!(MOST_IN_BURSTS; Handle, Task, Coroutine);
recycled!(
    MOST;
    TimerHandle,
    Future,
    FutureIter,
    Callback
);

/// Puts the allocators in. Called once, while the module is made.
pub fn install(py: Python<'_>) {
    install_one::<Handle>(py);
    install_one::<TimerHandle>(py);
    install_one::<Future>(py);
    install_one::<FutureIter>(py);
    install_one::<Task>(py);
    install_one::<Coroutine>(py);
    install_one::<Callback>(py);
}

fn install_one<T: Recycled>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: B6: a heap type that no instance exists of yet. Subclasses have allocators of their own: those made in
    // Python are given CPython's, and ours were made before.
    unsafe {
        (*class).tp_alloc = Some(alloc::<T>);
        (*class).tp_free = Some(free::<T>);
        ffi::PyType_Modified(class);
    }
}

unsafe extern "C" fn alloc<T: Recycled>(
    class: *mut ffi::PyTypeObject,
    items: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: B11: called by the interpreter or PyO3, with the GIL; what was kept is memory of exactly this type,
    // initialized here as `PyType_GenericAlloc` does. Zeros, too: before PyO3 writes the fields, Python 3.11 makes the
    // object's dictionary, and that may start the collector.
    unsafe {
        let py = Python::assume_attached();
        if class == T::type_object_raw(py)
            && let Some(object) = T::kept().with(py, |kept| kept.0.pop())
        {
            let size = (*class).tp_basicsize.cast_unsigned();
            let header = size_of::<ffi::PyObject>();
            object
                .cast::<u8>()
                .add(header)
                .write_bytes(0, size.saturating_sub(header));
            ffi::PyObject_Init(object, class);
            ffi::PyObject_GC_Track(object.cast());
            return object;
        }
        ffi::PyType_GenericAlloc(class, items)
    }
}

unsafe extern "C" fn free<T: Recycled>(object: *mut std::ffi::c_void) {
    // SAFETY: B11: called at the end of a deallocator: nothing of the object is left but its memory, and its type's
    // address, which is not followed. The collector's mark of a finalized object stays with the memory: such are not
    // kept.
    unsafe {
        let py = Python::assume_attached();
        let dead = object.cast::<ffi::PyObject>();
        let kept = ffi::Py_TYPE(dead) == T::type_object_raw(py)
            && ffi::PyObject_GC_IsFinalized(dead) == 0
            && T::kept().with(py, |kept| {
                let room = kept.0.len() < T::MOST;
                if room {
                    kept.0.push(dead);
                }
                room
            });
        if !kept {
            ffi::PyObject_GC_Del(object);
        }
    }
}
