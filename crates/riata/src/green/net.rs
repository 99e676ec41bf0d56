//! TCP sockets that look as if they blocked, and what all such sockets need.
//!
//! What would block stops the greenlet; the sockets underneath are non-blocking, watched by
//! the loop. In a greenlet that unwinds, what would block gives an error.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use riata_engine::net as engine;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::strand::wait_unless_unwinding;
use crate::combine::{Elapsed, timeout};
use crate::source::{Source, Trigger};
use crate::threads::run_in_executor;

/// Awaits `future`, at most for `limit` if there is one.
pub(super) async fn within<F: Future>(
    limit: Option<Duration>,
    future: F,
) -> Result<F::Output, Elapsed> {
    match limit {
        Some(limit) => timeout(limit, future).await,
        None => Ok(future.await),
    }
}

/// Stops this greenlet for what a socket is asked to do.
pub(super) fn block_on<T>(
    limit: Option<Duration>,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    wait_unless_unwinding(within(limit, future))??
}

/// A TCP connection, as [`std::net::TcpStream`], whose reads and writes stop the greenlet
/// and not the thread.
///
/// It belongs to the loop it was made on, and to greenlets there. One may read while another
/// writes: both work on `&TcpStream`.
///
/// ```
/// use riata::green::{self, TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let reply = green::run(|| -> std::io::Result<String> {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let server = green::spawn(move || -> std::io::Result<()> {
///         let (mut peer, _) = listener.accept()?;
///         let mut bytes = [0; 5];
///         peer.read_exact(&mut bytes)?;
///         peer.write_all(&bytes)
///     });
///     let mut stream = TcpStream::connect(address)?;
///     stream.write_all(b"hello")?;
///     let mut reply = String::new();
///     stream.read_to_string(&mut reply)?;
///     server.get().unwrap()?;
///     Ok(reply)
/// });
/// assert_eq!(reply.unwrap(), "hello");
/// ```
pub struct TcpStream {
    source: Source<net::TcpStream>,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

impl TcpStream {
    /// Connects to `address`.
    ///
    /// # Errors
    ///
    /// Those of socket(2) and connect(2), ECONNREFUSED above all.
    ///
    /// # Panics
    ///
    /// Outside a greenlet.
    ///
    /// ```
    /// use riata::green::{self, TcpListener, TcpStream};
    /// green::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ///     let address = listener.local_addr().unwrap();
    ///     assert_eq!(TcpStream::connect(address).unwrap().peer_addr().unwrap(), address);
    /// });
    /// ```
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let (family, address) = match address {
            SocketAddr::V4(address) => (AddressFamily::INET, engine::SocketAddr::V4(address)),
            SocketAddr::V6(address) => (AddressFamily::INET6, engine::SocketAddr::V6(address)),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        let source = Source::with_trigger(net::TcpStream::from(socket), Trigger::Edge)?;
        match engine::connect(source.io(), &address).map_err(io::Error::from) {
            Err(error) if is_under_way(&error) => {
                block_on(None, source.writable())?;
                if let Some(error) = engine::take_error(source.io())? {
                    return Err(error.into());
                }
            }
            result => result?,
        }
        Ok(Self::new(source))
    }

    /// Connects to the first address of a host that takes the connection. The name is looked
    /// up on another thread.
    ///
    /// # Errors
    ///
    /// What the look-up says; for the last address, as [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// Outside a greenlet.
    ///
    /// ```
    /// use riata::green::{self, TcpListener, TcpStream};
    /// green::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ///     let port = listener.local_addr().unwrap().port();
    ///     TcpStream::connect_host("127.0.0.1", port).unwrap();
    /// });
    /// ```
    pub fn connect_host(host: &str, port: u16) -> io::Result<Self> {
        let name = (String::from(host), port);
        let look_up =
            async { run_in_executor(move || name.to_socket_addrs().map(Vec::from_iter)).await? };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in block_on(None, look_up)? {
            match Self::connect(address) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Makes a stream of a connected socket, which becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Those of fcntl(2); as [`Source::new`].
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::green::run(|| riata::green::TcpStream::from_std(stream).unwrap().peer_addr());
    /// ```
    #[track_caller]
    pub fn from_std(stream: net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::over(stream)
    }

    /// Over a socket that is in non-blocking mode already.
    #[track_caller]
    fn over(stream: net::TcpStream) -> io::Result<Self> {
        Ok(Self::new(Source::with_trigger(stream, Trigger::Edge)?))
    }

    fn new(source: Source<net::TcpStream>) -> Self {
        Self {
            source,
            read_timeout: Cell::new(None),
            write_timeout: Cell::new(None),
        }
    }

    /// The socket itself, for its addresses and options, and for [`Shutdown`]. It is
    /// non-blocking.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::green::run(|| {
    ///     let stream = riata::green::TcpStream::from_std(stream).unwrap();
    ///     stream.socket().set_nodelay(true).unwrap();
    /// });
    /// ```
    pub fn socket(&self) -> &net::TcpStream {
        self.source.io()
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::green::run(move || {
    ///     let stream = riata::green::TcpStream::from_std(stream).unwrap();
    ///     assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    /// });
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::green::run(move || {
    ///     let stream = riata::green::TcpStream::from_std(stream).unwrap();
    ///     assert!(stream.local_addr().unwrap().ip().is_loopback());
    /// });
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::green::run(move || {
    ///     let stream = riata::green::TcpStream::from_std(stream).unwrap();
    ///     stream.shutdown(std::net::Shutdown::Write).unwrap();
    /// });
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket().shutdown(how)
    }

    /// Sets how long a read may stop the greenlet before it gives
    /// [`TimedOut`](io::ErrorKind::TimedOut); `None`, as at first: for ever.
    ///
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::green::run(move || {
    ///     let mut stream = riata::green::TcpStream::from_std(stream).unwrap();
    ///     stream.set_read_timeout(Some(std::time::Duration::from_millis(1)));
    ///     assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// });
    /// ```
    pub fn set_read_timeout(&self, limit: Option<Duration>) {
        self.read_timeout.set(limit);
    }

    /// Sets how long a write may stop the greenlet before it gives
    /// [`TimedOut`](io::ErrorKind::TimedOut); `None`, as at first: for ever.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// # let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// riata::green::run(move || {
    ///     let stream = riata::green::TcpStream::from_std(stream).unwrap();
    ///     stream.set_write_timeout(Some(std::time::Duration::from_secs(5)));
    /// });
    /// ```
    pub fn set_write_timeout(&self, limit: Option<Duration>) {
        self.write_timeout.set(limit);
    }
}

impl TcpStream {
    /// Calls `read`, which takes at most `room` bytes, once there is something.
    fn receive(
        &self,
        room: usize,
        read: impl FnMut(&net::TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let count = block_on(self.read_timeout.get(), self.source.read_with(read))?;
        if 0 < count && count < room {
            self.source.set_read_short();
        }
        Ok(count)
    }
}

impl From<crate::net::TcpStream> for TcpStream {
    /// What a future has made, for a greenlet of the same loop.
    fn from(stream: crate::net::TcpStream) -> Self {
        Self::new(stream.into_source())
    }
}

/// Whether an attempt to connect goes on by itself.
fn is_under_way(error: &io::Error) -> bool {
    // Interrupted: it goes on as well, says connect(2).
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INPROGRESS | Errno::INTR))
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer.len(), |mut socket| socket.read(buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        self.receive(room, |mut socket| socket.read_vectored(buffers))
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = self.source.write_with(|mut socket| socket.write(bytes));
        block_on(self.write_timeout.get(), write)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = &self.source;
        let write = source.write_with(|mut socket| socket.write_vectored(slices));
        block_on(self.write_timeout.get(), write)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

/// A listening TCP socket, as [`std::net::TcpListener`], that stops the greenlet and not the
/// thread.
///
/// ```
/// use riata::green::{self, TcpListener, TcpStream};
/// green::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let address = listener.local_addr().unwrap();
///     let client = green::spawn(move || TcpStream::connect(address).map(drop));
///     let (stream, peer) = listener.accept().unwrap();
///     assert_eq!(stream.peer_addr().unwrap(), peer);
///     client.get().unwrap().unwrap();
/// });
/// ```
pub struct TcpListener {
    source: Source<net::TcpListener>,
}

impl TcpListener {
    /// Listens on `address`. If that is a host's name, looking it up blocks the thread.
    ///
    /// # Errors
    ///
    /// Those of bind(2), EADDRINUSE above all.
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// riata::green::run(|| riata::green::TcpListener::bind("127.0.0.1:0").unwrap().local_addr());
    /// ```
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::from_std(net::TcpListener::bind(address)?)
    }

    /// Makes a listener of a listening socket, which becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Those of fcntl(2); as [`Source::new`].
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// riata::green::run(|| riata::green::TcpListener::from_std(listener).unwrap().local_addr());
    /// ```
    #[track_caller]
    pub fn from_std(listener: net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let source = Source::new(listener)?;
        Ok(Self { source })
    }

    /// Takes the next connection, and where it comes from.
    ///
    /// # Errors
    ///
    /// Those of accept4(2): EMFILE and such, after which the connection still waits, and
    /// ECONNABORTED, for one that has gone.
    ///
    /// # Panics
    ///
    /// Outside a greenlet.
    ///
    /// ```
    /// use riata::green::{self, TcpListener};
    /// green::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ///     let address = listener.local_addr().unwrap();
    ///     let far = std::net::TcpStream::connect(address).unwrap();
    ///     assert_eq!(listener.accept().unwrap().1, far.local_addr().unwrap());
    /// });
    /// ```
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accept = self.source.read_with(|listener| {
            let (socket, peer) = engine::accept(listener)?;
            Ok((net::TcpStream::from(socket), peer))
        });
        let (stream, peer) = block_on(None, accept)?;
        let peer = match peer {
            engine::SocketAddr::V4(peer) => SocketAddr::V4(peer),
            engine::SocketAddr::V6(peer) => SocketAddr::V6(peer),
            _ => stream.peer_addr()?,
        };
        Ok((TcpStream::over(stream)?, peer))
    }

    /// The connections as they come, without end.
    ///
    /// ```
    /// use riata::green::{self, TcpListener};
    /// green::run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ///     let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ///     let near = listener.incoming().next().unwrap().unwrap();
    ///     assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
    /// });
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// riata::green::run(|| {
    ///     let listener = riata::green::TcpListener::bind("127.0.0.1:0").unwrap();
    ///     assert_ne!(listener.local_addr().unwrap().port(), 0);
    /// });
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.io().local_addr()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.io().fmt(f)
    }
}

/// What [`TcpListener::incoming`] gives; each item is that of [`TcpListener::accept`] without
/// the address.
///
/// ```
/// use riata::green::{self, TcpListener};
/// green::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
///     let greenlet = green::spawn(move || {
///         let incoming: green::Incoming<'_> = listener.incoming();
///         incoming.take(1).count()
///     });
///     greenlet.kill();
/// });
/// ```
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
