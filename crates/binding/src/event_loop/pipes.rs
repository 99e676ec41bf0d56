//! Making transports of pipes: `asyncio.base_events` calls these by their private names, for `connect_read_pipe`,
//! `connect_write_pipe` and subprocesses.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::EventLoop;
use crate::transport::{ReadPipeTransport, WritePipeTransport};

#[pymethods]
impl EventLoop {
    /// A transport that reads a pipe, a socket or a character device.
    ///
    /// Raises ValueError for anything else.
    #[pyo3(signature = (pipe, protocol, waiter = None, extra = None))]
    fn _make_read_pipe_transport<'py>(
        slf: &Bound<'py, Self>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, ReadPipeTransport>> {
        ReadPipeTransport::create(slf, pipe, protocol, waiter, extra)
    }

    /// A transport that writes to a pipe, a socket or a character device.
    ///
    /// Raises ValueError for anything else.
    #[pyo3(signature = (pipe, protocol, waiter = None, extra = None))]
    fn _make_write_pipe_transport<'py>(
        slf: &Bound<'py, Self>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, WritePipeTransport>> {
        WritePipeTransport::create(slf, pipe, protocol, waiter, extra)
    }
}
