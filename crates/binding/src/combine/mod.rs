//! asyncio's building blocks, native: what makes tasks wait for each other and for time.
//!
//! One file a function or class of asyncio's, and what they share:
//!
//! - `coroutine`, `body`, `function`: native coroutines, and the coroutine functions that make them
//! - `delegate`: `await` inside one
//! - `place`, `waits`: methods of objects that wait in a line
//! - `any_future`: futures of any kind
//! - `observer`, `alarm`: who hears of a future that is done, and of a time that has come
//! - `running`: which loop and which task
//! - `limit`: the limit of `gather` and `as_completed`, beyond asyncio

pub mod alarm;
pub mod any_future;
pub mod as_completed;
pub mod body;
pub mod coroutine;
pub mod delegate;
pub mod ensure_future;
pub mod function;
pub mod gather;
pub mod limit;
pub mod observer;
pub mod place;
pub mod running;
pub mod shield;
pub mod sleep;
pub mod task_group;
pub mod task_group_create;
pub mod task_group_exit;
pub mod timeout;
pub mod wait;
pub mod wait_for;
pub mod waits;
pub mod wrap_future;

pub use alarm::{Alarm, AlarmBell};
pub use as_completed::AsCompleted;
pub use coroutine::Coroutine;
pub use gather::GatheringFuture;
pub use observer::{Observation, Observer};
pub use shield::Shield;
pub use task_group::TaskGroup;
pub use timeout::Timeout;
pub use wait::Countdown;
pub use wrap_future::{Link, Submission};
