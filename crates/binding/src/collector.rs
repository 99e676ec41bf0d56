//! Handles that the cyclic collector need not look at.
//!
//! What a running loop has ready is alive, since the loop is: nothing there can be garbage. A burst of callbacks, as from
//! another thread, would be looked at again and again all the same; that was a third of what they cost
//! (`benches/micro.py`, `call_soon_threadsafe`). So what `call_soon_threadsafe` gives a running loop is hidden from the collector,
//! until it has left the loop: it has run, or the loop has stopped. One that somebody else holds is shown then, since it
//! may be part of a cycle; one that nobody else holds dies.

#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

use crate::event_loop::work::Work;
use crate::handle::Handle;

/// Hides a handle, which the loop that it waits on holds, and runs.
#[inline]
pub fn hide(handle: &Bound<'_, Handle>) {
    // SAFETY: B12: a live object of a collected type; the function looks whether it is tracked.
    unsafe { ffi::PyObject_GC_UnTrack(handle.as_ptr().cast()) };
}

/// Shows a handle again that has left the loop, if anybody holds it beside the caller.
#[inline]
pub fn show_if_held(handle: &Bound<'_, Handle>) {
    // SAFETY: B12: a live object.
    if unsafe { ffi::Py_REFCNT(handle.as_ptr()) } > 1 {
        show(handle.as_unbound());
    }
}

/// Shows it again if it is a handle that was hidden: it stays where it is, and its loop stops.
pub fn show_waiting(work: &Work) {
    if let Work::Handle(handle) = work {
        show(handle);
    }
}

fn show(handle: &Py<Handle>) {
    let object = handle.as_ptr();
    // SAFETY: B12: a live, whole object of a collected type, which is not tracked.
    unsafe {
        if ffi::PyObject_GC_IsTracked(object) == 0 {
            ffi::PyObject_GC_Track(object.cast());
        }
    }
}
