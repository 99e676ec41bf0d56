//! No signal is missed between Python's last look at its flags and the poll.
//!
//! Around a poll that may block Python's wakeup descriptor is the end of a pipe that the poll watches: a signal that came
//! before the poll began ends it at once. A descriptor that the program has put there stays, and gets its signals.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, RawFd};

use pyo3::prelude::*;
use riata_engine::error::Error;
use riata_engine::net;

unsafe extern "C" {
    /// `Include/cpython/pyerrors.h`; PyO3 does not declare it.
    fn PySignal_SetWakeupFd(fd: c_int) -> c_int;
}

/// The pipe.
pub struct Wakeup {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Wakeup {
    /// A new pipe, neither end of which blocks.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn new() -> Result<Self, Error> {
        let (reader, writer) = std::io::pipe().map_err(|error| Error {
            call: "pipe2",
            errno: error.raw_os_error().unwrap_or(libc::EMFILE),
        })?;
        net::set_nonblocking(&reader)?;
        net::set_nonblocking(&writer)?;
        Ok(Self { reader, writer })
    }

    /// What the poll watches.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Forgets what was written.
    pub fn drain(&self) {
        let mut numbers = [0; 64];
        // An error says that it is empty.
        while net::read(&self.reader, &mut numbers).is_ok_and(|count| count == numbers.len()) {}
    }

    /// Makes it Python's wakeup descriptor, if there is none; whether it did.
    pub fn arm(&self, _py: Python<'_>) -> bool {
        // SAFETY: B4: the GIL is held; any number may be given, and this one is open.
        unsafe {
            let before = PySignal_SetWakeupFd(self.writer.as_raw_fd());
            if before != -1 && before != self.writer.as_raw_fd() {
                PySignal_SetWakeupFd(before);
                return false;
            }
        }
        true
    }

    /// Takes it away again, unless the program has put another in its place.
    pub fn disarm(&self, _py: Python<'_>) {
        // SAFETY: B4: as above.
        unsafe {
            let current = PySignal_SetWakeupFd(-1);
            if current != self.writer.as_raw_fd() {
                PySignal_SetWakeupFd(current);
            }
        }
    }
}

/// Whether the calling thread is the process's first, which is the one that runs Python's signal handlers.
pub fn is_first_thread() -> bool {
    // SAFETY: no arguments, no state.
    unsafe { libc::gettid() == libc::getpid() }
}
