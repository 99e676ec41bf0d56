//! Bytes that Python owns, as the kernel takes and gives them.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::mem::MaybeUninit;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riata_engine::error::{Error, Result as EngineResult};

/// A bytes object that waits to be written. Its bytes never change, so nothing is copied.
pub struct Chunk(Py<PyBytes>);

impl Chunk {
    /// Takes a reference to `bytes`.
    pub fn new(bytes: Bound<'_, PyBytes>) -> Self {
        Self(bytes.unbind())
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: B1: chunks live in cells, which are opened under the GIL alone.
        let py = unsafe { Python::assume_attached() };
        self.0.as_bytes(py)
    }
}

/// A new bytes object with the first `filled` of `bytes`, which are initialized.
///
/// # Safety
/// The first `filled` of `bytes` are initialized.
pub unsafe fn copy_bytes<'py>(
    py: Python<'py>,
    bytes: &[MaybeUninit<u8>],
    filled: usize,
) -> Bound<'py, PyBytes> {
    let filled = &bytes[..filled.min(bytes.len())];
    // SAFETY: B8: the caller's promise.
    PyBytes::new(py, unsafe {
        std::slice::from_raw_parts(filled.as_ptr().cast::<u8>(), filled.len())
    })
}

unsafe extern "C" {
    /// Python's own, which PyO3 does not declare.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// A bytes object of what `fill` receives, at most `most` bytes, which are written where they stay.
///
/// # Errors
/// `fill`'s; ENOMEM.
pub fn receive_bytes(
    py: Python<'_>,
    most: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> EngineResult<usize>,
) -> EngineResult<Bound<'_, PyBytes>> {
    let exhausted = || {
        drop(PyErr::take(py));
        Error {
            call: "malloc",
            errno: libc::ENOMEM,
        }
    };
    let size = most.min(isize::MAX as usize) as ffi::Py_ssize_t;
    // SAFETY: B4: a new object that nobody else has, of so many bytes that hold nothing.
    let mut object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), size) };
    if object.is_null() {
        return Err(exhausted());
    }
    // SAFETY: B8: the object's own memory, which lives as long as it, and which nobody else has seen.
    let memory =
        unsafe { std::slice::from_raw_parts_mut(ffi::PyBytes_AsString(object).cast(), most) };
    let received = fill(memory);
    let length = received.as_ref().map_or(0, |&received| received.min(most));
    // SAFETY: B8: cut to what is initialized. The reference count is one; on failure the object is freed, and NULL.
    if unsafe { _PyBytes_Resize(&mut object, length as ffi::Py_ssize_t) } < 0 {
        return Err(exhausted());
    }
    // SAFETY: B4: the one reference to a bytes object.
    let bytes = unsafe { Bound::from_owned_ptr(py, object).cast_into_unchecked() };
    received.map(|_| bytes)
}

/// Lets `fill` write into the memory of `object`, any writable contiguous buffer. `source` is asked first, once the
/// buffer is held: it may call Python, `fill` must not.
///
/// # Errors
/// TypeError or BufferError when `object` is no such thing, or has no room; the inner result is `fill`'s.
pub fn fill_buffer<S>(
    object: &Bound<'_, PyAny>,
    source: impl FnOnce() -> EngineResult<S>,
    fill: impl FnOnce(S, &mut [MaybeUninit<u8>]) -> EngineResult<usize>,
) -> PyResult<EngineResult<usize>> {
    let mut view = MaybeUninit::<ffi::Py_buffer>::zeroed();
    // SAFETY: B9: the object lives across the call, and the view is released below, on every path.
    unsafe {
        if ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_WRITABLE) < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let lent = view.assume_init_mut();
        let outcome = match usize::try_from(lent.len) {
            Ok(len) if len > 0 && !lent.buf.is_null() => Ok(source().and_then(|source| {
                let memory = lent.buf.cast::<MaybeUninit<u8>>();
                fill(source, std::slice::from_raw_parts_mut(memory, len))
            })),
            // Receiving nothing would look like the end of the stream.
            _ => Err(PyBufferError::new_err("the buffer has no room")),
        };
        ffi::PyBuffer_Release(lent);
        outcome
    }
}

/// Lets `read` look at the memory of `object`, any contiguous buffer. `source` is asked first, once the buffer is held:
/// it may call Python, `read` must not.
///
/// # Errors
/// TypeError or BufferError when `object` is no such thing; the inner result is `read`'s.
pub fn read_buffer<S, R>(
    object: &Bound<'_, PyAny>,
    source: impl FnOnce() -> EngineResult<S>,
    read: impl FnOnce(S, &[u8]) -> EngineResult<R>,
) -> PyResult<EngineResult<R>> {
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return Ok(source().and_then(|source| read(source, bytes.as_bytes())));
    }
    let mut view = MaybeUninit::<ffi::Py_buffer>::zeroed();
    // SAFETY: B20: the object lives across the call, and the view is released below, on every path.
    unsafe {
        if ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_SIMPLE) < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let lent = view.assume_init_mut();
        let outcome = source().and_then(|source| {
            let bytes = match usize::try_from(lent.len) {
                Ok(len) if len > 0 && !lent.buf.is_null() => {
                    std::slice::from_raw_parts(lent.buf.cast::<u8>(), len)
                }
                _ => &[],
            };
            read(source, bytes)
        });
        ffi::PyBuffer_Release(lent);
        Ok(outcome)
    }
}
