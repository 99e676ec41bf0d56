//! The event loop of riata as a machine.
//!
//! What runs on the loop is a type parameter: the Python binding queues tasks and
//! handles, tests queue numbers. Nothing here knows Python, and nothing here calls back
//! into whoever uses it: every part is a structure that is asked and answers, so that the
//! owner may be suspended, re-entered or replaced between any two calls.
//!
//! One turn of a loop built from these parts:
//!
//! 1. [`driver::Poller::wait`] until a descriptor is ready, the first deadline of
//!    [`Timers`] has come, or [`Remote`] was written to;
//! 2. [`driver::Registry::dispatch`] says whom each event concerns;
//! 3. [`Timers::pop_due`] gives what is due, [`Remote::take`] what other threads sent;
//! 4. [`Ready::begin_batch`], and [`Ready::pop_batch`] until the batch is used up.
//!
//! # Who drops what is queued
//!
//! Dropping a payload may run foreign code (a Python destructor), and that code may come
//! back to the very container it was in. So no method drops a payload while it borrows its
//! container: whatever leaves is returned, and the caller drops it when nothing is
//! borrowed. Only dropping a whole container drops what is still inside; an owner that
//! cares empties it first (`take_all`).

#[cfg(not(target_os = "linux"))]
compile_error!("riata runs on Linux only, so far");

pub mod child;
pub mod clock;
pub mod driver;
pub mod error;
pub mod fork;
pub mod net;
pub mod ready;
pub mod remote;
pub mod stream;
pub mod timers;

pub use clock::{Nanos, monotonic};
pub use error::{Error, Result};
pub use ready::Ready;
pub use remote::{Remote, Sleep};
pub use timers::{TimerKey, Timers};
