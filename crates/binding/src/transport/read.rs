//! Reading: one `recv` an event, level-triggered, so that what is left is told again.
//!
//! They go through the loop's scratch memory and are copied into a bytes object of the right size. That is cheaper
//! than receiving into a large bytes object and cutting it, as CPython does: the allocator takes large objects from
//! the kernel and gives them back, page by page, for every read, unless it keeps what is freed (`heap`). So where much was
//! received the next read goes straight into a bytes object: an echo of 100 KiB takes a sixth less for it. Such an object
//! has as much room as the scratch memory: one that was measured by the last read would cut the next message, be
//! measured by its parts, and so go on cutting.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riata_engine::error::Error;
use riata_engine::net;

use super::memory;
use super::socket::borrow;
use super::stream::{Reading, Reception, StreamTransport, logger};
use super::tls::TlsProtocol;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::unwind;

/// Memory that reads go through: one for a loop, used within one call, made at its first use.
#[derive(Default)]
pub struct Scratch(Vec<MaybeUninit<u8>>);

impl Scratch {
    /// How much is received at once, in bytes: asyncio's `max_size`.
    pub const SIZE: usize = 256 * 1024;

    /// The memory: what it holds is of no use to anybody.
    pub fn memory(&mut self) -> &mut [MaybeUninit<u8>] {
        if self.0.is_empty() {
            self.0.resize(Self::SIZE, MaybeUninit::uninit());
        }
        &mut self.0
    }
}

/// Bytes; a copy of less costs less than to cut the object.
const MUCH: usize = 32 * 1024;

/// What a read gave.
pub(super) enum Received<T> {
    Data(T),
    End,
    Nothing,
    Failed(Error),
}

impl<T> Received<T> {
    pub(super) fn from_error(error: Error) -> Self {
        match error.is_would_block() || error.is_interrupted() {
            true => Self::Nothing,
            false => Self::Failed(error),
        }
    }
}

impl StreamTransport {
    /// Reads once and tells the protocol.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that the protocol raised.
    pub(super) fn read(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        match slf.get().with(slf.py(), |state| state.reception) {
            Reception::Data => Self::read_data(slf, event_loop),
            Reception::Buffered => Self::read_buffered(slf, event_loop),
            Reception::Tls => Self::read_tls(slf, event_loop),
        }
    }

    fn read_data(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().receive(py, event_loop.get()) {
            Received::Data(data) => {
                let Some(protocol) = slf.get().protocol(py) else {
                    return Ok(());
                };
                match unwind::call_method(&protocol, intern!(py, "data_received"), [data.as_any()])
                {
                    Ok(_) => Ok(()),
                    Err(error) => Self::fatal(
                        slf,
                        error,
                        "Fatal error: protocol.data_received() call failed.",
                    ),
                }
            }
            Received::End => Self::read_end(slf, event_loop),
            Received::Nothing => Ok(()),
            Received::Failed(error) => {
                Self::fatal(slf, os_error(error), "Fatal read error on socket transport")
            }
        }
    }

    /// One `recv` into a bytes object.
    fn receive<'py>(
        &self,
        py: Python<'py>,
        event_loop: &EventLoop,
    ) -> Received<Bound<'py, PyBytes>> {
        let fd = match self.live_fd(py) {
            Ok(fd) => fd,
            Err(error) => return Received::Failed(error),
        };
        if self.with(py, |state| state.receives_much) {
            return self.receive_much(py, fd);
        }
        event_loop.scratch.with(py, |scratch| {
            let memory = scratch.memory();
            // SAFETY: B7: `live_fd` has just said so.
            match net::recv_uninit(unsafe { borrow(fd) }, memory) {
                Ok(0) => Received::End,
                Ok(read) => {
                    self.with(py, |state| state.receives_much = read >= MUCH);
                    // SAFETY: B8: as many bytes are initialized as `recv_uninit` returns.
                    Received::Data(unsafe { memory::copy_bytes(py, memory, read) })
                }
                Err(error) => Received::from_error(error),
            }
        })
    }

    /// As `receive`, for one that has just received much: straight into a bytes object.
    fn receive_much<'py>(&self, py: Python<'py>, fd: RawFd) -> Received<Bound<'py, PyBytes>> {
        let received = memory::receive_bytes(py, Scratch::SIZE, |memory| {
            // SAFETY: B7: `live_fd` has just said so.
            net::recv_uninit(unsafe { borrow(fd) }, memory)
        });
        match received {
            Ok(bytes) => {
                let length = bytes.as_bytes().len();
                self.with(py, |state| state.receives_much = length >= MUCH);
                match length {
                    0 => Received::End,
                    _ => Received::Data(bytes),
                }
            }
            Err(error) => Received::from_error(error),
        }
    }

    /// One `recv` straight into the protocol's own buffer.
    fn read_buffered(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(protocol) = this.protocol(py) else {
            return Ok(());
        };
        let any_size = (-1_isize).into_pyobject(py)?;
        let lent = unwind::call_method(&protocol, intern!(py, "get_buffer"), [any_size.as_any()])
            .and_then(|buffer| match buffer.len()? {
                0 => Err(PyRuntimeError::new_err(
                    "get_buffer() returned an empty buffer",
                )),
                _ => Ok(buffer),
            });
        let buffer = match lent {
            Ok(buffer) => buffer,
            Err(error) => {
                return Self::fatal(
                    slf,
                    error,
                    "Fatal error: protocol.get_buffer() call failed.",
                );
            }
        };
        // The protocol may have ended the connection, or lent the descriptor, instead of lending a buffer.
        if this.with(py, |state| state.lifecycle.is_closed()) {
            return Ok(());
        }
        // SAFETY: B7: `live_fd` has just said so: it is asked when nothing that could close it is called any more.
        let recv =
            |fd, memory: &mut [MaybeUninit<u8>]| net::recv_uninit(unsafe { borrow(fd) }, memory);
        let received = match memory::fill_buffer(&buffer, || this.live_fd(py), recv) {
            Ok(Ok(0)) => Received::End,
            Ok(Ok(count)) => Received::Data(count),
            Ok(Err(error)) => Received::from_error(error),
            Err(error) => {
                return Self::fatal(slf, error, "Fatal read error on socket transport");
            }
        };
        match received {
            Received::Data(count) => {
                match unwind::call_method(
                    &protocol,
                    intern!(py, "buffer_updated"),
                    [count.into_pyobject(py)?.as_any()],
                ) {
                    Ok(_) => Ok(()),
                    Err(error) => Self::fatal(
                        slf,
                        error,
                        "Fatal error: protocol.buffer_updated() call failed.",
                    ),
                }
            }
            Received::End => Self::read_end(slf, event_loop),
            Received::Nothing => Ok(()),
            Received::Failed(error) => {
                Self::fatal(slf, os_error(error), "Fatal read error on socket transport")
            }
        }
    }

    /// One `recv` for TLS of ours.
    fn read_tls(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(tls) = this.tls(py) else {
            return Ok(());
        };
        let window = event_loop.get().take_window(py)?;
        let received = match this.live_fd(py) {
            // SAFETY: B7: `live_fd` has just said so.
            Ok(fd) => window
                .get()
                .fill(py, |memory| net::recv_uninit(unsafe { borrow(fd) }, memory)),
            Err(error) => Err(error),
        };
        let received = match received {
            Ok(0) => Received::End,
            Ok(length) => {
                return match TlsProtocol::feed(&tls, event_loop.get(), window, length) {
                    Ok(()) => Ok(()),
                    Err(error) => Self::fatal(
                        slf,
                        error,
                        "Fatal error: protocol.buffer_updated() call failed.",
                    ),
                };
            }
            Err(error) => Received::<()>::from_error(error),
        };
        event_loop.get().put_window(window);
        match received {
            Received::End => Self::read_end(slf, event_loop),
            Received::Failed(error) => {
                Self::fatal(slf, os_error(error), "Fatal read error on socket transport")
            }
            Received::Data(()) | Received::Nothing => Ok(()),
        }
    }

    /// The peer has ended its side: the protocol says whether ours stays open.
    fn read_end(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = slf.py();
        if event_loop.get().debug(py) {
            logger(py)?.call_method1(intern!(py, "debug"), ("%r received EOF", slf))?;
        }
        let Some(protocol) = slf.get().protocol(py) else {
            return Ok(());
        };
        let answer = unwind::call_method(&protocol, intern!(py, "eof_received"), [])
            .and_then(|keep| keep.is_truthy());
        match answer {
            Ok(true) => {
                slf.get().with(py, |state| state.reading = Reading::Ended);
                Self::settle_watch(slf, event_loop)
            }
            Ok(false) => Self::shut(slf),
            Err(error) => Self::fatal(
                slf,
                error,
                "Fatal error: protocol.eof_received() call failed.",
            ),
        }
    }
}
