//! Sockets and pipes: the system calls that move bytes.
//!
//! Every call is one system call and returns what the kernel said. Sending and receiving never
//! block, whatever the descriptor is set to (MSG_DONTWAIT); the rest does not, provided that the
//! descriptor is non-blocking (what [`accept`] returns is). EAGAIN comes back as an
//! [`Error`](crate::Error) with [`is_would_block`](crate::Error::is_would_block).
//!
//! Descriptors are borrowed. Where two crates share a process the borrow is only a
//! promise: Python code may close a socket that a transport still uses, and then the
//! kernel says EBADF, or serves the file that has the number now.

mod address;
mod datagram;
mod pipe;
mod socket;

pub use address::{SocketAddr, UnixAddr};
pub use datagram::{Datagram, Datagrams, MAX_BATCH, MAX_UDP, recv_from_uninit, recv_many, send_to};
pub use pipe::{PipeKind, kind, read, read_uninit, set_nonblocking, write, write_vectored};
pub use socket::{
    accept, begin_connect, connect, local_addr, peer_addr, recv, recv_uninit, send, send_vectored,
    set_nodelay, shutdown_write, stream_socket, take_error,
};

/// Slices the kernel takes in one vectored call (UIO_MAXIOV); more are left for the next.
pub const MAX_SLICES: usize = 1024;
