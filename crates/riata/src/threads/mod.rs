//! Work that goes to other threads and comes back, and work that comes from them.

mod executor;
mod pool;
mod remote_task;
mod shot;

pub use executor::{Executed, run_in_executor};
pub(crate) use pool::Pool;
pub use remote_task::RemoteTask;
pub(crate) use shot::Sender;
