//! asyncio's streams, native where bytes go through: `StreamReader`, what `StreamWriter` writes and drains, and what
//! `StreamReaderProtocol` hands over.
//!
//! As locks do, each class stands in front of asyncio's own, which does the rest. One file a subject:
//!
//! - `buffer`: bytes that have arrived
//! - `reader`: `StreamReader`; `reads`: its coroutines
//! - `writer`, `protocol`: the other two classes
//! - `method`: the coroutine methods of all, and how they get into their classes

mod buffer;
pub mod method;
pub mod protocol;
pub mod reader;
pub mod reads;
pub mod writer;
