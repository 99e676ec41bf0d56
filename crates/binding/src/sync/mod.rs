//! Locks and queues: asyncio's, native.
//!
//! Each class here is the first base of one of `riata`'s Python classes, whose second base is asyncio's own: so
//! `isinstance` holds, and what is not native (texts, `__class_getitem__`) is asyncio's. One file a subject:
//!
//! - `lock`, `event`, `condition`, `semaphore`, `queue`: the classes
//! - `method`, `step`: their coroutine methods, and what those do
//! - `line`: who waits
//! - `items`, `count`: what is in a queue, what a semaphore counts
//! - `attributes`: private ones that they have in common
//! - `bound`: to which loop they belong
//! - `overrides`: what Python subclasses have of their own

mod attributes;
mod bound;
pub mod condition;
mod count;
pub mod event;
mod items;
mod line;
pub mod lock;
pub mod method;
pub mod overrides;
pub mod queue;
pub mod semaphore;
pub mod step;
