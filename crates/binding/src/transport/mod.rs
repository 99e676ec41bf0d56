//! Transports: streams over TCP and Unix sockets (one class for both, connecting and accepted), datagrams, and pipes.
//!
//! - `stream`: the object and what it holds; `life`: how it begins and ends; `watching`: what it waits for
//! - `read`, `write`: what happens when the socket is ready
//! - `surface`: the methods of `asyncio.Transport`
//! - `private`: the private names that asyncio's own code uses (`sslproto`, `sendfile`)
//! - `socket`: who owns the descriptor; `extra`: `get_extra_info`; `address`: addresses as Python shows them
//! - `datagram`: the transport of datagram sockets
//! - `pipe`: the reading and the writing end of pipes; `endpoint` and `shared_surface`: what they and datagram sockets
//!   have in common; `debug_log`: what they log
//! - `flow`: what transports of every kind tell their protocols
//! - `memory`: bytes that Python owns, as the kernel takes and gives them; `window`: bytes of ours that Python's `ssl` uses
//! - `tls`: TLS over any of them
//!
//! The rules of a stream (watermarks, half-close, the order of its end) are the engine's, `riata_engine::stream`.
//! Every order of events is asyncio's `_SelectorSocketTransport`'s, but one: a write is sent at the end of the turn,
//! together with the turn's other writes. Nobody can tell, because whatever could (closing, an end of stream, asking
//! how much waits, a full buffer, a loop that does not run) sends first what waits.

mod address;
mod datagram;
mod debug_log;
mod endpoint;
mod extra;
mod flow;
mod life;
mod memory;
mod pipe;
mod private;
mod read;
mod shared_surface;
mod socket;
mod stream;
mod surface;
mod tls;
mod watching;
mod window;
mod write;

pub use address::{from_python as address_from_python, to_python as address_to_python};
pub use datagram::DatagramTransport;
pub use endpoint::Endpoint;
pub use memory::{copy_bytes, fill_buffer, read_buffer};
pub use pipe::{ReadPipeTransport, WritePipeTransport};
pub use read::Scratch;
pub use socket::{Socket, borrow, check_owner, python_socket};
pub use stream::{Origin, Signal, StreamTransport, logger};
pub use tls::{TlsProtocol, TlsTransport};
pub use window::Window;
