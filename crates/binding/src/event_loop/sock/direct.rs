//! An attempt by the system call that a socket's method stands for.
//!
//! Whatever is unusual (a wrong argument, a name to be looked up, a buffer without room) is left to the method, which
//! knows what to raise.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::RawFd;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riata_engine::error::{Error, Result as EngineResult};
use riata_engine::net::{self, SocketAddr};

use super::attempt::{Attempt, Call, Request};
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::transport::{
    Scratch, address_from_python, address_to_python, borrow, copy_bytes, fill_buffer, read_buffer,
};

/// Tries once; None when it has to be done by the method.
///
/// # Errors
/// OSError, unless it says to try again; what an audit hook raises.
pub fn attempt<'py>(
    request: &Request<'_, 'py>,
    family: i32,
    event_loop: &Bound<'py, EventLoop>,
) -> PyResult<Option<Attempt<'py>>> {
    let py = event_loop.py();
    let (socket, first) = (request.socket, request.first);
    match (request.call, request.second) {
        (Call::Recv, _) => match size(first) {
            Some(size) => answer(receive(event_loop, socket, size), |bytes| {
                Ok(bytes.into_any())
            }),
            None => Ok(None),
        },
        (Call::RecvFrom, _) if is_known(family) => match size(first) {
            Some(size) => answer(receive_from(event_loop, socket, size), |(bytes, sender)| {
                pair(bytes, &sender)
            }),
            None => Ok(None),
        },
        (Call::RecvInto, _) => {
            let filled = fill_buffer(
                first,
                || number(socket),
                // SAFETY: B7: the socket object has just given its number.
                |fd, memory| net::recv_uninit(unsafe { borrow(fd) }, memory),
            );
            match filled {
                Ok(outcome) => answer(outcome, |count| Ok(count.into_pyobject(py)?.into_any())),
                Err(_) => Ok(None),
            }
        }
        (Call::RecvFromInto, Some(second)) if is_known(family) => {
            receive_from_into(socket, first, second)
        }
        (Call::SendAll, _) => send(socket, first, request.sent.unwrap_or(0)),
        (Call::SendTo, Some(second)) => send_to(socket, first, second, family),
        _ => Ok(None),
    }
}

/// Addresses of these families can be shown to Python.
pub fn is_known(family: i32) -> bool {
    matches!(family, libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX)
}

/// How much is to be received, if it fits into the loop's memory.
fn size(object: &Bound<'_, PyAny>) -> Option<usize> {
    let size = object.extract::<usize>().ok()?;
    (size <= Scratch::SIZE).then_some(size)
}

/// The descriptor of a socket that is open.
///
/// # Errors
/// EBADF when it is closed.
fn number(socket: &Bound<'_, PyAny>) -> EngineResult<RawFd> {
    let number = socket
        .call_method0(intern!(socket.py(), "fileno"))
        .and_then(|number| number.extract::<RawFd>());
    match number {
        Ok(number) if number >= 0 => Ok(number),
        _ => Err(Error {
            call: "fileno",
            errno: libc::EBADF,
        }),
    }
}

/// What the kernel's answer means.
fn answer<'py, T>(
    outcome: EngineResult<T>,
    show: impl FnOnce(T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<Attempt<'py>>> {
    match outcome {
        Ok(value) => show(value).map(|result| Some(Attempt::Done(result))),
        Err(error) if error.is_would_block() || error.is_interrupted() => {
            Ok(Some(Attempt::Blocked))
        }
        Err(error) => Err(os_error(error)),
    }
}

/// `(value, address)`.
fn pair<'py, T>(value: Bound<'py, T>, sender: &SocketAddr) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let value = value.into_any();
    let address = address_to_python(py, sender)?;
    Ok((value, address).into_pyobject(py)?.into_any())
}

fn receive<'py>(
    event_loop: &Bound<'py, EventLoop>,
    socket: &Bound<'py, PyAny>,
    size: usize,
) -> EngineResult<Bound<'py, PyBytes>> {
    let py = event_loop.py();
    let fd = number(socket)?;
    event_loop.get().scratch.with(py, |scratch| {
        let memory = &mut scratch.memory()[..size];
        // SAFETY: B7: the socket object has just given its number.
        let filled = net::recv_uninit(unsafe { borrow(fd) }, memory)?;
        // SAFETY: B8: as many bytes are initialized as `recv_uninit` returns.
        Ok(unsafe { copy_bytes(py, memory, filled) })
    })
}

fn receive_from<'py>(
    event_loop: &Bound<'py, EventLoop>,
    socket: &Bound<'py, PyAny>,
    size: usize,
) -> EngineResult<(Bound<'py, PyBytes>, SocketAddr)> {
    let py = event_loop.py();
    let fd = number(socket)?;
    event_loop.get().scratch.with(py, |scratch| {
        let memory = &mut scratch.memory()[..size];
        // SAFETY: B7: the socket object has just given its number.
        let (filled, sender) = net::recv_from_uninit(unsafe { borrow(fd) }, memory)?;
        // SAFETY: B8: as many bytes are initialized as `recv_from_uninit` returns.
        Ok((unsafe { copy_bytes(py, memory, filled) }, sender))
    })
}

fn receive_from_into<'py>(
    socket: &Bound<'py, PyAny>,
    buffer: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
) -> PyResult<Option<Attempt<'py>>> {
    let py = socket.py();
    let Ok(size) = size.extract::<usize>() else {
        return Ok(None);
    };
    let mut sender = SocketAddr::Unspecified;
    let mut too_large = false;
    let filled = fill_buffer(
        buffer,
        || number(socket),
        |fd, memory| {
            let Some(memory) = memory.get_mut(..size) else {
                too_large = true;
                return Ok(0);
            };
            // SAFETY: B7: the socket object has just given its number.
            let (filled, from) = net::recv_from_uninit(unsafe { borrow(fd) }, memory)?;
            sender = from;
            Ok(filled)
        },
    );
    match filled {
        Ok(outcome) if !too_large => {
            answer(outcome, |count| pair(count.into_pyobject(py)?, &sender))
        }
        _ => Ok(None),
    }
}

/// Sends what is left of `data` after the first `already` bytes.
fn send<'py>(
    socket: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    already: usize,
) -> PyResult<Option<Attempt<'py>>> {
    let py = socket.py();
    let sent = read_buffer(
        data,
        || number(socket),
        |fd, bytes| {
            let rest = bytes.get(already..).unwrap_or_default();
            // SAFETY: B7: the socket object has just given its number.
            match net::send(unsafe { borrow(fd) }, rest) {
                Err(error) if error.is_would_block() && rest.is_empty() => Ok((0, 0)),
                sent => Ok((sent?, rest.len())),
            }
        },
    );
    match sent {
        Ok(Ok((sent, left))) if sent < left => Ok(Some(Attempt::Part(sent))),
        Ok(outcome) => answer(outcome, |_| Ok(py.None().into_bound(py))),
        Err(_) => Ok(None),
    }
}

fn send_to<'py>(
    socket: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    address: &Bound<'py, PyAny>,
    family: i32,
) -> PyResult<Option<Attempt<'py>>> {
    let py = socket.py();
    let Some(to) = address_from_python(family, address) else {
        return Ok(None);
    };
    audit_sendto(socket, address)?;
    let sent = read_buffer(
        data,
        || number(socket),
        // SAFETY: B7: the socket object has just given its number.
        |fd, bytes| net::send_to(unsafe { borrow(fd) }, bytes, &to),
    );
    match sent {
        Ok(outcome) => answer(outcome, |count| Ok(count.into_pyobject(py)?.into_any())),
        Err(_) => Ok(None),
    }
}

unsafe extern "C" {
    /// Python's own, which PyO3 does not declare.
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// Whether anybody listens to audit events (`sys.addaudithook`): then they are to be told of a call with the socket
/// object, by that object.
pub fn is_audited(py: Python<'_>) -> bool {
    /// Called for the event's argument, once somebody wants it. There is none, and so nobody is told.
    unsafe extern "C" fn refuse(_: *mut c_void) -> *mut ffi::PyObject {
        // SAFETY: B4: called with the GIL, by `PySys_Audit`.
        unsafe { ffi::PyErr_SetNone(ffi::PyExc_LookupError) };
        std::ptr::null_mut()
    }
    // SAFETY: B4: `O&` takes a function and what it is called with, as `Py_BuildValue` documents.
    let told = unsafe {
        PySys_Audit(
            c"socket.connect".as_ptr(),
            c"O&".as_ptr(),
            refuse as unsafe extern "C" fn(*mut c_void) -> *mut ffi::PyObject,
            std::ptr::null_mut::<c_void>(),
        )
    };
    if told != 0 {
        drop(PyErr::take(py));
    }
    told != 0
}

/// Tells audit hooks (`sys.addaudithook`) what `socket.sendto` tells them.
///
/// # Errors
/// What a hook raises.
pub fn audit_sendto(socket: &Bound<'_, PyAny>, address: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: B4: both objects live across the call, which takes as many as the format says.
    let told = unsafe {
        PySys_Audit(
            c"socket.sendto".as_ptr(),
            c"OO".as_ptr(),
            socket.as_ptr(),
            address.as_ptr(),
        )
    };
    match told {
        0 => Ok(()),
        _ => Err(PyErr::fetch(socket.py())),
    }
}
