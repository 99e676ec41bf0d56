//! A child's standard streams, as its parent has them.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use riata_engine::net;
use rustix::io::ioctl_fionbio;

use crate::net::stream::{drain, fill, read_all};
use crate::source::Source;

/// What a child writes to its standard output.
///
/// ```
/// use riata::process::{ChildStdout, Command, Stdio};
/// riata::run(async {
///     let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().unwrap();
///     let mut stdout: ChildStdout = child.stdout.take().unwrap();
///     let mut text = Vec::new();
///     stdout.read_to_end(&mut text).await.unwrap();
///     assert_eq!(text, b"hello\n");
///     assert!(child.wait().await.unwrap().success());
/// });
/// ```
pub type ChildStdout = PipeReader<std::process::ChildStdout>;

/// What a child writes to its standard error.
///
/// ```
/// use riata::process::{ChildStderr, Command, Stdio};
/// riata::run(async {
///     let mut command = Command::shell("echo oh no >&2");
///     let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
///     let mut stderr: ChildStderr = child.stderr.take().unwrap();
///     let mut text = Vec::new();
///     stderr.read_to_end(&mut text).await.unwrap();
///     assert_eq!(text, b"oh no\n");
///     child.wait().await.unwrap();
/// });
/// ```
pub type ChildStderr = PipeReader<std::process::ChildStderr>;

/// The reading end of a child's pipe: [`ChildStdout`] or [`ChildStderr`].
///
/// ```
/// use riata::process::{Command, PipeReader, Stdio};
/// riata::run(async {
///     let mut child = Command::new("echo").stdout(Stdio::piped()).spawn().unwrap();
///     let mut stdout: PipeReader<std::process::ChildStdout> = child.stdout.take().unwrap();
///     assert_eq!(stdout.read(&mut [0; 8]).await.unwrap(), 1);
///     child.wait().await.unwrap();
/// });
/// ```
pub struct PipeReader<T: AsFd>(Source<T>);

impl<T: AsFd> PipeReader<T> {
    /// Of an end that the child does not have: its mode is this process's alone.
    pub(super) fn new(pipe: T) -> io::Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        Source::new(pipe).map(Self)
    }

    fn poll(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0
            .poll_read_with(context, |pipe| Ok(net::read(pipe, buffer)?))
    }

    /// Reads at most `buffer.len()` bytes and says how many; 0 is the end. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    ///
    /// Those of read(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut child = Command::new("echo").stdout(Stdio::piped()).spawn().unwrap();
    ///     let stdout = child.stdout.as_mut().unwrap();
    ///     assert_eq!(stdout.read(&mut [0; 8]).await.unwrap(), 1);
    ///     child.wait().await.unwrap();
    /// });
    /// ```
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll(context, buffer)).await
    }

    /// Reads until `buffer` is full. Dropping the future leaves what has come in `buffer`, and
    /// nobody knows how much that is.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the end comes before; those of read(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut command = Command::new("echo");
    ///     let mut child = command.arg("hello").stdout(Stdio::piped()).spawn().unwrap();
    ///     let mut text = [0; 5];
    ///     child.stdout.as_mut().unwrap().read_exact(&mut text).await.unwrap();
    ///     assert_eq!(&text, b"hello");
    ///     child.wait().await.unwrap();
    /// });
    /// ```
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        fill(|context, rest| self.poll(context, rest), buffer).await
    }

    /// Appends to `bytes` all that comes until the end, and says how much that was. Dropping
    /// the future loses nothing: what has come is in `bytes`.
    ///
    /// # Errors
    ///
    /// Those of read(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut child = Command::new("echo").stdout(Stdio::piped()).spawn().unwrap();
    ///     let mut text = Vec::new();
    ///     child.stdout.as_mut().unwrap().read_to_end(&mut text).await.unwrap();
    ///     assert_eq!(text, b"\n");
    ///     child.wait().await.unwrap();
    /// });
    /// ```
    pub async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        read_all(|context, chunk| self.poll(context, chunk), bytes).await
    }

    /// The pipe, in blocking mode, to be another child's standard input.
    ///
    /// # Errors
    ///
    /// Those of ioctl(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut echo = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().unwrap();
    ///     let text = echo.stdout.take().unwrap().into_stdio().unwrap();
    ///     let count = Command::new("wc").arg("-c").stdin(text).output().await.unwrap();
    ///     assert_eq!(String::from_utf8(count.stdout).unwrap().trim(), "6");
    ///     echo.wait().await.unwrap();
    /// });
    /// ```
    pub fn into_stdio(self) -> io::Result<Stdio>
    where
        T: Into<OwnedFd>,
    {
        let pipe = self.0.into_io();
        ioctl_fionbio(&pipe, false)?;
        Ok(Stdio::from(pipe.into()))
    }
}

impl<T: AsFd> AsyncRead for PipeReader<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, buffer)
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for PipeReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeReader").field(self.0.io()).finish()
    }
}

/// What a child reads from its standard input; it reads the end when this is dropped or
/// closed.
///
/// ```
/// use riata::process::{ChildStdin, Command, Stdio};
/// riata::run(async {
///     let mut command = Command::new("cat");
///     let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
///     let mut stdin: ChildStdin = child.stdin.take().unwrap();
///     stdin.write_all(b"meow").await.unwrap();
///     drop(stdin);
///     let output = child.wait_with_output().await.unwrap();
///     assert_eq!(output.stdout, b"meow");
/// });
/// ```
#[derive(Debug)]
pub struct ChildStdin(Option<Source<std::process::ChildStdin>>);

impl ChildStdin {
    pub(super) fn new(pipe: std::process::ChildStdin) -> io::Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        Ok(Self(Some(Source::new(pipe)?)))
    }

    fn poll(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Some(source) => source.poll_write_with(context, |pipe| Ok(net::write(pipe, bytes)?)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Writes what there is room for, waiting until there is some, and says how many bytes that
    /// was. If the future is dropped, nothing was written.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the child has closed its end, or this is closed; those of write(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    ///     assert_eq!(child.stdin.as_mut().unwrap().write(b"").await.unwrap(), 0);
    ///     child.wait().await.unwrap();
    /// });
    /// ```
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll(context, bytes)).await
    }

    /// Writes all of `bytes`. If the future is dropped, nobody knows how much was written.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut command = Command::new("cat");
    ///     let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    ///     child.stdin.as_mut().unwrap().write_all(b"hello").await.unwrap();
    ///     child.wait().await.unwrap();
    /// });
    /// ```
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        drain(|context, rest| self.poll(context, rest), bytes).await
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, bytes)
    }

    /// Nothing is held back here.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes the pipe.
    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}
