//! Addresses as `socket.getpeername()` shows them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use riata_engine::net::{SocketAddr, UnixAddr};

/// `address` as Python's socket module gives it (`makesockaddr` in `Modules/socketmodule.c`): a pair for IPv4, four
/// for IPv6, a path or bytes for Unix; None for what is not taken apart here.
pub fn to_python<'py>(py: Python<'py>, address: &SocketAddr) -> PyResult<Bound<'py, PyAny>> {
    Ok(match address {
        SocketAddr::V4(address) => (address.ip().to_string(), address.port())
            .into_pyobject(py)?
            .into_any(),
        SocketAddr::V6(address) => {
            // By the C library: it writes some addresses otherwise than Rust does.
            let packed = PyBytes::new(py, &address.ip().octets());
            let socket = py.import(intern!(py, "socket"))?;
            let family = socket.getattr(intern!(py, "AF_INET6"))?;
            let host = socket.call_method1(intern!(py, "inet_ntop"), (family, packed))?;
            (host, address.port(), address.flowinfo(), address.scope_id())
                .into_pyobject(py)?
                .into_any()
        }
        SocketAddr::Unix(UnixAddr::Path(path)) => py
            .import(intern!(py, "os"))?
            .call_method1(intern!(py, "fsdecode"), (PyBytes::new(py, path),))?,
        SocketAddr::Unix(UnixAddr::Abstract(name)) => {
            let mut whole = vec![0];
            whole.extend_from_slice(name);
            PyBytes::new(py, &whole).into_any()
        }
        SocketAddr::Unix(UnixAddr::Unnamed) => PyString::new(py, "").into_any(),
        SocketAddr::Unspecified | SocketAddr::Other { .. } => py.None().into_bound(py),
    })
}
