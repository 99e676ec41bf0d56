//! A child process whose end the loop is to notice: what `riata._subprocess` watches.

use std::os::fd::AsRawFd;

use pyo3::exceptions::PyChildProcessError;
use pyo3::prelude::*;
use riata_engine::child::{self, Ended};

use crate::error::os_error;

/// A child process that nobody has reaped yet; `fileno()` becomes readable when it ends.
///
/// Raises ProcessLookupError when it is gone already, ValueError for what is no process id, OSError when the kernel
/// has no descriptor left.
#[pyclass(frozen, name = "Child", module = "riata._native")]
pub struct Child(child::Child);

#[pymethods]
impl Child {
    #[new]
    fn new(pid: i32) -> PyResult<Self> {
        child::Child::watch(pid).map(Self).map_err(os_error)
    }

    /// Return the number of the descriptor that becomes readable when the child ends.
    fn fileno(&self) -> i32 {
        self.0.fd().as_raw_fd()
    }

    /// Return whether the child has not ended yet; it is not reaped by asking.
    fn is_running(&self) -> bool {
        self.0.is_running()
    }

    /// Reap the child and return its exit code, or the negative number of the signal that ended it; None while it runs.
    ///
    /// Raises ChildProcessError when somebody else has reaped it.
    fn reap(&self) -> PyResult<Option<i32>> {
        match self.0.reap().map_err(os_error)? {
            None => Ok(None),
            Some(Ended::Exited(code)) => Ok(Some(code)),
            Some(Ended::Killed(signal) | Ended::Dumped(signal)) => Ok(Some(-signal)),
            Some(Ended::Unknown) => Err(PyChildProcessError::new_err((
                libc::ECHILD,
                crate::error::strerror(libc::ECHILD),
            ))),
        }
    }

    /// Send the child a signal: it, and nobody who has its number by now.
    ///
    /// Raises ProcessLookupError when it was reaped, PermissionError, and OSError for what is no signal.
    fn send_signal(&self, signal: i32) -> PyResult<()> {
        self.0.send_signal(signal).map_err(os_error)
    }
}
