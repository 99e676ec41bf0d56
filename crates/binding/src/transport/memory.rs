//! Bytes that Python owns, as the kernel takes and gives them.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riata_engine::error::Result as EngineResult;

unsafe extern "C" {
    /// Of the stable ABI, and not in PyO3: cuts a new bytes object to size, or frees it and sets an exception.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> std::ffi::c_int;
}

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

/// Fills a new bytes object of at most `capacity` bytes with what `fill` puts at the start of its memory; None when
/// that is nothing at all. `fill` must not call Python.
///
/// # Errors
/// MemoryError; the inner result is `fill`'s.
pub fn fill_bytes(
    py: Python<'_>,
    capacity: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> EngineResult<usize>,
) -> PyResult<EngineResult<Bound<'_, PyBytes>>> {
    let size = ffi::Py_ssize_t::try_from(capacity).map_err(|_| PyMemoryError::new_err(()))?;
    // SAFETY: B8: a bytes object that nobody else knows yet has `size` bytes of memory that may be written; it is
    // cut to what `fill` initialized before anybody sees it. Resizing frees the object if it fails.
    unsafe {
        let mut object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), size);
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        let start = ffi::PyBytes_AsString(object).cast::<MaybeUninit<u8>>();
        match fill(std::slice::from_raw_parts_mut(start, capacity)) {
            Err(error) => {
                ffi::Py_DECREF(object);
                Ok(Err(error))
            }
            Ok(filled) => {
                let filled = filled.min(capacity) as ffi::Py_ssize_t;
                if _PyBytes_Resize(&mut object, filled) < 0 {
                    return Err(PyErr::fetch(py));
                }
                Ok(Ok(Bound::from_owned_ptr(py, object).cast_into_unchecked()))
            }
        }
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
    // SAFETY: the caller's promise.
    PyBytes::new(py, unsafe {
        std::slice::from_raw_parts(filled.as_ptr().cast::<u8>(), filled.len())
    })
}

/// What became of filling a buffer that a protocol lent.
pub enum Lent {
    /// It has no room.
    Empty,
    /// What the filling gave.
    Filled(EngineResult<usize>),
}

/// Lets `fill` write into the memory of `object`, any writable contiguous buffer. `source` is asked first, once the
/// buffer is held: it may call Python, `fill` must not.
///
/// # Errors
/// TypeError or BufferError when `object` is no such thing.
pub fn fill_buffer<S>(
    object: &Bound<'_, PyAny>,
    source: impl FnOnce() -> EngineResult<S>,
    fill: impl FnOnce(S, &mut [MaybeUninit<u8>]) -> EngineResult<usize>,
) -> PyResult<Lent> {
    let mut view = MaybeUninit::<ffi::Py_buffer>::zeroed();
    // SAFETY: B9: the object lives across the call, and the view is released below, on every path.
    unsafe {
        if ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_WRITABLE) < 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let lent = view.assume_init_mut();
        let outcome = match usize::try_from(lent.len) {
            Ok(len) if len > 0 && !lent.buf.is_null() => {
                Lent::Filled(source().and_then(|source| {
                    fill(
                        source,
                        std::slice::from_raw_parts_mut(lent.buf.cast::<MaybeUninit<u8>>(), len),
                    )
                }))
            }
            _ => Lent::Empty,
        };
        ffi::PyBuffer_Release(lent);
        Ok(outcome)
    }
}
