//! A byte stream's rules, without a socket, a clock or any I/O.
//!
//! A transport owns one of each: what is still to be written ([`WriteBuffer`]), when its
//! writer must pause ([`Watermarks`]) and in which order it ends ([`Lifecycle`]). The
//! rules are asyncio's; each names the CPython function it follows. Under TLS there is one
//! more: where records end ([`TlsRecords`]).

mod lifecycle;
mod tls_records;
mod watermarks;
mod write_buffer;

pub use lifecycle::{Abort, Admission, Close, Drained, Lifecycle, Lost, WriteEof};
pub use tls_records::TlsRecords;
pub use watermarks::{Flow, LimitsError, Watermarks};
pub use write_buffer::WriteBuffer;
