//! UDP.

use std::io;
use std::net::{self as std_net, SocketAddr};

use super::datagram::Datagram;
use super::resolve::{ToSocketAddrs, lookup_host};

/// A UDP socket; see [`Datagram`] for what it shares with
/// [`UnixDatagram`](super::UnixDatagram).
///
/// ```
/// use riata::net::UdpSocket;
/// riata::run(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
///     let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
///     client.send_to(b"hello", server.local_addr().unwrap()).await.unwrap();
///     let mut buffer = [0; 64];
///     let (count, from) = server.recv_from(&mut buffer).await.unwrap();
///     assert_eq!((count, from), (5, client.local_addr().unwrap()));
/// });
/// ```
pub type UdpSocket = Datagram<std_net::UdpSocket>;

impl Datagram<std_net::UdpSocket> {
    /// A socket at the first address of `host` that can be had; port 0 lets the kernel choose.
    ///
    /// # Errors
    ///
    /// Those of [`lookup_host`]; what the last address answered to bind(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     assert_ne!(socket.local_addr().unwrap().port(), 0);
    /// });
    /// ```
    pub async fn bind(host: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses = lookup_host(host).await?;
        Self::from_std(std_net::UdpSocket::bind(addresses.as_slice())?)
    }

    /// Makes the first usable address of `host` the one that messages go to and come from.
    ///
    /// # Errors
    ///
    /// Those of [`lookup_host`]; what the last address answered to connect(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     client.connect(server.local_addr().unwrap()).await.unwrap();
    ///     client.send(b"hello").await.unwrap();
    ///     assert_eq!(server.recv(&mut [0; 64]).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn connect(&self, host: impl ToSocketAddrs) -> io::Result<()> {
        let addresses = lookup_host(host).await?;
        self.source().io().connect(addresses.as_slice())
    }

    /// Takes over a socket of std's, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2) and of [`Source::new`](crate::Source::new).
    ///
    /// ```
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    /// riata::run(async { riata::net::UdpSocket::from_std(socket).unwrap() });
    /// ```
    pub fn from_std(socket: std_net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::over(socket)
    }

    /// Gives the socket back as std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     let _socket: std::net::UdpSocket = socket.into_std().unwrap();
    /// });
    /// ```
    pub fn into_std(self) -> io::Result<std_net::UdpSocket> {
        let socket = self.into_source().into_io();
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    /// Sends a message to the first address of `host`, and says how many bytes it has.
    ///
    /// # Errors
    ///
    /// Those of [`lookup_host`] and of sendto(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     let here = socket.local_addr().unwrap();
    ///     assert_eq!(socket.send_to(b"to myself", here).await.unwrap(), 9);
    /// });
    /// ```
    pub async fn send_to(&self, message: &[u8], host: impl ToSocketAddrs) -> io::Result<usize> {
        let addresses = lookup_host(host).await?;
        let Some(to) = addresses.first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let send = |socket: &std_net::UdpSocket| socket.send_to(message, to);
        self.source().write_with(send).await
    }

    /// Receives a message, and says how many bytes are in `buffer` and whence they came.
    ///
    /// # Errors
    ///
    /// Those of recvfrom(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     let here = socket.local_addr().unwrap();
    ///     socket.send_to(b"to myself", here).await.unwrap();
    ///     assert_eq!(socket.recv_from(&mut [0; 64]).await.unwrap(), (9, here));
    /// });
    /// ```
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |socket: &std_net::UdpSocket| socket.recv_from(buffer);
        self.source().read_with(receive).await
    }

    /// As [`recv_from`](Self::recv_from), and leaves the message to be received again.
    ///
    /// # Errors
    ///
    /// Those of recvfrom(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     let here = socket.local_addr().unwrap();
    ///     socket.send_to(b"to myself", here).await.unwrap();
    ///     assert_eq!(socket.peek_from(&mut [0; 64]).await.unwrap(), (9, here));
    ///     assert_eq!(socket.recv(&mut [0; 64]).await.unwrap(), 9);
    /// });
    /// ```
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let peek = |socket: &std_net::UdpSocket| socket.peek_from(buffer);
        self.source().read_with(peek).await
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     assert!(socket.local_addr().unwrap().ip().is_loopback());
    /// });
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().local_addr()
    }

    /// The address this is connected to.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2): `NotConnected`.
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     assert!(socket.peer_addr().is_err());
    /// });
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().peer_addr()
    }

    /// Whether messages may go to a broadcast address (SO_BROADCAST).
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    ///
    /// ```
    /// use riata::net::UdpSocket;
    /// riata::run(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    ///     socket.set_broadcast(true).unwrap();
    /// });
    /// ```
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.source().io().set_broadcast(broadcast)
    }
}
