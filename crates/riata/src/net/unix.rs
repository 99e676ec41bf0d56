//! Unix domain sockets that are connected.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{self as std_unix, SocketAddr};
use std::path::Path;

use riata_engine::net::{SocketAddr as EngineAddr, UnixAddr};
use rustix::net::{AddressFamily, SocketType};

use super::connect::{establish, socket};
use super::listener::{Accept, Listener, Sealed};
use super::stream::Stream;
use crate::source::Trigger;

/// A connection between processes of one machine; see [`Stream`].
///
/// ```
/// use riata::net::UnixStream;
/// riata::run(async {
///     let (mut near, mut far) = UnixStream::pair().unwrap();
///     near.write_all(b"hello").await.unwrap();
///     assert_eq!(far.read(&mut [0; 64]).await.unwrap(), 5);
/// });
/// ```
pub type UnixStream = Stream<std_unix::UnixStream>;

/// A socket that takes connections at a path; see [`Listener`]. Dropping it leaves the path.
///
/// ```
/// use riata::net::{UnixListener, UnixStream};
/// let path = std::env::temp_dir().join(format!("riata-listener-{}", std::process::id()));
/// riata::run(async {
///     let listener = UnixListener::bind(&path).unwrap();
///     let _client = UnixStream::connect(&path).await.unwrap();
///     let (_stream, _peer) = listener.accept().await.unwrap();
/// });
/// std::fs::remove_file(path).unwrap();
/// ```
pub type UnixListener = Listener<std_unix::UnixListener>;

impl Stream<std_unix::UnixStream> {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// Those of connect(2): `WouldBlock` (EAGAIN) if too many connections wait there to be
    /// accepted, which the kernel gives no way to wait for.
    ///
    /// ```
    /// use riata::net::UnixStream;
    /// riata::run(async {
    ///     let error = UnixStream::connect("/nobody/is/here").await.unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// });
    /// ```
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().as_os_str().as_bytes().to_vec();
        connect_to(UnixAddr::Path(path)).await
    }

    /// Connects to an address of std's, which may be of the abstract namespace.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); `InvalidInput` for an unnamed address.
    ///
    /// ```
    /// use riata::net::{UnixListener, UnixStream};
    /// use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    /// riata::run(async {
    ///     let name = format!("riata-{}", std::process::id());
    ///     let address = SocketAddr::from_abstract_name(name).unwrap();
    ///     let _listener = UnixListener::bind_addr(&address).unwrap();
    ///     UnixStream::connect_addr(&address).await.unwrap();
    /// });
    /// ```
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<Self> {
        let address = if let Some(path) = address.as_pathname() {
            UnixAddr::Path(path.as_os_str().as_bytes().to_vec())
        } else if let Some(name) = address.as_abstract_name() {
            UnixAddr::Abstract(name.to_vec())
        } else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        connect_to(address).await
    }

    /// Two sockets connected to each other.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2).
    ///
    /// ```
    /// use riata::net::UnixStream;
    /// riata::run(async { UnixStream::pair().unwrap() });
    /// ```
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = std_unix::UnixStream::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Takes over a connection of std's, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2) and of [`Source::new`](crate::Source::new).
    ///
    /// ```
    /// use riata::net::UnixStream;
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// riata::run(async { UnixStream::from_std(near).unwrap() });
    /// ```
    pub fn from_std(stream: std_unix::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::over(stream, Trigger::Level)
    }

    /// Gives the connection back as std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2).
    ///
    /// ```
    /// use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     let _near: std::os::unix::net::UnixStream = near.into_std().unwrap();
    /// });
    /// ```
    pub fn into_std(self) -> io::Result<std_unix::UnixStream> {
        let stream = self.into_source().into_io();
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     assert!(near.local_addr().unwrap().is_unnamed());
    /// });
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    ///
    /// ```
    /// use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     assert!(near.peer_addr().unwrap().is_unnamed());
    /// });
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().peer_addr()
    }
}

async fn connect_to(address: UnixAddr) -> io::Result<UnixStream> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM)?;
    let address = EngineAddr::Unix(address);
    let source = establish(socket, &address, Trigger::Level).await?;
    Ok(Stream::from_source(source))
}

impl Sealed<std_unix::UnixStream, SocketAddr> for std_unix::UnixListener {
    // A read ends short where descriptors were passed, whatever follows.
    const TRIGGER: Trigger = Trigger::Level;

    fn accept_one(&self) -> io::Result<(std_unix::UnixStream, SocketAddr)> {
        let (stream, peer) = self.accept()?;
        stream.set_nonblocking(true)?;
        Ok((stream, peer))
    }
}

impl Accept for std_unix::UnixListener {
    type Socket = std_unix::UnixStream;
    type Address = SocketAddr;
}

impl Listener<std_unix::UnixListener> {
    /// Listens at `path`, where nothing may be yet.
    ///
    /// # Errors
    ///
    /// Those of bind(2): `AddrInUse` if something has the path, also if nobody listens there.
    ///
    /// ```
    /// use riata::net::UnixListener;
    /// let path = std::env::temp_dir().join(format!("riata-bind-{}", std::process::id()));
    /// riata::run(async {
    ///     let listener = UnixListener::bind(&path).unwrap();
    ///     assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_path()));
    /// });
    /// std::fs::remove_file(path).unwrap();
    /// ```
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(std_unix::UnixListener::bind(path)?)
    }

    /// Listens at an address of std's, which may be of the abstract namespace.
    ///
    /// # Errors
    ///
    /// Those of bind(2).
    ///
    /// ```
    /// use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    /// riata::run(async {
    ///     let name = format!("riata-bind-{}", std::process::id());
    ///     let address = SocketAddr::from_abstract_name(name).unwrap();
    ///     riata::net::UnixListener::bind_addr(&address).unwrap();
    /// });
    /// ```
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::from_std(std_unix::UnixListener::bind_addr(address)?)
    }

    /// Takes over a listening socket of std's, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2) and of [`Source::new`](crate::Source::new).
    ///
    /// ```
    /// use riata::net::UnixListener;
    /// let path = std::env::temp_dir().join(format!("riata-from-std-{}", std::process::id()));
    /// let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    /// riata::run(async { UnixListener::from_std(listener).unwrap() });
    /// std::fs::remove_file(path).unwrap();
    /// ```
    pub fn from_std(listener: std_unix::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::over(listener)
    }

    /// The address that is listened at.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// use riata::net::UnixListener;
    /// let path = std::env::temp_dir().join(format!("riata-local-{}", std::process::id()));
    /// riata::run(async {
    ///     let listener = UnixListener::bind(&path).unwrap();
    ///     assert!(!listener.local_addr().unwrap().is_unnamed());
    /// });
    /// std::fs::remove_file(path).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().local_addr()
    }
}
