//! Descriptors that futures wait for.
//!
//! The engine is level-triggered, so a descriptor that is ready and that nobody reads would
//! be reported by every poll. A [`Source`] asks the kernel once and leaves the question
//! standing as long as somebody answers the reports: reading stays asked for from one wait to
//! the next, without a system call, and is withdrawn when a report finds nobody waiting.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::context::{self, Guests};
use crate::handle::Handle;
use crate::host::{Interest, Readiness, WatchKey};

/// Reading or writing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Side {
    Read,
    Write,
}

impl Side {
    const fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
        }
    }
}

/// Who waits on one side.
#[derive(Default)]
struct Waiters {
    /// The last caller of a `poll_` method.
    poller: Option<Waker>,
    /// Futures of `readable` and `writable`, each with its number.
    futures: Vec<(u64, Waker)>,
    /// It may be ready: whoever wants to should try.
    hopeful: bool,
    /// Counts reports, so that a future knows that one came since it began to wait.
    reports: u64,
}

struct State {
    key: Cell<Option<WatchKey>>,
    interest: Cell<Interest>,
    sides: RefCell<[Waiters; 2]>,
    next: Cell<u64>,
    home: Handle,
}

impl State {
    /// Asks the kernel about one side, if it is not asked already.
    fn ask(&self, guests: &Guests, side: Side) -> io::Result<()> {
        if !guests.handle().is_same(&self.home) {
            // asyncio's words.
            return Err(io::Error::other("attached to a different loop"));
        }
        let interest = self.interest.get().union(side.interest());
        self.set_interest(guests, interest)
    }

    fn set_interest(&self, guests: &Guests, interest: Interest) -> io::Result<()> {
        if self.interest.get() == interest {
            return Ok(());
        }
        let Some(key) = self.key.get() else {
            return Err(io::Error::other("the source is closed"));
        };
        guests.host().set_interest(key, interest)?;
        self.interest.set(interest);
        Ok(())
    }
}

/// What a host tells of a descriptor: see [`Host::watch`](crate::host::Host::watch).
pub struct Watcher(Rc<State>);

impl Watcher {
    /// Tells whoever waits that the descriptor is ready, from outside any task. May change
    /// the watcher's interest.
    pub fn notify(&self, readiness: Readiness) {
        let mut wanted = self.0.interest.get();
        let mut woken = Vec::new();
        for (side, is_ready) in [
            (Side::Read, readiness.wakes_reader() || readiness.priority()),
            (Side::Write, readiness.wakes_writer()),
        ] {
            if !is_ready || !self.0.interest.get().contains(side.interest()) {
                continue;
            }
            let waiters = &mut self.0.sides.borrow_mut()[side as usize];
            waiters.hopeful = true;
            waiters.reports += 1;
            let mut nobody = waiters.poller.is_none() && waiters.futures.is_empty();
            woken.extend(waiters.poller.take());
            woken.extend(waiters.futures.drain(..).map(|(_, waker)| waker));
            // There is nearly always room to write: asked for only while somebody waits.
            nobody |= side == Side::Write;
            if nobody {
                wanted = wanted.difference(side.interest());
            }
        }
        // The kernel complains only if the file is gone; then it reports nothing either.
        let _ = context::try_with(|guests| self.0.set_interest(guests, wanted));
        for waker in woken {
            waker.wake();
        }
    }
}

impl Clone for Watcher {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher")
            .field(&self.0.interest.get())
            .finish()
    }
}

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
        let fd = io.as_fd().as_raw_fd();
        context::with(|guests| {
            let hopeful = || Waiters {
                hopeful: true,
                ..Waiters::default()
            };
            let state = Rc::new(State {
                key: Cell::new(None),
                interest: Cell::new(Interest::NONE),
                sides: RefCell::new([hopeful(), hopeful()]),
                next: Cell::new(0),
                home: guests.handle().clone(),
            });
            let watcher = Watcher(Rc::clone(&state));
            let key = guests.host().watch(fd, Interest::NONE, watcher)?;
            state.key.set(Some(key));
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
        self.state.sides.borrow_mut()[Side::Read as usize].hopeful = false;
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
        self.waiting(Side::Read)
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
        self.waiting(Side::Write)
    }

    fn waiting(&self, side: Side) -> Waiting<'_> {
        Waiting {
            state: &self.state,
            side,
            began: None,
        }
    }

    fn poll_with<'a, R>(
        &'a self,
        side: Side,
        context: &mut Context<'_>,
        mut attempt: impl FnMut(&'a T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        while self.state.sides.borrow()[side as usize].hopeful {
            match attempt(self.io()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.state.sides.borrow_mut()[side as usize].hopeful = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
        if let Err(error) = context::with(|guests| self.state.ask(guests, side)) {
            return Poll::Ready(Err(error));
        }
        let waker = context.waker();
        let old = {
            let poller = &mut self.state.sides.borrow_mut()[side as usize].poller;
            match poller {
                Some(old) if old.will_wake(waker) => None,
                _ => poller.replace(waker.clone()),
            }
        };
        drop(old);
        Poll::Pending
    }

    async fn with<'a, R>(
        &'a self,
        side: Side,
        mut attempt: impl FnMut(&'a T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            if self.state.sides.borrow()[side as usize].hopeful {
                match attempt(self.io()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.state.sides.borrow_mut()[side as usize].hopeful = false;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    result => return result,
                }
            }
            self.waiting(side).await?;
        }
    }

    fn unwatch(&mut self) {
        let Some(key) = self.state.key.take() else {
            return;
        };
        self.state.home.call_there(move |guests| {
            let watcher = guests.host().unwatch(key);
            drop(watcher);
        });
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

/// What [`Source::readable`] and [`Source::writable`] give.
///
/// ```
/// let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
/// near.set_nonblocking(true).unwrap();
/// drop(far);
/// riata::run(async {
///     let near = riata::Source::new(near).unwrap();
///     let end: riata::Waiting<'_> = near.readable();
///     end.await.unwrap();
/// });
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Waiting<'a> {
    state: &'a Rc<State>,
    side: Side,
    /// This future's number, and the count of reports when it began to wait.
    began: Option<(u64, u64)>,
}

impl Future for Waiting<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let side = self.side;
        let reports = self.state.sides.borrow()[side as usize].reports;
        let number = match self.began {
            Some((_, before)) if before != reports => {
                self.began = None;
                return Poll::Ready(Ok(()));
            }
            Some((number, _)) => number,
            None => {
                let number = self.state.next.get();
                self.state.next.set(number + 1);
                self.began = Some((number, reports));
                number
            }
        };
        if let Err(error) = context::with(|guests| self.state.ask(guests, side)) {
            return Poll::Ready(Err(error));
        }
        let waker = context.waker();
        let old = {
            let futures = &mut self.state.sides.borrow_mut()[side as usize].futures;
            match futures.iter_mut().find(|(it, _)| *it == number) {
                Some((_, old)) if old.will_wake(waker) => None,
                Some((_, old)) => Some(std::mem::replace(old, waker.clone())),
                None => {
                    futures.push((number, waker.clone()));
                    None
                }
            }
        };
        drop(old);
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some((number, _)) = self.began else {
            return;
        };
        let waker = {
            let futures = &mut self.state.sides.borrow_mut()[self.side as usize].futures;
            let position = futures.iter().position(|(it, _)| *it == number);
            position.map(|position| futures.swap_remove(position))
        };
        drop(waker);
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiting").field(&self.side).finish()
    }
}
