//! What tasks of one loop wait for each other with. Nothing here may leave its thread.
//!
//! All of it is fair: who waits longest is next, and is given what it waits for there and
//! then, so that nobody else can take it in between. A waiter that is dropped after it was
//! given something passes it on.

mod barrier;
mod condition;
mod event;
mod lock;
mod permits;
mod queue;
mod queue_kinds;
mod semaphore;
mod waiters;

pub use barrier::{Barrier, BrokenBarrier};
pub use condition::Condition;
pub use event::Event;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use queue::{GetError, Items, OpenQueue, PutError, QueueShutDown, TaskDoneTooOften};
pub use queue_kinds::{LifoQueue, PriorityQueue, Queue};
pub use semaphore::{BoundedSemaphore, OwnedPermit, Permit, ReleasedTooOften, Semaphore};
pub(crate) use waiters::{Place, Service, Waiters};
