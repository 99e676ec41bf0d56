//! Pipe transports: the reading and the writing end of FIFOs, sockets and character devices.
//!
//! - `shared`: what both ends have: who owns the descriptor, what the loop knows, how it ends
//! - `read`, `write`: the two classes
//!
//! The descriptor belongs to the object that the program handed in, whose `close()` is called once, after
//! `connection_lost`. Every order of events is that of asyncio's `_UnixReadPipeTransport` and
//! `_UnixWritePipeTransport`; a write leaves at once, as theirs do. `connection_lost` is called once, where theirs
//! could call it twice (`close()` followed by `abort()`).

mod read;
mod shared;
mod write;

pub use read::ReadPipeTransport;
pub use shared::PipeEnd;
pub use write::WritePipeTransport;
