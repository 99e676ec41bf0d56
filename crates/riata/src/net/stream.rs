//! Connected sockets that carry bytes: what TCP and Unix have in common.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use riata_engine::net;

use super::half::{ReadHalf, WriteHalf};
use crate::source::{Source, Trigger, Waiting};

/// A connected socket: [`TcpStream`](super::TcpStream) or [`UnixStream`](super::UnixStream).
///
/// It belongs to the loop of the thread that made it. Dropping it closes the socket; what the
/// kernel has taken to send is still sent.
///
/// ```
/// use riata::net::UnixStream;
/// riata::run(async {
///     let (mut near, mut far) = UnixStream::pair().unwrap();
///     near.write_all(b"ping").await.unwrap();
///     let mut buffer = [0; 4];
///     far.read_exact(&mut buffer).await.unwrap();
///     assert_eq!(&buffer, b"ping");
/// });
/// ```
pub struct Stream<S: AsFd> {
    source: Source<S>,
}

/// Receives into `buffer` if there is something.
pub(super) fn poll_receive<S: AsFd>(
    source: &Source<S>,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let received = source.poll_read_with(context, |io| Ok(net::recv(io, buffer)?));
    if let Poll::Ready(Ok(count)) = received
        && 0 < count
        && count < buffer.len()
    {
        source.set_read_short();
    }
    received
}

/// Sends of `bytes` what there is room for.
pub(super) fn poll_send<S: AsFd>(
    source: &Source<S>,
    context: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    source.poll_write_with(context, |io| Ok(net::send(io, bytes)?))
}

/// As [`poll_send`], of several slices in order.
pub(super) fn poll_send_vectored<S: AsFd>(
    source: &Source<S>,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    source.poll_write_with(context, |io| Ok(net::send_vectored(io, slices)?))
}

/// Ends the sending side for good; a connection that is gone has none.
pub(super) fn close_sending<S: AsFd>(source: &Source<S>) -> io::Result<()> {
    match net::shutdown_write(source.io()).map_err(io::Error::from) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// Reads until `buffer` is full.
pub(crate) async fn fill(
    mut poll_read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match poll_fn(|context| poll_read(context, &mut buffer[filled..])).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}

/// Appends to `bytes` until the end, and says how much that was.
pub(crate) async fn read_all(
    mut poll_read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
    bytes: &mut Vec<u8>,
) -> io::Result<usize> {
    let before = bytes.len();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let count = poll_fn(|context| poll_read(context, &mut chunk)).await?;
        if count == 0 {
            return Ok(bytes.len() - before);
        }
        bytes.extend_from_slice(&chunk[..count]);
        if count == chunk.len() && count < 256 * 1024 {
            chunk.resize(count * 2, 0);
        }
    }
}

/// Writes until `bytes` are written.
pub(crate) async fn drain(
    mut poll_write: impl FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|context| poll_write(context, bytes)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

impl<S: AsFd> Stream<S> {
    pub(super) fn from_source(source: Source<S>) -> Self {
        Self { source }
    }

    /// Over a socket that is in non-blocking mode already.
    pub(super) fn over(socket: S, trigger: Trigger) -> io::Result<Self> {
        Source::with_trigger(socket, trigger).map(Self::from_source)
    }

    pub(crate) fn into_source(self) -> Source<S> {
        self.source
    }

    /// The source beneath, to wait and to make calls of one's own.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     assert!(near.source().io().take_error().unwrap().is_none());
    /// });
    /// ```
    pub fn source(&self) -> &Source<S> {
        &self.source
    }

    /// Receives at most `buffer.len()` bytes and says how many; 0 is the end. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    ///
    /// Those of recv(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (mut near, mut far) = UnixStream::pair().unwrap();
    ///     far.write_all(b"hello").await.unwrap();
    ///     assert_eq!(near.read(&mut [0; 64]).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| poll_receive(&self.source, context, buffer)).await
    }

    /// Receives until `buffer` is full. Dropping the future leaves what has come in `buffer`,
    /// and nobody knows how much that is.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the end comes before; those of recv(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (mut near, mut far) = UnixStream::pair().unwrap();
    ///     far.write_all(b"hello").await.unwrap();
    ///     let mut buffer = [0; 2];
    ///     near.read_exact(&mut buffer).await.unwrap();
    ///     assert_eq!(&buffer, b"he");
    /// });
    /// ```
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        fill(
            |context, rest| poll_receive(&self.source, context, rest),
            buffer,
        )
        .await
    }

    /// Appends to `bytes` all that comes until the end, and says how much that was. Dropping
    /// the future loses nothing: what has come is in `bytes`.
    ///
    /// # Errors
    ///
    /// Those of recv(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (mut near, mut far) = UnixStream::pair().unwrap();
    ///     far.write_all(b"hello").await.unwrap();
    ///     drop(far);
    ///     let mut bytes = Vec::new();
    ///     assert_eq!(near.read_to_end(&mut bytes).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        read_all(
            |context, chunk| poll_receive(&self.source, context, chunk),
            bytes,
        )
        .await
    }

    /// Sends what there is room for, waiting until there is some, and says how many bytes that
    /// was. If the future is dropped, nothing was sent.
    ///
    /// # Errors
    ///
    /// Those of send(2); no SIGPIPE.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (mut near, _far) = UnixStream::pair().unwrap();
    ///     assert_eq!(near.write(b"hello").await.unwrap(), 5);
    /// });
    /// ```
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| poll_send(&self.source, context, bytes)).await
    }

    /// As [`write`](Self::write), of several slices in one call.
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// use std::io::IoSlice;
    /// riata::run(async {
    ///     let (mut near, _far) = UnixStream::pair().unwrap();
    ///     let slices = [IoSlice::new(b"hel"), IoSlice::new(b"lo")];
    ///     assert_eq!(near.write_vectored(&slices).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|context| poll_send_vectored(&self.source, context, slices)).await
    }

    /// Sends all of `bytes`. If the future is dropped, nobody knows how much was sent.
    ///
    /// # Errors
    ///
    /// Those of send(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (mut near, _far) = UnixStream::pair().unwrap();
    ///     near.write_all(b"hello").await.unwrap();
    /// });
    /// ```
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        drain(
            |context, rest| poll_send(&self.source, context, rest),
            bytes,
        )
        .await
    }

    /// Waits until a read would not block: data, the end, or an error.
    ///
    /// # Errors
    ///
    /// What the kernel says when asked to watch.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, far) = UnixStream::pair().unwrap();
    ///     drop(far);
    ///     near.readable().await.unwrap();
    /// });
    /// ```
    pub fn readable(&self) -> Waiting<'_> {
        self.source.readable()
    }

    /// Waits until a write would not block.
    ///
    /// # Errors
    ///
    /// What the kernel says when asked to watch.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     near.writable().await.unwrap();
    /// });
    /// ```
    pub fn writable(&self) -> Waiting<'_> {
        self.source.writable()
    }

    /// Closes one direction or both. After `Write` the peer reads the end behind what was
    /// sent, and can still answer: asyncio's `write_eof`.
    ///
    /// # Errors
    ///
    /// Those of shutdown(2): `NotConnected` if the peer has reset the connection.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// use std::net::Shutdown;
    /// riata::run(async {
    ///     let (near, mut far) = UnixStream::pair().unwrap();
    ///     near.shutdown(Shutdown::Write).unwrap();
    ///     assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    ///     far.write_all(b"still here").await.unwrap();
    /// });
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(self.source.io(), how)?)
    }

    /// Takes the stream apart, so that one task reads and another writes. There is no lock:
    /// both are on one thread, and neither side touches the other.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, mut far) = UnixStream::pair().unwrap();
    ///     let (mut reader, mut writer) = near.split();
    ///     let answer = riata::spawn(async move {
    ///         let mut buffer = [0; 4];
    ///         reader.read_exact(&mut buffer).await.unwrap();
    ///         buffer
    ///     });
    ///     writer.write_all(b"ping").await.unwrap();
    ///     far.write_all(b"pong").await.unwrap();
    ///     assert_eq!(&answer.await.unwrap(), b"pong");
    /// });
    /// ```
    pub fn split(self) -> (ReadHalf<S>, WriteHalf<S>) {
        let stream = Rc::new(self);
        (ReadHalf::new(Rc::clone(&stream)), WriteHalf::new(stream))
    }
}

impl<S: AsFd> AsFd for Stream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.io().as_fd()
    }
}

impl<S: AsFd> AsRawFd for Stream<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<S: AsFd> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_receive(&self.source, context, buffer)
    }
}

impl<S: AsFd> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll_send(&self.source, context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_send_vectored(&self.source, context, slices)
    }

    /// Nothing is held back here.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the sending side.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(close_sending(&self.source))
    }
}

impl<S: AsFd + fmt::Debug> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(self.source.io()).finish()
    }
}
