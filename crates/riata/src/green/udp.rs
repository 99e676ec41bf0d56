//! UDP sockets that look as if they blocked, as [`net`](super::net) has TCP's.

use std::cell::Cell;
use std::io;
use std::net::{self as std_net, SocketAddr};
use std::time::Duration;

use super::net::block_on;
use crate::net::{self, ToSocketAddrs};

/// A UDP socket, as [`std::net::UdpSocket`], that stops the greenlet and not the thread.
///
/// ```
/// use riata::green::{self, UdpSocket};
/// green::run(|| {
///     let server = UdpSocket::bind("127.0.0.1:0").unwrap();
///     let there = server.local_addr().unwrap();
///     let answering = green::spawn(move || {
///         let mut buffer = [0; 64];
///         let (count, peer) = server.recv_from(&mut buffer).unwrap();
///         server.send_to(&buffer[..count], peer).unwrap();
///     });
///     let client = UdpSocket::bind("127.0.0.1:0").unwrap();
///     client.send_to(b"hello", there).unwrap();
///     assert_eq!(client.recv_from(&mut [0; 64]).unwrap(), (5, there));
///     answering.get().unwrap();
/// });
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    socket: net::UdpSocket,
    read_timeout: Cell<Option<Duration>>,
}

impl From<net::UdpSocket> for UdpSocket {
    /// What a future has made, for a greenlet of the same loop.
    fn from(socket: net::UdpSocket) -> Self {
        Self {
            socket,
            read_timeout: Cell::new(None),
        }
    }
}

impl UdpSocket {
    /// A socket at an address; port 0: one that is free. A name is looked up on another thread.
    ///
    /// # Errors
    ///
    /// What the look-up says; those of bind(2).
    ///
    /// # Panics
    ///
    /// Outside a greenlet.
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| assert_ne!(UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(), 0));
    /// ```
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        block_on(None, net::UdpSocket::bind(address)).map(Self::from)
    }

    /// Makes a socket of one of std's, which becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Those of fcntl(2); as [`Source::new`](crate::Source::new).
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    /// riata::green::run(|| drop(riata::green::UdpSocket::from_std(socket).unwrap()));
    /// ```
    #[track_caller]
    pub fn from_std(socket: std_net::UdpSocket) -> io::Result<Self> {
        net::UdpSocket::from_std(socket).map(Self::from)
    }

    /// The socket itself, for its options. It is non-blocking.
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| UdpSocket::bind("127.0.0.1:0").unwrap().socket().set_broadcast(true).unwrap());
    /// ```
    pub fn socket(&self) -> &std_net::UdpSocket {
        self.socket.source().io()
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// From now on [`send`](Self::send) goes there, and only what comes from there is received.
    ///
    /// # Errors
    ///
    /// What the look-up says; those of connect(2).
    ///
    /// # Panics
    ///
    /// Outside a greenlet.
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    ///     socket.connect(socket.local_addr().unwrap()).unwrap();
    ///     socket.send(b"to myself").unwrap();
    ///     assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 9);
    /// });
    /// ```
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        block_on(None, self.socket.connect(address))
    }

    /// Sends a message to whom this is connected to, and says how many bytes that was.
    ///
    /// # Errors
    ///
    /// Those of send(2).
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    ///     assert!(socket.send(b"to whom?").is_err());
    /// });
    /// ```
    pub fn send(&self, message: &[u8]) -> io::Result<usize> {
        block_on(None, self.socket.send(message))
    }

    /// Receives a message, and says how many bytes are in `buffer`.
    ///
    /// # Errors
    ///
    /// Those of recv(2); [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    ///     socket.send_to(b"to myself", socket.local_addr().unwrap()).unwrap();
    ///     assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 9);
    /// });
    /// ```
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        block_on(self.read_timeout.get(), self.socket.recv(buffer))
    }

    /// Sends a message to an address, and says how many bytes that was.
    ///
    /// # Errors
    ///
    /// What the look-up says; those of sendto(2).
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    ///     assert_eq!(socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap(), 5);
    /// });
    /// ```
    pub fn send_to(&self, message: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        block_on(None, self.socket.send_to(message, address))
    }

    /// Receives a message, and says how many bytes are in `buffer` and whence they came.
    ///
    /// # Errors
    ///
    /// Those of recvfrom(2); [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    ///     let here = socket.local_addr().unwrap();
    ///     socket.send_to(b"to myself", here).unwrap();
    ///     assert_eq!(socket.recv_from(&mut [0; 64]).unwrap(), (9, here));
    /// });
    /// ```
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        block_on(self.read_timeout.get(), self.socket.recv_from(buffer))
    }

    /// Sets how long a receive may stop the greenlet before it gives
    /// [`TimedOut`](io::ErrorKind::TimedOut); `None`, as at first: for ever.
    ///
    /// ```
    /// use riata::green::{self, UdpSocket};
    /// green::run(|| {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    ///     socket.set_read_timeout(Some(std::time::Duration::from_millis(1)));
    ///     let error = socket.recv(&mut [0; 8]).unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// });
    /// ```
    pub fn set_read_timeout(&self, limit: Option<Duration>) {
        self.read_timeout.set(limit);
    }
}
