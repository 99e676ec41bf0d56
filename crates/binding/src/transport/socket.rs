//! Who owns a transport's descriptor, and how it is named to the kernel.
//!
//! An accepted connection's descriptor is owned here, and most programs never ask for more. A socket that the
//! program handed in, or asked for (`get_extra_info("socket")`), is a Python object that owns the descriptor;
//! closing goes through it. Either way there is one owner, and it closes once.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use riata_engine::error::Error;
use riata_engine::net::SocketAddr;

use crate::imports::imports;

/// The owner of a stream's descriptor.
pub enum Socket {
    /// Closed.
    Closed,
    /// An accepted connection that nobody asked the Python socket of.
    Raw(OwnedFd),
    /// A Python socket object.
    Python(Py<PyAny>),
}

impl Socket {
    /// Another reference to the Python socket, if it is one.
    pub fn python(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Python(socket) => Some(socket.clone_ref(py)),
            _ => None,
        }
    }

    /// Whether nobody owns a descriptor any more.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Closes it, by the Python socket's `close()` if there is one.
    ///
    /// # Errors
    /// What `close()` raises.
    pub fn close(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Python(socket) => socket.call_method0(py, intern!(py, "close")).map(drop),
            Self::Raw(_) | Self::Closed => Ok(()),
        }
    }
}

/// EBADF, unless `socket` still owns `fd`. A program may close its socket under a transport's feet, and the number
/// may serve another file by then: what is ours to read and write is only what the object says it has.
///
/// # Errors
/// EBADF, as CPython's socket object gives it when closed.
pub fn check_owner(socket: &Bound<'_, PyAny>, fd: RawFd) -> Result<(), Error> {
    let number = socket
        .call_method0(intern!(socket.py(), "fileno"))
        .and_then(|number| number.extract::<RawFd>());
    match number {
        Ok(number) if number == fd => Ok(()),
        _ => Err(Error {
            call: "fileno",
            errno: libc::EBADF,
        }),
    }
}

/// `fd` for one system call.
///
/// # Safety
/// B7: `fd` is open and the transport's own: its `Socket` is `Raw`, or `check_owner` has just said so.
pub unsafe fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: the caller's promise; an owned descriptor is never -1.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// The address family and protocol that Python's socket object is to show for a stream at `address`.
fn kind(address: &SocketAddr) -> (i32, i32) {
    match address {
        SocketAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_TCP),
        SocketAddr::Unix(_) => (libc::AF_UNIX, 0),
        SocketAddr::Other { family, .. } => (i32::from(*family), 0),
        SocketAddr::V4(_) | SocketAddr::Unspecified => (libc::AF_INET, libc::IPPROTO_TCP),
    }
}

/// A Python socket object over `fd`, which it owns from now on; `address` is the local one. Without a descriptor: a
/// closed socket.
///
/// # Errors
/// What making a socket raises; the descriptor is the caller's still.
pub fn python_socket<'py>(
    py: Python<'py>,
    fd: Option<RawFd>,
    address: &SocketAddr,
) -> PyResult<Bound<'py, PyAny>> {
    let (family, protocol) = kind(address);
    let options = PyDict::new(py);
    if let Some(fd) = fd {
        options.set_item(intern!(py, "fileno"), fd)?;
    }
    let class = imports(py)?.socket.bind(py);
    let socket = class.call((family, libc::SOCK_STREAM, protocol), Some(&options))?;
    let made = match fd {
        Some(_) => socket.call_method1(intern!(py, "setblocking"), (false,)),
        None => socket.call_method0(intern!(py, "close")),
    };
    match (made, fd) {
        (Ok(_), _) => Ok(socket),
        (Err(error), Some(_)) => socket.call_method0(intern!(py, "detach")).and(Err(error)),
        (Err(error), None) => Err(error),
    }
}

/// Gives the descriptor's ownership up: somebody else has it by now.
pub fn disown(fd: OwnedFd) {
    let _number = fd.into_raw_fd();
}

/// The number of an owned descriptor.
pub fn number(fd: &OwnedFd) -> RawFd {
    fd.as_raw_fd()
}
