//! No signal is missed between Python's last look at its flags and the poll.
//!
//! While a loop runs in the main thread Python's wakeup descriptor is the end of a pipe that the poll watches, as asyncio's
//! loops have it: a signal that came before the poll began ends it at once. A descriptor that the program has put there
//! stays, and gets its signals. (To put it there for each poll costs a tenth of a round trip through a pair of sockets:
//! CPython asks the kernel what it is.)

#![allow(unsafe_code)]

use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use riata_engine::error::Error;
use riata_engine::net;

/// `_signal.set_wakeup_fd`, which is more than `signal` may be by now, and `warn_on_full_buffer=False`. (The function
/// below it, `PySignal_SetWakeupFd`, is hidden before Python 3.13.)
static SET: PyOnceLock<(Py<PyAny>, Py<PyDict>)> = PyOnceLock::new();

/// Puts `fd` there; what was there before, -1 for none.
///
/// # Errors
/// ValueError in a subinterpreter, or when `fd` is closed by now.
fn set_wakeup_fd(py: Python<'_>, fd: RawFd) -> PyResult<RawFd> {
    let (set, options) = SET.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item("warn_on_full_buffer", false)?;
        let set = py.import("_signal")?.getattr("set_wakeup_fd")?;
        PyResult::Ok((set.unbind(), options.unbind()))
    })?;
    set.bind(py).call((fd,), Some(options.bind(py)))?.extract()
}

/// The pipe.
pub struct Wakeup {
    reader: PipeReader,
    writer: PipeWriter,
    /// A signal came, and nobody has looked yet whose handler is to be called.
    rang: AtomicBool,
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
        Ok(Self {
            reader,
            writer,
            rang: AtomicBool::new(false),
        })
    }

    /// What the poll watches.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Forgets what was written.
    pub fn drain(&self) {
        self.rang.store(true, Ordering::Relaxed);
        let mut numbers = [0; 64];
        // An error says that it is empty.
        while net::read(&self.reader, &mut numbers).is_ok_and(|count| count == numbers.len()) {}
    }

    /// Whether a signal came since the last `attend`.
    pub fn rang(&self) -> bool {
        self.rang.load(Ordering::Relaxed)
    }

    /// Handlers are about to be called; whether a signal came since the last time.
    pub fn attend(&self) -> bool {
        self.rang.swap(false, Ordering::Relaxed)
    }

    /// Makes it Python's wakeup descriptor, if there is none; whether it did.
    pub fn arm(&self, py: Python<'_>) -> bool {
        match set_wakeup_fd(py, self.writer.as_raw_fd()) {
            Ok(before) if before == -1 || before == self.writer.as_raw_fd() => {
                self.note(py, "add");
                true
            }
            Ok(before) => {
                self.put_back(py, before);
                false
            }
            Err(_) => false,
        }
    }

    /// Takes it away again, unless the program has put another in its place.
    pub fn disarm(&self, py: Python<'_>) {
        self.note(py, "discard");
        match set_wakeup_fd(py, -1) {
            Ok(current) if current != self.writer.as_raw_fd() => self.put_back(py, current),
            _ => {}
        }
    }

    /// In a forked child those that are noted are taken away: its signals are not its parent's.
    fn note(&self, py: Python<'_>, how: &str) {
        let noted = py
            .import("riata._loop")
            .and_then(|module| module.getattr("_wakeup_fds"))
            .and_then(|fds| fds.call_method1(how, (self.writer.as_raw_fd(),)));
        // Without the note a child's signals wake its parent, for nothing.
        drop(noted);
    }

    /// A descriptor that the program has closed meanwhile stays out.
    fn put_back(&self, py: Python<'_>, fd: RawFd) {
        if set_wakeup_fd(py, fd).is_err() {
            let _ = set_wakeup_fd(py, -1);
        }
    }
}

/// Whether the calling thread is the process's first, which is the one that runs Python's signal handlers.
pub fn is_first_thread() -> bool {
    // SAFETY: no arguments, no state.
    unsafe { libc::gettid() == libc::getpid() }
}
