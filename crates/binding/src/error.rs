//! The one translator from the engine's errors to Python's.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use riata_engine::error::Error;

/// `OSError(errno, strerror)`: Python picks the subclass (ConnectionResetError, PermissionError, …) by errno.
pub fn os_error(error: Error) -> PyErr {
    PyOSError::new_err((error.errno, strerror(error.errno)))
}

/// `error`, with its exception made. PyO3 makes the exception of an error of ours when somebody looks at it, for which it
/// attaches to the interpreter, and panics where that is already ending: coroutines are closed there too.
pub fn made(py: Python<'_>, error: PyErr) -> PyErr {
    error.restore(py);
    PyErr::fetch(py)
}

/// The text that `os.strerror` gives for `errno`.
pub fn strerror(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    // std adds " (os error N)", which Python's own texts lack.
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
