//! Sockets that carry messages: what UDP and Unix have in common.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use riata_engine::net;

use crate::source::{Source, Waiting};

/// A socket of messages: [`UdpSocket`](super::UdpSocket) or
/// [`UnixDatagram`](super::UnixDatagram).
///
/// Any number of tasks may send and receive at once. Each call moves one whole message, or
/// none if its future is dropped. What does not fit into a buffer that receives is lost.
///
/// ```
/// use riata::net::UnixDatagram;
/// riata::run(async {
///     let (near, far) = UnixDatagram::pair().unwrap();
///     near.send(b"one").await.unwrap();
///     near.send(b"two").await.unwrap();
///     let mut buffer = [0; 64];
///     assert_eq!(far.recv(&mut buffer).await.unwrap(), 3);
///     assert_eq!(&buffer[..3], b"one");
/// });
/// ```
pub struct Datagram<S: AsFd> {
    source: Source<S>,
}

impl<S: AsFd> Datagram<S> {
    /// Over a socket that is in non-blocking mode already.
    pub(super) fn over(socket: S) -> io::Result<Self> {
        Ok(Self {
            source: Source::new(socket)?,
        })
    }

    pub(super) fn into_source(self) -> Source<S> {
        self.source
    }

    /// The source beneath: std's socket, with all its options, is its
    /// [`io`](crate::Source::io).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     socket.source().io().set_multicast_ttl_v4(4).unwrap();
    /// });
    /// ```
    pub fn source(&self) -> &Source<S> {
        &self.source
    }

    /// Sends a message to the address this is connected to, and says how many bytes it has.
    ///
    /// # Errors
    ///
    /// Those of send(2): ENOTCONN or EDESTADDRREQ if this is not connected, EMSGSIZE; for UDP
    /// also that an earlier message was refused.
    ///
    /// ```
    /// # use riata::net::UnixDatagram;
    /// riata::run(async {
    ///     let (near, _far) = UnixDatagram::pair().unwrap();
    ///     assert_eq!(near.send(b"hello").await.unwrap(), 5);
    /// });
    /// ```
    pub async fn send(&self, message: &[u8]) -> io::Result<usize> {
        let send = |socket| Ok(net::send(socket, message)?);
        self.source.write_with(send).await
    }

    /// Receives a message into `buffer` and says how many bytes of it are there.
    ///
    /// # Errors
    ///
    /// Those of recv(2): for connected UDP also that a message was refused.
    ///
    /// ```
    /// # use riata::net::UnixDatagram;
    /// riata::run(async {
    ///     let (near, far) = UnixDatagram::pair().unwrap();
    ///     near.send(b"hello").await.unwrap();
    ///     assert_eq!(far.recv(&mut [0; 64]).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let receive = |socket| Ok(net::recv(socket, buffer)?);
        self.source.read_with(receive).await
    }

    /// Waits until there is a message, or an error to be told.
    ///
    /// # Errors
    ///
    /// What the kernel says when asked to watch.
    ///
    /// ```
    /// # use riata::net::UnixDatagram;
    /// riata::run(async {
    ///     let (near, far) = UnixDatagram::pair().unwrap();
    ///     near.send(b"hello").await.unwrap();
    ///     far.readable().await.unwrap();
    /// });
    /// ```
    pub fn readable(&self) -> Waiting<'_> {
        self.source.readable()
    }

    /// Waits until there is room to send.
    ///
    /// # Errors
    ///
    /// What the kernel says when asked to watch.
    ///
    /// ```
    /// # use riata::net::UnixDatagram;
    /// riata::run(async {
    ///     let (near, _far) = UnixDatagram::pair().unwrap();
    ///     near.writable().await.unwrap();
    /// });
    /// ```
    pub fn writable(&self) -> Waiting<'_> {
        self.source.writable()
    }
}

impl<S: AsFd> AsFd for Datagram<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.io().as_fd()
    }
}

impl<S: AsFd> AsRawFd for Datagram<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<S: AsFd + fmt::Debug> fmt::Debug for Datagram<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Datagram").field(self.source.io()).finish()
    }
}
