//! Telling a protocol to pause and to go on writing, and reports to the exception handler: for transports of every
//! kind.

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riata_engine::stream::Flow;

use crate::event_loop::EventLoop;
use crate::imports::call_exception_handler;
use crate::unwind;

/// Whether `error` is one that ends the loop instead of being reported.
pub fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// Calls `protocol`'s `pause_writing` or `resume_writing`, if `flow` says so. What it raises is reported.
///
/// # Errors
/// SystemExit and KeyboardInterrupt that the protocol raised.
pub fn tell(
    event_loop: Option<&Bound<'_, EventLoop>>,
    transport: &Bound<'_, PyAny>,
    protocol: Option<&Bound<'_, PyAny>>,
    flow: Flow,
) -> PyResult<()> {
    let py = transport.py();
    let (method, failed) = match flow {
        Flow::Unchanged => return Ok(()),
        Flow::Pause => (
            intern!(py, "pause_writing"),
            "protocol.pause_writing() failed",
        ),
        Flow::Resume => (
            intern!(py, "resume_writing"),
            "protocol.resume_writing() failed",
        ),
    };
    let Some(protocol) = protocol else {
        return Ok(());
    };
    match unwind::call_method(protocol, method, []) {
        Ok(_) => Ok(()),
        Err(error) if is_interrupt(py, &error) => Err(error),
        Err(error) => {
            let exception = error.into_value(py).into_bound(py).into_any();
            report(event_loop, transport, Some(protocol), &exception, failed)
        }
    }
}

/// Tells the exception handler of `exception`, which concerns a transport and its protocol.
///
/// # Errors
/// What an overridden `call_exception_handler` raises.
pub fn report(
    event_loop: Option<&Bound<'_, EventLoop>>,
    transport: &Bound<'_, PyAny>,
    protocol: Option<&Bound<'_, PyAny>>,
    exception: &Bound<'_, PyAny>,
    message: &str,
) -> PyResult<()> {
    let py = transport.py();
    let Some(event_loop) = event_loop else {
        return Ok(());
    };
    let report = PyDict::new(py);
    report.set_item(intern!(py, "message"), message)?;
    report.set_item(intern!(py, "exception"), exception)?;
    report.set_item(intern!(py, "transport"), transport)?;
    report.set_item(intern!(py, "protocol"), protocol)?;
    call_exception_handler(event_loop.as_any(), &report)
}
