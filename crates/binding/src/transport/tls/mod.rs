//! TLS over any transport: asyncio's `SSLProtocol` and `_SSLProtocolTransport`, native.
//!
//! The cryptography is Python's `ssl`: an `SSLObject` that the program's own `SSLContext` makes, between two `MemoryBIO`s.
//! What is here decides when it is asked, and moves bytes with as few calls as can be:
//!
//! - What arrives goes from the kernel to the incoming `MemoryBIO` and, record by record, into the loop's window; the
//!   protocol gets all of it at once. `ssl` is asked only when a whole record has come (`TlsRecords`).
//! - What a turn writes is encrypted at its end, together, and leaves in one system call. Large writes are encrypted piece
//!   by piece, as the transport below takes them, so that a slow peer costs no second copy.
//!
//! - `protocol`: the object between the two transports, and what it holds; `objects`: what of Python it uses
//! - `handshake`, `incoming`, `outgoing`, `shutdown`: its parts; `ends`: how it is told of the end, and tells of errors
//! - `lower`: the transport below; `flow`: watermarks
//! - `private`: the protocol as the transport below and asyncio's own code see it
//! - `app`: the transport that the program gets

mod app;
mod ends;
mod flow;
mod handshake;
mod incoming;
mod lower;
mod objects;
mod outgoing;
mod private;
mod protocol;
mod shutdown;

pub use app::TlsTransport;
pub use protocol::TlsProtocol;
