//! gevent's loop: the interface that gevent asks of a loop, with libev's semantics, on the same engine as asyncio's.
//!
//! - `hub_loop`: `GreenLoop`, its state and what counts as alive; `surface`: what Python sees of it
//! - `pump`: one iteration, in libev's order; `run`
//! - `direct`: greenlets that are woken without the hub; `greenlets`: greenlet's C API
//! - `guests`: asyncio's loops of the same thread, which run in turn
//! - `callback`: what `run_callback` returns
//! - `alarm`: a watcher among the engine's timers
//! - `watcher`: what all watchers have; `io`, `timer`, `signal`, `child`, `stat`, `turn` (idle, prepare, check, fork,
//!   async): what each kind has
//! - `wakeup`: no signal is missed between Python's last look at its flags and the poll
//!
//! A `GreenLoop` stands on an `EventLoop` that nobody else sees: its ready queue holds gevent's callbacks, its timers and
//! its registry gevent's watchers, each as a kind of `Work`, `Timer` and `Watcher` beside asyncio's. What is gevent's own
//! is the order in which an iteration uses them, and the watchers that have fired and wait for their turn, by priority.
//!
//! A callback is usually a switch to another greenlet, which takes this stack away for a while, perhaps for ever. So how
//! far an iteration has come stands in the loop, and nothing is borrowed across a call.

mod alarm;
pub mod callback;
pub mod child;
pub mod direct;
pub mod greenlets;
mod guests;
pub mod hub_loop;
pub mod io;
mod pump;
pub mod signal;
pub mod stat;
pub mod surface;
pub mod timer;
pub mod turn;
mod wakeup;
pub mod watcher;

pub use hub_loop::GreenLoop;
pub use wakeup::Wakeup;

use pyo3::prelude::*;

/// What has happened, by libev's bits.
pub mod events {
    /// A descriptor can be read.
    pub const READ: u32 = 0x01;
    /// A descriptor can be written.
    pub const WRITE: u32 = 0x02;
    /// libev's own mark on the events of an io watcher; accepted, and without meaning here.
    pub const IOFDSET: u32 = 0x80;
    /// A timer is due.
    pub const TIMER: u32 = 0x100;
    /// A signal came.
    pub const SIGNAL: u32 = 0x400;
    /// A child process ended.
    pub const CHILD: u32 = 0x800;
    /// A file changed.
    pub const STAT: u32 = 0x1000;
    /// Nothing else was to be done.
    pub const IDLE: u32 = 0x2000;
    /// The loop is about to poll.
    pub const PREPARE: u32 = 0x4000;
    /// The loop has polled.
    pub const CHECK: u32 = 0x8000;
    /// The process has forked.
    pub const FORK: u32 = 0x2_0000;
    /// `send` was called.
    pub const ASYNC: u32 = 0x8_0000;
}

/// The placeholder among a watcher's arguments in whose place the events are given: `gevent.core.EVENTS`.
#[pyclass(frozen, name = "_EVENTSType", module = "gevent.core")]
pub struct EventsPlaceholder;

#[pymethods]
impl EventsPlaceholder {
    fn __repr__(&self) -> &'static str {
        "gevent.core.EVENTS"
    }
}

/// The one placeholder.
///
/// # Errors
/// MemoryError.
pub fn placeholder(py: Python<'_>) -> PyResult<&'static Py<EventsPlaceholder>> {
    static PLACEHOLDER: pyo3::sync::PyOnceLock<Py<EventsPlaceholder>> =
        pyo3::sync::PyOnceLock::new();
    PLACEHOLDER.get_or_try_init(py, || Py::new(py, EventsPlaceholder))
}
