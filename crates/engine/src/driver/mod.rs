//! How the loop learns that a file descriptor can be read from or written to.
//!
//! [`Poller`] is the kernel's side: one epoll instance, waited on. [`Registry`] is ours:
//! who watches which descriptor for what. They are two so that nothing is borrowed
//! mutably while a poll blocks: another thread, or a greenlet, may register meanwhile.

mod events;
mod interest;
mod readiness;
mod registry;
mod table;

pub use events::{Events, Token};
pub use interest::{Interest, Readiness};
pub use readiness::{Poller, check_open};
pub use registry::{Dispatch, Registry, Rejected};
pub use table::WatchKey;
