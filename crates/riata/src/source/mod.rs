//! Descriptors that futures wait for.
//!
//! The engine is level-triggered, so a descriptor that is ready and that nobody reads would
//! be reported by every poll. A [`Source`] asks the kernel once and leaves the question
//! standing as long as somebody answers the reports: reading stays asked for from one wait to
//! the next, without a system call, and is withdrawn when a report finds nobody waiting.
//!
//! A TCP stream's source is edge-triggered instead: everything is asked for once, and what was
//! reported is remembered until an attempt has found the end of it. So the kernel need not
//! look at each poll whether what it reported last is still so.

mod state;
mod waiting;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::context;
use state::{Side, State};
pub use state::{Trigger, Watcher};
use waiting::Knows;
pub use waiting::Waiting;

/// A descriptor, in non-blocking mode, that futures of this thread's loop wait for.
///
/// It must not be closed by anybody else while this lives. Regular files cannot be waited
/// for (EPERM).
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// riata::run(async {
///     let (near, mut far) = UnixStream::pair().unwrap();
///     near.set_nonblocking(true).unwrap();
///     let near = riata::Source::new(near).unwrap();
///     far.write_all(b"hello").unwrap();
///     let mut buffer = [0; 16];
///     let count = near.read_with(|mut io| io.read(&mut buffer)).await.unwrap();
///     assert_eq!(&buffer[..count], b"hello");
/// });
/// ```
pub struct Source<T: AsFd> {
    /// Present until the source is taken apart.
    io: Option<T>,
    state: Rc<State>,
}

impl<T: AsFd> Source<T> {
    /// Makes a source of `io`, which is in non-blocking mode.
    ///
    /// # Errors
    ///
    /// EBADF; ENOSPC and ENOMEM, the kernel's limits. A file that cannot be waited for says so
    /// (EPERM) when it is first waited for.
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// riata::run(async { riata::Source::new(near).unwrap(); });
    /// ```
    #[track_caller]
    pub fn new(io: T) -> io::Result<Self> {
        Self::with_trigger(io, Trigger::Level)
    }

    /// As [`new`](Self::new). With [`Trigger::Edge`] nobody is asked before the first wait.
    #[track_caller]
    pub(crate) fn with_trigger(io: T, trigger: Trigger) -> io::Result<Self> {
        let fd = io.as_fd().as_raw_fd();
        context::with(|guests| {
            let state = State::new(guests, fd, trigger)?;
            let io = Some(io);
            Ok(Self { io, state })
        })
    }

    /// What was made a source.
    ///
    /// ```
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// riata::run(async {
    ///     let source = riata::Source::new(near).unwrap();
    ///     assert!(source.io().peer_addr().is_ok());
    /// });
    /// ```
    #[allow(clippy::expect_used)]
    pub fn io(&self) -> &T {
        self.io
            .as_ref()
            .expect("taken only by what consumes the source")
    }

    /// The same, no longer watched.
    ///
    /// ```
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// riata::run(async {
    ///     let near = riata::Source::new(near).unwrap().into_io();
    ///     near.set_nonblocking(false).unwrap();
    /// });
    /// ```
    #[allow(clippy::expect_used)]
    pub fn into_io(mut self) -> T {
        self.unwatch();
        self.io
            .take()
            .expect("taken only by what consumes the source")
    }

    /// Says that the last attempt to read took all there was, so that the next
    /// [`poll_read_with`](Self::poll_read_with) waits for a report before it tries. It is
    /// never wrong to say so: what is readable is reported again.
    ///
    /// ```
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// riata::run(async { riata::Source::new(near).unwrap().set_drained() });
    /// ```
    pub fn set_drained(&self) {
        // What an edge does not report again is found by the next attempt.
        if self.state.trigger() == Trigger::Level {
            self.state.set_hopeless(Side::Read);
        }
    }

    /// As [`set_drained`](Self::set_drained), by who knows it of what it has just read: a stream
    /// that gave less than there was room for, and whose end may have come in the same report.
    pub(crate) fn set_read_short(&self) {
        if !self.state.has_more_to_tell() {
            self.state.set_hopeless(Side::Read);
        }
    }

    /// Calls `read` if it may succeed; where it would block, waits. Of several tasks that
    /// poll, the last is woken.
    ///
    /// # Errors
    ///
    /// What `read` gives other than `WouldBlock` (`Interrupted` is tried again); what the kernel
    /// says when asked to watch.
    ///
    /// ```
    /// use std::io::Read;
    /// let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// drop(far);
    /// riata::run(async {
    ///     let near = riata::Source::new(near).unwrap();
    ///     let end = std::future::poll_fn(|context| {
    ///         near.poll_read_with(context, |mut io| io.read(&mut [0; 8]))
    ///     });
    ///     assert_eq!(end.await.unwrap(), 0);
    /// });
    /// ```
    pub fn poll_read_with<'a, R>(
        &'a self,
        context: &mut Context<'_>,
        read: impl FnMut(&'a T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Side::Read, context, read)
    }

    /// As [`poll_read_with`](Self::poll_read_with), to write.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use std::io::Write;
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// riata::run(async {
    ///     let near = riata::Source::new(near).unwrap();
    ///     let written = std::future::poll_fn(|context| {
    ///         near.poll_write_with(context, |mut io| io.write(b"hello"))
    ///     });
    ///     assert_eq!(written.await.unwrap(), 5);
    /// });
    /// ```
    pub fn poll_write_with<'a, R>(
        &'a self,
        context: &mut Context<'_>,
        write: impl FnMut(&'a T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(Side::Write, context, write)
    }

    /// Calls `read` until it does not say `WouldBlock`, waiting in between. Any number of
    /// tasks may do so at once.
    ///
    /// # Errors
    ///
    /// As [`poll_read_with`](Self::poll_read_with).
    ///
    /// ```
    /// use std::io::Read;
    /// let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// drop(far);
    /// riata::run(async {
    ///     let near = riata::Source::new(near).unwrap();
    ///     assert_eq!(near.read_with(|mut io| io.read(&mut [0; 8])).await.unwrap(), 0);
    /// });
    /// ```
    pub async fn read_with<'a, R>(
        &'a self,
        read: impl FnMut(&'a T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.with(Side::Read, read).await
    }

    /// As [`read_with`](Self::read_with), to write.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use std::io::Write;
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// riata::run(async {
    ///     let near = riata::Source::new(near).unwrap();
    ///     assert_eq!(near.write_with(|mut io| io.write(b"hello")).await.unwrap(), 5);
    /// });
    /// ```
    pub async fn write_with<'a, R>(
        &'a self,
        write: impl FnMut(&'a T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.with(Side::Write, write).await
    }

    /// Waits until reading would not block. Each await asks the kernel afresh.
    ///
    /// # Errors
    ///
    /// What the kernel says when asked to watch: EPERM for a regular file.
    ///
    /// ```
    /// let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// drop(far);
    /// riata::run(async {
    ///     riata::Source::new(near).unwrap().readable().await.unwrap();
    /// });
    /// ```
    pub fn readable(&self) -> Waiting<'_> {
        self.waiting(Side::Read, Knows::Nothing)
    }

    /// Waits until writing would not block, or an attempt to connect has ended.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    ///
    /// ```
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// riata::run(async {
    ///     riata::Source::new(near).unwrap().writable().await.unwrap();
    /// });
    /// ```
    pub fn writable(&self) -> Waiting<'_> {
        self.waiting(Side::Write, Knows::Nothing)
    }

    fn waiting(&self, side: Side, knows: Knows) -> Waiting<'_> {
        Waiting::new(&self.state, self.io(), side, knows)
    }

    fn poll_with<'a, R>(
        &'a self,
        side: Side,
        context: &mut Context<'_>,
        mut attempt: impl FnMut(&'a T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        while self.state.is_hopeful(side) {
            match attempt(self.io()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.state.set_hopeless(side);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
        if let Err(error) = context::with(|guests| self.state.ask(guests, side)) {
            return Poll::Ready(Err(error));
        }
        self.state.set_poller(side, context.waker());
        Poll::Pending
    }

    async fn with<'a, R>(
        &'a self,
        side: Side,
        mut attempt: impl FnMut(&'a T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            if self.state.is_hopeful(side) {
                match attempt(self.io()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.state.set_hopeless(side);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    result => return result,
                }
            }
            self.waiting(side, Knows::NotReady).await?;
        }
    }

    fn unwatch(&mut self) {
        self.state.unwatch();
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        // Before the descriptor is closed, while its number still is this file's.
        self.unwatch();
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(self.io()).finish()
    }
}
