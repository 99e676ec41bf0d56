//! Unix sockets that look as if they blocked, as [`net`](super::net) has TCP's.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{self as std_unix, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::net::block_on;
use crate::net;
use crate::source::Source;

/// A connected Unix socket, as [`std::os::unix::net::UnixStream`], whose reads and writes stop
/// the greenlet and not the thread.
///
/// It belongs to the loop it was made on, and to greenlets there. One may read while another
/// writes: both work on `&UnixStream`.
///
/// ```
/// use riata::green::{self, UnixStream};
/// use std::io::{Read, Write};
///
/// let reply = green::run(|| -> std::io::Result<String> {
///     let (mut near, mut far) = UnixStream::pair()?;
///     let server = green::spawn(move || -> std::io::Result<()> {
///         let mut bytes = [0; 5];
///         far.read_exact(&mut bytes)?;
///         far.write_all(&bytes)
///     });
///     near.write_all(b"hello")?;
///     let mut reply = String::new();
///     near.read_to_string(&mut reply)?;
///     server.get().unwrap()?;
///     Ok(reply)
/// });
/// assert_eq!(reply.unwrap(), "hello");
/// ```
pub struct UnixStream {
    source: Source<std_unix::UnixStream>,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

impl From<net::UnixStream> for UnixStream {
    /// What a future has made, for a greenlet of the same loop.
    fn from(stream: net::UnixStream) -> Self {
        Self {
            source: stream.into_source(),
            read_timeout: Cell::new(None),
            write_timeout: Cell::new(None),
        }
    }
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// Those of connect(2): nothing is there, or nobody listens.
    ///
    /// # Panics
    ///
    /// Outside a greenlet.
    ///
    /// ```
    /// use riata::green::{self, UnixListener, UnixStream};
    /// let path = std::env::temp_dir().join(format!("riata-green-{}", std::process::id()));
    /// let there = path.clone();
    /// green::run(move || {
    ///     let _listener = UnixListener::bind(&there).unwrap();
    ///     UnixStream::connect(&there).unwrap();
    /// });
    /// std::fs::remove_file(path).unwrap();
    /// ```
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        block_on(None, net::UnixStream::connect(path)).map(Self::from)
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2).
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// riata::green::run(|| riata::green::UnixStream::pair().unwrap());
    /// ```
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((one.into(), other.into()))
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
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// riata::green::run(|| drop(riata::green::UnixStream::from_std(near).unwrap()));
    /// ```
    #[track_caller]
    pub fn from_std(stream: std_unix::UnixStream) -> io::Result<Self> {
        net::UnixStream::from_std(stream).map(Self::from)
    }

    /// The socket itself, for its addresses and options. It is non-blocking.
    ///
    /// ```
    /// riata::green::run(|| {
    ///     let (near, _far) = riata::green::UnixStream::pair().unwrap();
    ///     assert!(near.socket().peer_addr().unwrap().is_unnamed());
    /// });
    /// ```
    pub fn socket(&self) -> &std_unix::UnixStream {
        self.source.io()
    }

    /// Ends one direction, or both.
    ///
    /// # Errors
    ///
    /// Those of shutdown(2).
    ///
    /// ```
    /// use std::io::Read;
    /// riata::green::run(|| {
    ///     let (near, mut far) = riata::green::UnixStream::pair().unwrap();
    ///     near.shutdown(std::net::Shutdown::Write).unwrap();
    ///     assert_eq!(far.read(&mut [0]).unwrap(), 0);
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
    /// riata::green::run(|| {
    ///     let (mut near, _far) = riata::green::UnixStream::pair().unwrap();
    ///     near.set_read_timeout(Some(std::time::Duration::from_millis(1)));
    ///     assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// });
    /// ```
    pub fn set_read_timeout(&self, limit: Option<Duration>) {
        self.read_timeout.set(limit);
    }

    /// Sets how long a write may stop the greenlet before it gives
    /// [`TimedOut`](io::ErrorKind::TimedOut); `None`, as at first: for ever.
    ///
    /// ```
    /// use std::io::{ErrorKind, Write};
    /// riata::green::run(|| {
    ///     let (mut near, _far) = riata::green::UnixStream::pair().unwrap();
    ///     near.set_write_timeout(Some(std::time::Duration::from_millis(1)));
    ///     let error = near.write_all(&vec![0; 16 << 20]).unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// });
    /// ```
    pub fn set_write_timeout(&self, limit: Option<Duration>) {
        self.write_timeout.set(limit);
    }
}

impl Read for &UnixStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read_with(|mut socket| socket.read(buffer));
        block_on(self.read_timeout.get(), read)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let source = &self.source;
        let read = source.read_with(|mut socket| socket.read_vectored(buffers));
        block_on(self.read_timeout.get(), read)
    }
}

impl Write for &UnixStream {
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

impl Read for UnixStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for UnixStream {
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

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

/// A listening Unix socket, as [`std::os::unix::net::UnixListener`], that stops the greenlet and
/// not the thread.
///
/// ```
/// use riata::green::{self, UnixListener, UnixStream};
/// let path = std::env::temp_dir().join(format!("riata-listens-{}", std::process::id()));
/// let there = path.clone();
/// green::run(move || {
///     let listener = UnixListener::bind(&there).unwrap();
///     let client = green::spawn(move || UnixStream::connect(there).map(drop));
///     let (_stream, peer) = listener.accept().unwrap();
///     assert!(peer.is_unnamed());
///     client.get().unwrap().unwrap();
/// });
/// std::fs::remove_file(path).unwrap();
/// ```
#[derive(Debug)]
pub struct UnixListener {
    listener: net::UnixListener,
}

impl UnixListener {
    /// Listens at `path`, where nothing may be yet.
    ///
    /// # Errors
    ///
    /// Those of bind(2): `AddrInUse` if something has the path, also if nobody listens there.
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// let error = riata::green::run(|| riata::green::UnixListener::bind("/").map(drop));
    /// assert!(error.is_err());
    /// ```
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let listener = net::UnixListener::bind(path)?;
        Ok(Self { listener })
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
    /// use std::os::{linux::net::SocketAddrExt, unix::net::{SocketAddr, UnixListener}};
    /// let name = format!("riata-green-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name).unwrap();
    /// let listener = UnixListener::bind_addr(&address).unwrap();
    /// riata::green::run(|| drop(riata::green::UnixListener::from_std(listener).unwrap()));
    /// ```
    #[track_caller]
    pub fn from_std(listener: std_unix::UnixListener) -> io::Result<Self> {
        let listener = net::UnixListener::from_std(listener)?;
        Ok(Self { listener })
    }

    /// Takes the next connection, and where it comes from.
    ///
    /// # Errors
    ///
    /// Those of accept4(2).
    ///
    /// # Panics
    ///
    /// Outside a greenlet.
    ///
    /// ```
    /// use riata::green::{self, UnixListener};
    /// green::run(|| {
    ///     let greenlet = green::spawn(|| {
    ///         let path = std::env::temp_dir().join(format!("riata-none-{}", std::process::id()));
    ///         let listener = UnixListener::bind(&path).unwrap();
    ///         std::fs::remove_file(path).unwrap();
    ///         listener.accept().map(drop)
    ///     });
    ///     green::sleep(std::time::Duration::ZERO);
    ///     greenlet.kill(); // nobody comes
    /// });
    /// ```
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = block_on(None, self.listener.accept())?;
        Ok((stream.into(), peer))
    }

    /// The address it listens at.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    ///
    /// ```
    /// let path = std::env::temp_dir().join(format!("riata-local-{}", std::process::id()));
    /// let there = path.clone();
    /// riata::green::run(move || {
    ///     let listener = riata::green::UnixListener::bind(&there).unwrap();
    ///     assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(there.as_path()));
    /// });
    /// std::fs::remove_file(path).unwrap();
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
