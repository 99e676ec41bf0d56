//! Who else wants the GIL.

#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// Whether the interpreter has other threads than the calling one, any of which may be waiting for the GIL.
///
/// A busy loop that never let go would leave them to the interpreter's switch interval, 5 ms at a time: a job in an
/// executor that takes the GIL ten times would take 50 ms. asyncio lets go at every poll.
#[inline]
pub fn has_others(_py: Python<'_>) -> bool {
    // SAFETY: B4: the GIL is held, so no thread state is made or deleted meanwhile; the interpreter has at least the
    // caller's.
    unsafe {
        let first = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
        !first.is_null() && !ffi::PyThreadState_Next(first).is_null()
    }
}
