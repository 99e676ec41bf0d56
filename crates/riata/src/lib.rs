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
//! # What asyncio calls it
//!
//! | asyncio | here |
//! | --- | --- |
//! | `run`, `Runner`, `new_event_loop` | [`run`], [`Runtime`] with its [options](Builder) |
//! | `create_task`, `Task`, `current_task`, `all_tasks` | [`spawn`], [`Task`], [`TaskRef`], [`current_task`], [`all_tasks`] |
//! | `Future` | [`Future`] |
//! | `sleep(seconds)`, `sleep(0)` | [`sleep`], [`sleep_until`], [`yield_now`] |
//! | `timeout`, `timeout_at`, `wait_for` | [`timeout`], [`timeout_at`] |
//! | `gather`, and with `return_exceptions` | [`try_gather`], and [`gather`] |
//! | `wait`, `as_completed`, `shield`, `TaskGroup` | [`wait`], [`as_completed`], [`shield`], [`task_group`] |
//! | `loop.call_soon`, `call_later`, `call_at`, `time` | [`call_soon`], [`call_later`], [`call_at`], [`time`] |
//! | `call_soon_threadsafe`, `run_coroutine_threadsafe` | [`Handle::call_soon_threadsafe`], [`Handle::spawn`] |
//! | `run_in_executor`, `to_thread` | [`run_in_executor`] |
//! | `Lock`, `Event`, `Condition`, `Semaphore`, `Barrier`, queues | the same |
//! | `open_connection`, `start_server`, and for Unix | [`net::TcpStream`], [`net::TcpListener`], [`net::UnixStream`], [`net::UnixListener`] |
//! | `create_datagram_endpoint`, `getaddrinfo` | [`net::UdpSocket`], [`net::UnixDatagram`], [`net::lookup_host`] |
//! | `add_reader`, `add_writer` | [`Source`] |
//! | `add_signal_handler` | [`signal::signal`] |
//! | `create_subprocess_exec`, `create_subprocess_shell` | [`process::Command`] |
//! | `set_exception_handler` | [`set_exception_handler`] |
//! | `except CancelledError`, `raise`, `uncancel` | [`catch_cancel`], [`Cancelled::raise`], [`Task::uncancel`] |
//!
//! # Features
//!
//! None is on by itself.
//!
//! * `hyper`: hyper's client and server run on streams and timers of this crate.
//! * `green`: greenlets, functions with stacks of their own, as gevent has them.
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

/// The program at the top of the README runs as written there.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
