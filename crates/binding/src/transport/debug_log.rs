//! What pipes and datagram transports log in debug mode, through the loggers of asyncio's twins.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::endpoint::Endpoint;

/// Logs `text % transport` as asyncio's transports do, in debug mode.
pub fn log<T: Endpoint>(
    slf: &Bound<'_, T>,
    level: &Bound<'_, PyString>,
    text: &str,
) -> PyResult<()> {
    let py = slf.py();
    match slf.get().event_loop(py) {
        Some(event_loop) if event_loop.get().debug(py) => {
            T::logger(py)?.call_method1(level, (text, slf)).map(drop)
        }
        _ => Ok(()),
    }
}

/// Logs `message` about a transport with the traceback of `exception`, in debug mode.
pub fn log_error<T: Endpoint>(
    slf: &Bound<'_, T>,
    message: &str,
    exception: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    match slf.get().event_loop(py) {
        Some(event_loop) if event_loop.get().debug(py) => {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "exc_info"), exception)?;
            T::logger(py)?
                .call_method(
                    intern!(py, "debug"),
                    ("%r: %s", slf, message),
                    Some(&options),
                )
                .map(drop)
        }
        _ => Ok(()),
    }
}
