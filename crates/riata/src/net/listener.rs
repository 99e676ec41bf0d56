//! Sockets that others connect to: what TCP and Unix have in common.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream as Items;
use rustix::io::Errno;

use super::stream::Stream;
use crate::sleep::{Sleep, sleep_until};
use crate::source::{Source, Trigger, Waiting};
use crate::time::Time;

/// How long a listener leaves connections waiting when there was no descriptor or no memory for
/// one: asyncio's `ACCEPT_RETRY_DELAY`.
const EXHAUSTION_PAUSE: Duration = Duration::from_secs(1);

/// A listening socket of std's: what a [`Listener`] can be over.
///
/// ```
/// fn listen<L: riata::net::Accept>(_: &riata::net::Listener<L>) {}
/// riata::run(async {
///     listen(&riata::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
/// });
/// ```
pub trait Accept: AsFd + Sealed<Self::Socket, Self::Address> {
    /// The socket of one connection.
    type Socket: AsFd;
    /// Where a connection comes from.
    type Address;
}

/// Keeps others from implementing the trait.
pub trait Sealed<S, A> {
    /// How a connection's source is told.
    const TRIGGER: Trigger;

    /// Takes the next connection, non-blocking.
    fn accept_one(&self) -> io::Result<(S, A)>;
}

/// A listening socket: [`TcpListener`](super::TcpListener) or
/// [`UnixListener`](super::UnixListener).
///
/// ```
/// use riata::net::{TcpListener, TcpStream};
/// riata::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
///     let address = listener.local_addr().unwrap();
///     let client = TcpStream::connect(address).await.unwrap();
///     let (server, peer) = listener.accept().await.unwrap();
///     assert_eq!(peer, client.local_addr().unwrap());
///     assert_eq!(server.local_addr().unwrap(), address);
/// });
/// ```
pub struct Listener<L: AsFd> {
    source: Source<L>,
    /// Until when nothing is accepted, as there was no room for it.
    paused: Cell<Option<Time>>,
}

impl<L: Accept> Listener<L> {
    /// Over a socket that is in non-blocking mode already.
    pub(super) fn over(socket: L) -> io::Result<Self> {
        Ok(Self {
            source: Source::new(socket)?,
            paused: Cell::new(None),
        })
    }

    /// The source beneath.
    ///
    /// ```
    /// # use riata::net::TcpListener;
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     assert!(listener.source().io().ttl().unwrap() > 0);
    /// });
    /// ```
    pub fn source(&self) -> &Source<L> {
        &self.source
    }

    /// Takes the next connection, and where it comes from. Any number of tasks may do so; dropping
    /// the future loses no connection.
    ///
    /// A connection that failed before it was taken is passed over.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM: there is no room for another connection. It is left
    /// waiting, and for a second the next calls wait too, so that a loop which goes on after
    /// an error does not spin. What else accept(2) says.
    ///
    /// ```
    /// # use riata::net::{UnixListener, UnixStream};
    /// let folder = std::env::temp_dir().join(format!("riata-accept-{}", std::process::id()));
    /// std::fs::create_dir_all(&folder).unwrap();
    /// riata::run(async {
    ///     let listener = UnixListener::bind(folder.join("socket")).unwrap();
    ///     let _client = UnixStream::connect(folder.join("socket")).await.unwrap();
    ///     let (_stream, peer) = listener.accept().await.unwrap();
    ///     assert!(peer.is_unnamed());
    /// });
    /// std::fs::remove_dir_all(folder).unwrap();
    /// ```
    pub async fn accept(&self) -> io::Result<(Stream<L::Socket>, L::Address)> {
        let mut accepting = Accepting::new(self);
        poll_fn(|context| accepting.poll(context)).await
    }

    /// The connections, one after the other, without end.
    ///
    /// ```
    /// # use riata::net::{TcpListener, TcpStream};
    /// use std::{future::poll_fn, pin::Pin};
    /// use futures_core::Stream;
    /// riata::run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ///     let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    ///     let mut incoming = listener.incoming();
    ///     let next = poll_fn(|context| Pin::new(&mut incoming).poll_next(context));
    ///     assert!(next.await.unwrap().is_ok());
    /// });
    /// ```
    pub fn incoming(&self) -> Incoming<'_, L> {
        Incoming(Accepting::new(self))
    }
}

/// What [`Listener::incoming`] gives: a `futures_core::Stream` of connections.
///
/// ```
/// # use riata::net::{Incoming, TcpListener};
/// riata::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
///     let _connections: Incoming<'_, std::net::TcpListener> = listener.incoming();
/// });
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a, L: Accept>(Accepting<'a, L>);

impl<L: Accept> Items for Incoming<'_, L> {
    type Item = io::Result<Stream<L::Socket>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = self.0.poll(context);
        accepted.map(|result| Some(result.map(|(stream, _)| stream)))
    }
}

impl<L: Accept + fmt::Debug> fmt::Debug for Incoming<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(self.0.listener).finish()
    }
}

/// A connection, and where it comes from.
type Connection<L> = (Stream<<L as Accept>::Socket>, <L as Accept>::Address);

/// Why accepting must wait.
enum Wait<'a> {
    ForConnection(Waiting<'a>),
    ForRoom(Sleep),
}

/// Somebody who wants a connection.
struct Accepting<'a, L: AsFd> {
    listener: &'a Listener<L>,
    wait: Option<Wait<'a>>,
}

impl<'a, L: Accept> Accepting<'a, L> {
    fn new(listener: &'a Listener<L>) -> Self {
        let wait = None;
        Self { listener, wait }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Connection<L>>> {
        loop {
            let waited = match &mut self.wait {
                Some(Wait::ForConnection(waiting)) => Pin::new(waiting).poll(context),
                Some(Wait::ForRoom(sleep)) => Pin::new(sleep).poll(context).map(Ok),
                None => Poll::Ready(Ok(())),
            };
            let Poll::Ready(waited) = waited else {
                return Poll::Pending;
            };
            self.wait = None;
            if let Err(error) = waited {
                return Poll::Ready(Err(error));
            }
            if let Some(until) = self.listener.paused.get() {
                if crate::time() < until {
                    self.wait = Some(Wait::ForRoom(sleep_until(until)));
                    continue;
                }
                self.listener.paused.set(None);
            }
            match self.listener.source.io().accept_one() {
                Ok((socket, peer)) => {
                    return Poll::Ready(
                        Stream::over(socket, L::TRIGGER).map(|stream| (stream, peer)),
                    );
                }
                Err(error) => match Failure::of(&error) {
                    Failure::NothingThere => {
                        let waiting = self.listener.source.readable();
                        self.wait = Some(Wait::ForConnection(waiting));
                    }
                    Failure::ThatConnection => {}
                    Failure::NoRoom => {
                        let until = crate::time() + EXHAUSTION_PAUSE;
                        self.listener.paused.set(Some(until));
                        return Poll::Ready(Err(error));
                    }
                    Failure::Other => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

/// What an error of accept(2) concerns.
enum Failure {
    NothingThere,
    ThatConnection,
    NoRoom,
    Other,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        match errno {
            Some(Errno::AGAIN) => Self::NothingThere,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::NoRoom,
            // accept(2): Linux passes pending network errors of the new socket on; they are to
            // be treated like EAGAIN. Each takes its connection away, so this ends.
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH,
            ) => Self::ThatConnection,
            _ => Self::Other,
        }
    }
}

impl<L: AsFd> AsFd for Listener<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.io().as_fd()
    }
}

impl<L: AsFd> AsRawFd for Listener<L> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<L: AsFd + fmt::Debug> fmt::Debug for Listener<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(self.source.io()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::Runtime;

    /// A listener whose kernel answers as written; it is always ready.
    struct Scripted {
        ready: UnixStream,
        answers: RefCell<VecDeque<Result<(), Errno>>>,
        calls: Cell<usize>,
    }

    impl Scripted {
        fn listener(answers: &[Result<(), Errno>]) -> Listener<Self> {
            let (ready, far) = UnixStream::pair().unwrap();
            ready.set_nonblocking(true).unwrap();
            drop(far);
            Listener::over(Self {
                ready,
                answers: RefCell::new(answers.iter().copied().collect()),
                calls: Cell::new(0),
            })
            .unwrap()
        }
    }

    impl AsFd for Scripted {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.ready.as_fd()
        }
    }

    impl Sealed<UnixStream, ()> for Scripted {
        const TRIGGER: Trigger = Trigger::Level;

        fn accept_one(&self) -> io::Result<(UnixStream, ())> {
            self.calls.set(self.calls.get() + 1);
            let answer = self.answers.borrow_mut().pop_front().unwrap();
            answer?;
            let (stream, _) = UnixStream::pair()?;
            stream.set_nonblocking(true)?;
            Ok((stream, ()))
        }
    }

    impl Accept for Scripted {
        type Socket = UnixStream;
        type Address = ();
    }

    #[test]
    fn connections_that_failed_meanwhile_are_passed_over() {
        crate::run(async {
            let failures = [Errno::CONNABORTED, Errno::INTR, Errno::AGAIN, Errno::PROTO];
            let mut answers: Vec<_> = failures.into_iter().map(Err).collect();
            answers.push(Ok(()));
            let listener = Scripted::listener(&answers);
            listener.accept().await.unwrap();
            assert_eq!(listener.source().io().calls.get(), 5);
        });
    }

    #[test]
    fn a_lack_of_descriptors_is_told_and_the_next_attempt_waits_a_second() {
        let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
        runtime.run(async {
            let listener = Scripted::listener(&[Err(Errno::MFILE), Err(Errno::NFILE), Ok(())]);
            let error = listener.accept().await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
            assert_eq!(crate::time().as_nanos(), 0);
            let error = listener.accept().await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::NFILE.raw_os_error()));
            assert_eq!(crate::time().as_nanos(), 1_000_000_000);
            listener.accept().await.unwrap();
            assert_eq!(crate::time().as_nanos(), 2_000_000_000);
            assert_eq!(listener.source().io().calls.get(), 3);
        });
    }

    #[test]
    fn an_error_of_the_listener_itself_is_told() {
        crate::run(async {
            let listener = Scripted::listener(&[Err(Errno::INVAL)]);
            let error = listener.accept().await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
        });
    }
}
