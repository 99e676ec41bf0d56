//! TCP.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use riata_engine::net::{self, SocketAddr as EngineAddr};
use rustix::net::{SocketType, sockopt};

use super::connect::{connect_any, socket_for};
use super::listener::{Accept, Listener, Sealed};
use super::resolve::{ToSocketAddrs, lookup_host};
use super::stream::Stream;
use crate::source::Trigger;

/// A TCP connection; see [`Stream`] for what it shares with [`UnixStream`](super::UnixStream).
///
/// ```
/// use riata::net::{TcpListener, TcpStream};
/// riata::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
///     let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
///     let (mut server, _) = listener.accept().await.unwrap();
///     client.write_all(b"hello").await.unwrap();
///     assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 5);
/// });
/// ```
pub type TcpStream = Stream<std::net::TcpStream>;

/// A socket that takes TCP connections; see [`Listener`].
///
/// ```
/// use riata::net::TcpListener;
/// riata::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
///     assert_ne!(listener.local_addr().unwrap().port(), 0);
/// });
/// ```
pub type TcpListener = Listener<std::net::TcpListener>;

/// How many connections may wait to be accepted; the kernel's own limit may be lower.
const BACKLOG: i32 = 1024;

impl Stream<std::net::TcpStream> {
    /// Connects to a host. Of several addresses the families take turns, and an attempt that
    /// takes longer than 250 ms gets the next one beside it: the first that succeeds wins and
    /// the others are given up ("happy eyeballs", RFC 8305).
    ///
    /// # Errors
    ///
    /// Those of [`lookup_host`]; those of connect(2). If several attempts failed in different
    /// ways, an error that tells all, of the first one's kind.
    ///
    /// ```no_run
    /// use riata::net::TcpStream;
    /// riata::run(async {
    ///     let mut stream = TcpStream::connect("example.org:80").await?;
    ///     stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    ///     let mut page = Vec::new();
    ///     stream.read_to_end(&mut page).await
    /// })
    /// .unwrap();
    /// ```
    pub async fn connect(host: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses = lookup_host(host).await?;
        connect_any(addresses).await.map(Self::from_source)
    }

    /// Takes over a connection of std's, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2) and of [`Source::new`](crate::Source::new).
    ///
    /// ```
    /// use riata::net::TcpStream;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::run(async { TcpStream::from_std(stream).unwrap() });
    /// ```
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::over(stream, Trigger::Edge)
    }

    /// Gives the connection back as std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     let _stream: std::net::TcpStream = stream.into_std().unwrap();
    /// });
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let stream = self.into_source().into_io();
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Receives as [`read`](Self::read) does, and leaves the bytes for the next read.
    ///
    /// # Errors
    ///
    /// Those of recv(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     let (mut server, _) = listener.accept().await.unwrap();
    ///     client.write_all(b"hello").await.unwrap();
    ///     assert_eq!(server.peek(&mut [0; 64]).await.unwrap(), 5);
    ///     assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source().read_with(|socket| socket.peek(buffer)).await
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     assert!(stream.local_addr().unwrap().ip().is_loopback());
    /// });
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2): `NotConnected` once the connection is gone.
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    /// });
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().peer_addr()
    }

    /// Whether small writes are sent at once rather than gathered (TCP_NODELAY). asyncio sets
    /// it on each connection; here, as in std, it is off until it is asked for.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     stream.set_nodelay(true).unwrap();
    ///     assert!(stream.nodelay().unwrap());
    /// });
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.source().io().set_nodelay(nodelay)
    }

    /// What [`set_nodelay`](Self::set_nodelay) has set.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     assert!(!stream.nodelay().unwrap());
    /// });
    /// ```
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source().io().nodelay()
    }

    /// Lets the kernel ask a silent peer, after `idle` without a word, whether it is still there
    /// (SO_KEEPALIVE, TCP_KEEPIDLE; whole seconds, at least one); `None` turns it off.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     stream.set_keepalive(Some(Duration::from_secs(60))).unwrap();
    ///     assert_eq!(stream.keepalive().unwrap(), Some(Duration::from_secs(60)));
    /// });
    /// ```
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        let socket = self.source().io();
        if let Some(idle) = idle {
            sockopt::set_tcp_keepidle(socket, idle.max(Duration::from_secs(1)))?;
        }
        Ok(sockopt::set_socket_keepalive(socket, idle.is_some())?)
    }

    /// After how long the kernel asks a silent peer; `None` if it does not.
    ///
    /// # Errors
    ///
    /// Those of getsockopt(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     assert_eq!(stream.keepalive().unwrap(), None);
    /// });
    /// ```
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let socket = self.source().io();
        if !sockopt::socket_keepalive(socket)? {
            return Ok(None);
        }
        Ok(Some(sockopt::tcp_keepidle(socket)?))
    }

    /// How long closing waits for what is unsent (SO_LINGER, whole seconds); `Some` of zero: it
    /// is thrown away, and the peer sees a reset.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     let (mut server, _) = listener.accept().await.unwrap();
    ///     stream.set_linger(Some(Duration::ZERO)).unwrap();
    ///     drop(stream);
    ///     assert!(server.read(&mut [0; 8]).await.is_err());
    /// });
    /// ```
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_linger(self.source().io(), linger)?)
    }
}

impl Sealed<std::net::TcpStream, SocketAddr> for std::net::TcpListener {
    const TRIGGER: Trigger = Trigger::Edge;

    fn accept_one(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let (socket, peer) = net::accept(self)?;
        let peer = match peer {
            EngineAddr::V4(peer) => SocketAddr::V4(peer),
            EngineAddr::V6(peer) => SocketAddr::V6(peer),
            // Not a TCP socket, though its owner said so.
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok((socket.into(), peer))
    }
}

impl Accept for std::net::TcpListener {
    type Socket = std::net::TcpStream;
    type Address = SocketAddr;
}

impl Listener<std::net::TcpListener> {
    /// Listens on the first address of `host` that can be had; port 0 lets the kernel choose
    /// one. An address that was in use a moment ago may be had again (SO_REUSEADDR).
    ///
    /// # Errors
    ///
    /// Those of [`lookup_host`]; what the last address answered to bind(2) or listen(2).
    ///
    /// ```
    /// use riata::net::TcpListener;
    /// riata::run(async {
    ///     let listener = TcpListener::bind(("localhost", 0)).await.unwrap();
    ///     assert!(listener.local_addr().unwrap().ip().is_loopback());
    /// });
    /// ```
    pub async fn bind(host: impl ToSocketAddrs) -> io::Result<Self> {
        let mut last = None;
        for address in lookup_host(host).await? {
            match listen(&address) {
                Ok(socket) => return Self::over(socket.into()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }

    /// Takes over a listening socket of std's, and sets it to non-blocking mode.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2) and of [`Source::new`](crate::Source::new).
    ///
    /// ```
    /// use riata::net::TcpListener;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// riata::run(async { TcpListener::from_std(listener).unwrap() });
    /// ```
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::over(listener)
    }

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// use riata::net::TcpListener;
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     assert_ne!(listener.local_addr().unwrap().port(), 0);
    /// });
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source().io().local_addr()
    }
}

fn listen(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket_for(address, SocketType::STREAM)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
