//! The extension module `riata._native`.
use pyo3::prelude::*;

/// riata's native half.
#[pymodule(gil_used = true)]
mod _native {}
