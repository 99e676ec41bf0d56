//! Making datagram transports: `asyncio.base_events` calls this by its private name, for `create_datagram_endpoint`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::EventLoop;
use crate::transport::DatagramTransport;

#[pymethods]
impl EventLoop {
    /// A transport over a datagram socket; what is sent without an address goes to `address`, and nowhere else.
    ///
    /// Raises RuntimeError for a descriptor that a transport uses.
    #[pyo3(signature = (sock, protocol, address = None, waiter = None, extra = None))]
    fn _make_datagram_transport<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        extra: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, DatagramTransport>> {
        slf.call_method1(intern!(slf.py(), "_ensure_fd_no_transport"), (sock,))?;
        DatagramTransport::create(slf, sock, protocol, address, waiter, extra)
    }
}
