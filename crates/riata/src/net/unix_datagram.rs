//! Unix domain sockets that carry messages.

use std::io;
use std::os::unix::net::{self as std_unix, SocketAddr};
use std::path::Path;

use super::datagram::Datagram;

/// A Unix domain socket of messages; see [`Datagram`].
///
/// ```
/// use riata::net::UnixDatagram;
/// riata::run(async {
///     let (near, far) = UnixDatagram::pair().unwrap();
///     near.send(b"hello").await.unwrap();
///     assert_eq!(far.recv(&mut [0; 64]).await.unwrap(), 5);
/// });
/// ```
pub type UnixDatagram = Datagram<std_unix::UnixDatagram>;

impl Datagram<std_unix::UnixDatagram> {
    /// A socket at `path`, where nothing may be yet. Dropping it leaves the path.
    ///
    /// # Errors
    ///
    /// Those of bind(2).
    ///
    /// ```
    /// use riata::net::UnixDatagram;
    /// let path = std::env::temp_dir().join(format!("riata-datagram-{}", std::process::id()));
    /// riata::run(async {
    ///     let server = UnixDatagram::bind(&path).unwrap();
    ///     let client = UnixDatagram::unbound().unwrap();
    ///     client.send_to(b"hello", &path).await.unwrap();
    ///     let (count, from) = server.recv_from(&mut [0; 64]).await.unwrap();
    ///     assert!(count == 5 && from.is_unnamed());
    /// });
    /// std::fs::remove_file(path).unwrap();
    /// ```
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(std_unix::UnixDatagram::bind(path)?)
    }

    /// A socket that has no address.
    ///
    /// # Errors
    ///
    /// Those of socket(2).
    ///
    /// ```
    /// riata::run(async { riata::net::UnixDatagram::unbound().unwrap() });
    /// ```
    pub fn unbound() -> io::Result<Self> {
        Self::from_std(std_unix::UnixDatagram::unbound()?)
    }

    /// Two sockets connected to each other.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2).
    ///
    /// ```
    /// riata::run(async { riata::net::UnixDatagram::pair().unwrap() });
    /// ```
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = std_unix::UnixDatagram::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Makes the socket at `path` the one that messages go to and come from.
    ///
    /// # Errors
    ///
    /// Those of connect(2).
    ///
    /// ```
    /// riata::run(async {
    ///     let socket = riata::net::UnixDatagram::unbound().unwrap();
    ///     assert!(socket.connect("/nobody/is/here").is_err());
    /// });
    /// ```
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.source().io().connect(path)
    }

    /// Takes over a socket of std's, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2) and of [`Source::new`](crate::Source::new).
    ///
    /// ```
    /// let (near, _far) = std::os::unix::net::UnixDatagram::pair().unwrap();
    /// riata::run(async { riata::net::UnixDatagram::from_std(near).unwrap() });
    /// ```
    pub fn from_std(socket: std_unix::UnixDatagram) -> io::Result<Self> {
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
    /// riata::run(async {
    ///     let (near, _far) = riata::net::UnixDatagram::pair().unwrap();
    ///     near.into_std().unwrap();
    /// });
    /// ```
    pub fn into_std(self) -> io::Result<std_unix::UnixDatagram> {
        let socket = self.into_source().into_io();
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    /// Sends a message to the socket at `path`, waiting until it has room there, and says how
    /// many bytes it has.
    ///
    /// # Errors
    ///
    /// Those of sendto(2).
    ///
    /// ```
    /// riata::run(async {
    ///     let socket = riata::net::UnixDatagram::unbound().unwrap();
    ///     let error = socket.send_to(b"hello", "/nobody/is/here").await.unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// });
    /// ```
    pub async fn send_to(&self, message: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        let send = |socket: &std_unix::UnixDatagram| socket.send_to(message, path);
        self.source().write_with(send).await
    }

    /// Receives a message, and says how many bytes are in `buffer` and whence they came.
    ///
    /// # Errors
    ///
    /// Those of recvfrom(2).
    ///
    /// ```
    /// riata::run(async {
    ///     let (near, far) = riata::net::UnixDatagram::pair().unwrap();
    ///     near.send(b"hello").await.unwrap();
    ///     let (count, from) = far.recv_from(&mut [0; 64]).await.unwrap();
    ///     assert!(count == 5 && from.is_unnamed());
    /// });
    /// ```
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |socket: &std_unix::UnixDatagram| socket.recv_from(buffer);
        self.source().read_with(receive).await
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// riata::run(async {
    ///     let (near, _far) = riata::net::UnixDatagram::pair().unwrap();
    ///     assert!(near.local_addr().unwrap().is_unnamed());
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
    /// riata::run(async {
    ///     let socket = riata::net::UnixDatagram::unbound().unwrap();
    ///     assert!(socket.peer_addr().is_err());
    /// });
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().peer_addr()
    }
}
