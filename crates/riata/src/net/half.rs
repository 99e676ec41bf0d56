//! The two directions of a stream, for two tasks.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::stream::{
    Stream, close_sending, drain, fill, poll_receive, poll_send, poll_send_vectored, read_all,
};

/// The receiving direction of a [`Stream`], from [`split`](Stream::split).
///
/// The socket is closed when both halves are dropped.
///
/// ```
/// use riata::net::UnixStream;
/// riata::run(async {
///     let (near, mut far) = UnixStream::pair().unwrap();
///     let (mut reader, _writer) = near.split();
///     far.write_all(b"hello").await.unwrap();
///     assert_eq!(reader.read(&mut [0; 64]).await.unwrap(), 5);
/// });
/// ```
pub struct ReadHalf<S: AsFd>(Rc<Stream<S>>);

impl<S: AsFd> ReadHalf<S> {
    pub(super) fn new(stream: Rc<Stream<S>>) -> Self {
        Self(stream)
    }

    /// The whole stream, to ask it about addresses and such.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (reader, _writer) = UnixStream::pair().unwrap().0.split();
    ///     assert!(reader.stream().local_addr().unwrap().is_unnamed());
    /// });
    /// ```
    pub fn stream(&self) -> &Stream<S> {
        &self.0
    }

    /// As [`Stream::read`].
    ///
    /// # Errors
    ///
    /// Those of recv(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, far) = UnixStream::pair().unwrap();
    ///     drop(far);
    ///     let (mut reader, _writer) = near.split();
    ///     assert_eq!(reader.read(&mut [0; 64]).await.unwrap(), 0);
    /// });
    /// ```
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| poll_receive(self.0.source(), context, buffer)).await
    }

    /// As [`Stream::read_exact`].
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the end comes before; those of recv(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, mut far) = UnixStream::pair().unwrap();
    ///     let (mut reader, _writer) = near.split();
    ///     far.write_all(b"hello").await.unwrap();
    ///     let mut buffer = [0; 5];
    ///     reader.read_exact(&mut buffer).await.unwrap();
    ///     assert_eq!(&buffer, b"hello");
    /// });
    /// ```
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let source = self.0.source();
        fill(|context, rest| poll_receive(source, context, rest), buffer).await
    }

    /// As [`Stream::read_to_end`].
    ///
    /// # Errors
    ///
    /// Those of recv(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, far) = UnixStream::pair().unwrap();
    ///     let (mut reader, _writer) = near.split();
    ///     drop(far);
    ///     assert_eq!(reader.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    /// });
    /// ```
    pub async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let source = self.0.source();
        read_all(|context, chunk| poll_receive(source, context, chunk), bytes).await
    }

    /// Puts the halves of one stream together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], with both, if they are not of one stream.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     let (reader, writer) = near.split();
    ///     let mut near = reader.reunite(writer).unwrap();
    ///     near.write_all(b"whole").await.unwrap();
    /// });
    /// ```
    #[allow(clippy::expect_used)]
    pub fn reunite(self, mut writer: WriteHalf<S>) -> Result<Stream<S>, ReuniteError<S>> {
        if !Rc::ptr_eq(&self.0, &writer.stream) {
            return Err(ReuniteError(self, writer));
        }
        writer.at_drop = AtDrop::KeepOpen;
        drop(writer);
        Ok(Rc::into_inner(self.0).expect("no half but these holds it"))
    }
}

/// What happens to the sending side when its half is dropped.
#[derive(Copy, Clone, PartialEq, Eq)]
enum AtDrop {
    /// The peer reads the end.
    End,
    KeepOpen,
}

/// The sending direction of a [`Stream`], from [`split`](Stream::split).
///
/// Dropping it ends the sending side: the peer reads the end behind what was sent.
///
/// ```
/// use riata::net::UnixStream;
/// riata::run(async {
///     let (near, mut far) = UnixStream::pair().unwrap();
///     let (_reader, mut writer) = near.split();
///     writer.write_all(b"all").await.unwrap();
///     drop(writer);
///     let mut text = Vec::new();
///     far.read_to_end(&mut text).await.unwrap();
///     assert_eq!(text, b"all");
/// });
/// ```
pub struct WriteHalf<S: AsFd> {
    stream: Rc<Stream<S>>,
    at_drop: AtDrop,
}

impl<S: AsFd> WriteHalf<S> {
    pub(super) fn new(stream: Rc<Stream<S>>) -> Self {
        let at_drop = AtDrop::End;
        Self { stream, at_drop }
    }

    /// The whole stream, to ask it about addresses and such.
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (_reader, writer) = UnixStream::pair().unwrap().0.split();
    ///     assert!(writer.stream().local_addr().unwrap().is_unnamed());
    /// });
    /// ```
    pub fn stream(&self) -> &Stream<S> {
        &self.stream
    }

    /// As [`Stream::write`].
    ///
    /// # Errors
    ///
    /// Those of send(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     let (_reader, mut writer) = near.split();
    ///     assert_eq!(writer.write(b"hello").await.unwrap(), 5);
    /// });
    /// ```
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| poll_send(self.stream.source(), context, bytes)).await
    }

    /// As [`Stream::write_vectored`].
    ///
    /// # Errors
    ///
    /// Those of sendmsg(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// use std::io::IoSlice;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     let (_reader, mut writer) = near.split();
    ///     let slices = [IoSlice::new(b"hel"), IoSlice::new(b"lo")];
    ///     assert_eq!(writer.write_vectored(&slices).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|context| poll_send_vectored(self.stream.source(), context, slices)).await
    }

    /// As [`Stream::write_all`].
    ///
    /// # Errors
    ///
    /// Those of send(2).
    ///
    /// ```
    /// # use riata::net::UnixStream;
    /// riata::run(async {
    ///     let (near, _far) = UnixStream::pair().unwrap();
    ///     let (_reader, mut writer) = near.split();
    ///     writer.write_all(b"hello").await.unwrap();
    /// });
    /// ```
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let source = self.stream.source();
        drain(|context, rest| poll_send(source, context, rest), bytes).await
    }
}

impl<S: AsFd> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if self.at_drop == AtDrop::End {
            // It fails only where the connection is gone, and with it what this would end.
            let _ = close_sending(self.stream.source());
        }
    }
}

/// That two halves are not of one stream; here they are again.
///
/// ```
/// use riata::net::UnixStream;
/// riata::run(async {
///     let (near, far) = UnixStream::pair().unwrap();
///     let (reader, _writer) = near.split();
///     let (_reader, writer) = far.split();
///     let error = reader.reunite(writer).unwrap_err();
///     let (_reader, _writer) = (error.0, error.1);
/// });
/// ```
pub struct ReuniteError<S: AsFd>(
    /// The half that reads.
    pub ReadHalf<S>,
    /// The half that writes.
    pub WriteHalf<S>,
);

impl<S: AsFd> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one stream")
    }
}

impl<S: AsFd + fmt::Debug> std::error::Error for ReuniteError<S> {}

impl<S: AsFd + fmt::Debug> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("ReuniteError");
        tuple.field(&self.0).field(&self.1).finish()
    }
}

impl<S: AsFd + fmt::Debug> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(&self.0).finish()
    }
}

impl<S: AsFd + fmt::Debug> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(&self.stream).finish()
    }
}

impl<S: AsFd> AsyncRead for ReadHalf<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_receive(self.0.source(), context, buffer)
    }
}

impl<S: AsFd> AsyncWrite for WriteHalf<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll_send(self.stream.source(), context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_send_vectored(self.stream.source(), context, slices)
    }

    /// Nothing is held back here.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the sending side.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(close_sending(self.stream.source()))
    }
}
