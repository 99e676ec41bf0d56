//! Addresses as `socket.getpeername()` shows them, and as `socket.sendto()` takes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};
use riata_engine::net::{SocketAddr, UnixAddr};

/// Where `sun_path` ends, its final NUL included.
const LONGEST_PATH: usize = 108;

/// `address` as Python's socket module gives it (`makesockaddr` in `Modules/socketmodule.c`): a pair for IPv4, four
/// for IPv6, a path or bytes for Unix; None for what is not taken apart here.
pub fn to_python<'py>(py: Python<'py>, address: &SocketAddr) -> PyResult<Bound<'py, PyAny>> {
    Ok(match address {
        SocketAddr::V4(address) => (address.ip().to_string(), address.port())
            .into_pyobject(py)?
            .into_any(),
        SocketAddr::V6(address) => {
            let host = host_v6(py, address.ip())?;
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

/// An IPv6 address as `socket.inet_ntop` writes it.
fn host_v6<'py>(py: Python<'py>, ip: &Ipv6Addr) -> PyResult<Bound<'py, PyAny>> {
    // The C library alone writes an old-fashioned IPv4-compatible address with dots.
    if ip.segments()[..6].iter().any(|&segment| segment != 0) {
        return Ok(ip.to_string().into_pyobject(py)?.into_any());
    }
    let packed = PyBytes::new(py, &ip.octets());
    let socket = py.import(intern!(py, "socket"))?;
    let family = socket.getattr(intern!(py, "AF_INET6"))?;
    socket.call_method1(intern!(py, "inet_ntop"), (family, packed))
}

/// The address that a socket of `family` understands by `address` (`getsockaddrarg` in `Modules/socketmodule.c`).
///
/// None for what is not taken apart here: names to be looked up, other families, and mistakes, which Python's own
/// socket object knows best.
pub fn from_python(family: i32, address: &Bound<'_, PyAny>) -> Option<SocketAddr> {
    match family {
        libc::AF_INET => {
            let parts = address.cast_exact::<PyTuple>().ok()?;
            if parts.len() != 2 {
                return None;
            }
            let host = text(&parts.get_item(0).ok()?)?.parse::<Ipv4Addr>();
            let port = number(&parts.get_item(1).ok()?)?;
            Some(SocketAddr::V4(SocketAddrV4::new(
                host.ok()?,
                u16::try_from(port).ok()?,
            )))
        }
        libc::AF_INET6 => {
            let parts = address.cast_exact::<PyTuple>().ok()?;
            if !(2..=4).contains(&parts.len()) {
                return None;
            }
            let host = text(&parts.get_item(0).ok()?)?.parse::<Ipv6Addr>();
            let mut numbers = [0; 3];
            for (place, part) in numbers.iter_mut().zip(parts.iter_borrowed().skip(1)) {
                *place = number(&part)?;
            }
            let [port, flowinfo, scope_id] = numbers;
            if flowinfo > 0xf_ffff {
                return None;
            }
            let port = u16::try_from(port).ok()?;
            Some(SocketAddr::V6(SocketAddrV6::new(
                host.ok()?,
                port,
                flowinfo,
                scope_id,
            )))
        }
        libc::AF_UNIX => {
            let path = match address.cast_exact::<PyBytes>() {
                Ok(bytes) => bytes.as_bytes(),
                // Beyond ASCII the file system's encoding decides.
                Err(_) => text(address).filter(|path| path.is_ascii())?.as_bytes(),
            };
            match path {
                [] => None,
                [0, name @ ..] if name.len() < LONGEST_PATH => {
                    Some(SocketAddr::Unix(UnixAddr::Abstract(name.to_vec())))
                }
                path if path.len() < LONGEST_PATH && !path.contains(&0) => {
                    Some(SocketAddr::Unix(UnixAddr::Path(path.to_vec())))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn text<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    object.cast_exact::<PyString>().ok()?.to_str().ok()
}

fn number(object: &Bound<'_, PyAny>) -> Option<u32> {
    object.cast_exact::<PyInt>().ok()?.extract().ok()
}
