//! Futures made of futures and tasks.

mod as_completed;
mod gather;
mod group;
mod shield;
mod timeout;
mod wait;

pub use as_completed::{AsCompleted, as_completed};
pub use gather::{gather, try_gather};
pub use group::{GroupError, TaskGroup, task_group};
pub use shield::{Shield, shield};
pub use timeout::{Elapsed, timeout, timeout_at};
pub use wait::{Wait, Waited, wait};

use crate::error::TaskError;

/// What a task that was spawned for its awaiter gives it: a panic goes on there, and a
/// cancellation ends it too.
async fn inherit<T>(result: Result<T, TaskError>) -> T {
    match result {
        Ok(output) => output,
        Err(TaskError::Panicked(panic)) => panic.resume(),
        Err(TaskError::Cancelled(cancelled)) => cancelled.raise().await,
        // That is said of a call for a thread, and never of a task.
        Err(error @ TaskError::NotStarted(_)) => panic!("{error}"),
    }
}
