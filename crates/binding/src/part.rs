//! Parts of Python's sequences.
//!
//! Not by `PySlice::new`: that of PyO3 0.30 never gives back the numbers that it makes. Clippy refuses it.

use pyo3::prelude::*;
use pyo3::types::PySlice;

/// `slice(start, end)`; without an end, all that follows.
///
/// # Errors
/// MemoryError.
pub fn slice(py: Python<'_>, start: usize, end: Option<usize>) -> PyResult<Bound<'_, PyAny>> {
    py.get_type::<PySlice>().call1((start, end))
}

/// `object[start:end]`; without an end, all that follows.
///
/// # Errors
/// What indexing raises.
pub fn part<'py>(
    object: &Bound<'py, PyAny>,
    start: usize,
    end: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    object.get_item(slice(object.py(), start, end)?)
}
