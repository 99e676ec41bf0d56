//! A long chain of futures, each the result of the next, dies from one end without a C stack as long as the chain.
//!
//! What CPython's trashcan does for containers, for our own types: from a certain depth on, what dies waits until the
//! outermost deallocator is through.

#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

use crate::cell::GilCell;

/// How many deallocators run inside each other: CPython's number.
const DEEPEST: usize = 50;

/// What is dead already and waits, with its deallocator.
struct Waiting(Vec<(*mut ffi::PyObject, ffi::destructor)>);

// SAFETY: B1: the pointers are used under the GIL alone.
unsafe impl Send for Waiting {}

static WAITING: GilCell<Waiting> = GilCell::new(Waiting(Vec::new()));
static DEPTH: GilCell<usize> = GilCell::new(0);

/// Runs `dealloc` on `object`, now or when the outermost call of this function is through.
///
/// # Safety
/// Called from the `tp_dealloc` of an exact instance of a type of ours, as the last thing it does; `dealloc` is the
/// deallocator that PyO3 made for that type.
pub unsafe fn dealloc_shallow(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    dealloc: ffi::destructor,
) {
    if DEPTH.get(py) >= DEEPEST {
        // SAFETY: B6: live memory of a collected type; the collector must not see a count of nought.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        WAITING.with(py, |waiting| waiting.0.push((object, dealloc)));
        return;
    }
    run(py, object, dealloc);
    while DEPTH.get(py) == 0
        && let Some((object, dealloc)) = WAITING.with(py, |waiting| waiting.0.pop())
    {
        run(py, object, dealloc);
    }
}

fn run(py: Python<'_>, object: *mut ffi::PyObject, dealloc: ffi::destructor) {
    DEPTH.with(py, |depth| *depth += 1);
    // SAFETY: B6: the count is nought, and by the caller's promise this is the type's own deallocator; nobody else
    // has the object, since each enters WAITING once and leaves it by `pop`.
    unsafe { dealloc(object) };
    DEPTH.with(py, |depth| *depth -= 1);
}
