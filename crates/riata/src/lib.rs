//! asyncio's nouns and verbs for Rust futures.
//!
//! ```
//! use std::time::Duration;
//!
//! let greeting = riata::run(async {
//!     let task = riata::spawn(async {
//!         riata::sleep(Duration::from_millis(1)).await;
//!         "hello"
//!     });
//!     task.await
//! });
//! assert_eq!(greeting.unwrap(), "hello");
//! ```
//!
//! # One loop a thread
//!
//! [`run`] runs a loop on the calling thread until its future is done. Everything spawned
//! with [`spawn`] runs on that thread too, so futures need not be `Send`, and between two
//! `.await`s nothing else runs. Other threads reach a loop through its [`Handle`]; wakers
//! may go anywhere.
//!
//! # What cancelling means
//!
//! asyncio throws `CancelledError` into a coroutine; a Rust future can only be dropped.
//! [`Task::cancel`] therefore drops the task's future where it waits, at the task's next
//! turn, and awaiting the task gives [`TaskError::Cancelled`]. Destructors are the
//! `finally`. What must outlive the cancellation goes into [`shield`]; what asyncio writes as
//! `except CancelledError` is [`catch_cancel`]. A task that the cancelled one was awaiting is
//! cancelled with it, as in asyncio; a [`Task`] that is merely dropped goes on by itself.
//!
//! # Who runs the futures
//!
//! Everything here reaches "the loop of this thread" through one trait, [`host::Host`].
//! [`Runtime`] implements it; another loop that does can run these futures as well.

// Under loom only single files are built, by the tests that name them.
#![cfg(not(loom))]

mod call;
mod combine;
mod context;
mod error;
mod exception;
mod future;
#[cfg(feature = "green")]
pub mod green;
mod handle;
pub mod host;
#[cfg(feature = "hyper")]
pub mod hyper;
pub mod net;
mod panic;
pub mod process;
mod registry;
mod runtime;
pub mod signal;
mod sleep;
mod source;
mod sync;
mod task;
mod threads;
mod time;

pub use call::{CallHandle, call_at, call_later, call_soon};
pub use combine::{
    AsCompleted, Elapsed, GroupError, Shield, TaskGroup, Wait, Waited, as_completed, gather,
    shield, task_group, timeout, timeout_at, try_gather, wait,
};
pub use error::{Cancelled, LoopClosed, RunError, TaskError};
pub use exception::{
    ExceptionContext, ExceptionHandler, call_exception_handler, default_exception_handler,
    exception_handler, set_exception_handler,
};
pub use future::{Future, FutureError, InvalidState};
pub use handle::Handle;
pub use panic::Panic;
pub use riata_engine::driver::{Interest, Readiness};
pub use runtime::{Builder, Runtime, run};
pub use sleep::{Sleep, YieldNow, sleep, sleep_until, yield_now};
pub use source::{Source, Waiting};
pub use sync::{
    Barrier, BoundedSemaphore, BrokenBarrier, Condition, Event, GetError, Items, LifoQueue, Lock,
    LockGuard, OpenQueue, OwnedLockGuard, OwnedPermit, Permit, PriorityQueue, PutError, Queue,
    QueueShutDown, ReleasedTooOften, Semaphore, TaskDoneTooOften,
};
pub use task::{CatchCancel, Raise, Task, TaskRef, all_tasks, catch_cancel, current_task, spawn};
pub use threads::{Executed, RemoteTask, run_in_executor};
pub use time::{Time, time};
