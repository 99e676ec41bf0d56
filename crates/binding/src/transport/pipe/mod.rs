//! Pipe transports: the reading and the writing end of FIFOs, sockets and character devices.
//!
//! - `read`, `write`: the two classes; what they have in common is in `endpoint`
//!
//! The descriptor belongs to the object that the program handed in, whose `close()` is called once, after
//! `connection_lost`. Every order of events is that of asyncio's `_UnixReadPipeTransport` and
//! `_UnixWritePipeTransport`; a write leaves at once, as theirs do. `connection_lost` is called once, where theirs
//! could call it twice (`close()` followed by `abort()`).

#![allow(unsafe_code)]

mod read;
mod write;

use std::os::fd::RawFd;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riata_engine::net::{self, PipeKind};

use super::endpoint::{CLOSED, Core};
use super::socket::borrow;
use crate::error::os_error;
use crate::event_loop::EventLoop;

pub use read::ReadPipeTransport;
pub use write::WritePipeTransport;

/// The module of asyncio's that has these transports.
const LOGGER: &str = "asyncio.unix_events";

/// What a transport over `pipe` begins with, and what the descriptor is, which is made non-blocking.
///
/// # Errors
/// ValueError with `refusal` for what cannot be waited for (a regular file); OSError for what is not open; what
/// `pipe.fileno()` raises.
fn open(
    event_loop: &Bound<'_, EventLoop>,
    pipe: &Bound<'_, PyAny>,
    protocol: &Bound<'_, PyAny>,
    extra: Option<Bound<'_, PyDict>>,
    refusal: &'static str,
) -> PyResult<(Core, PipeKind)> {
    let py = pipe.py();
    let extra = extra.unwrap_or_else(|| PyDict::new(py));
    extra.set_item(intern!(py, "pipe"), pipe)?;
    let fd: RawFd = pipe.call_method0(intern!(py, "fileno"))?.extract()?;
    if fd < 0 {
        return Err(os_error(CLOSED));
    }
    // SAFETY: B7: the pipe object has just given its number.
    let kind = net::kind(unsafe { borrow(fd) }).map_err(os_error)?;
    if kind == PipeKind::Other {
        return Err(PyValueError::new_err(refusal));
    }
    // SAFETY: B7: as above; nothing has been called since.
    net::set_nonblocking(unsafe { borrow(fd) }).map_err(os_error)?;
    let core = Core::new(event_loop, pipe, fd, protocol, extra)?;
    Ok((core, kind))
}
