//! Connecting: to one address, or to the first of several that answers.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use riata_engine::net::{self, SocketAddr as EngineAddr};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::sleep::{Sleep, sleep};
use crate::source::{Source, Trigger};

/// How long one attempt may take before another begins beside it: what RFC 8305 recommends and
/// asyncio's documentation repeats.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A new socket, non-blocking and close-on-exec.
pub(super) fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}

/// A new socket for an address's family.
pub(super) fn socket_for(address: &SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    socket(family, kind)
}

/// Connects a new socket, and waits until that has succeeded or failed.
pub(super) async fn establish<S: AsFd + From<OwnedFd>>(
    socket: OwnedFd,
    address: &EngineAddr,
    trigger: Trigger,
) -> io::Result<Source<S>> {
    let begun = net::connect(&socket, address);
    let source = Source::with_trigger(S::from(socket), trigger)?;
    match begun {
        Ok(()) => return Ok(source),
        // An interrupted attempt goes on by itself: connect(2).
        Err(error) if error.errno == Errno::INPROGRESS.raw_os_error() || error.is_interrupted() => {
        }
        Err(error) => return Err(error.into()),
    }
    source.writable().await?;
    match net::take_error(source.io())? {
        Some(error) => Err(error.into()),
        None => Ok(source),
    }
}

/// Connects to the first of `addresses` that answers: "happy eyeballs" as asyncio does it.
pub(super) async fn connect_any(
    addresses: Vec<SocketAddr>,
) -> io::Result<Source<std::net::TcpStream>> {
    match *addresses.as_slice() {
        [address] => connect_one(address).await,
        _ => Race::new(interleave(addresses), connect_one).run().await,
    }
}

async fn connect_one(address: SocketAddr) -> io::Result<Source<std::net::TcpStream>> {
    let socket = socket_for(&address, SocketType::STREAM)?;
    establish(socket, &address.into(), Trigger::Edge).await
}

/// One address of each family in turn, beginning with the first one's: as asyncio's
/// `_interleave_addrinfos`.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return addresses;
    };
    let is_first = first.is_ipv4();
    let (one, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == is_first);
    let mut mixed = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return mixed,
            pair => mixed.extend(pair.0.into_iter().chain(pair.1)),
        }
    }
}

/// Attempts that begin one after the other, each when its forerunner has failed or taken too
/// long; the first that succeeds ends the others. As asyncio's `staggered_race`.
struct Race<S, F> {
    left: std::vec::IntoIter<SocketAddr>,
    start: S,
    running: Vec<Pin<Box<F>>>,
    /// Until the next may begin; `None` once the newest has failed.
    patience: Option<Sleep>,
    errors: Vec<io::Error>,
}

impl<T, F, S> Race<S, F>
where
    F: Future<Output = io::Result<T>>,
    S: FnMut(SocketAddr) -> F,
{
    fn new(addresses: Vec<SocketAddr>, start: S) -> Self {
        Self {
            left: addresses.into_iter(),
            start,
            running: Vec::new(),
            patience: None,
            errors: Vec::new(),
        }
    }

    async fn run(mut self) -> io::Result<T> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            if let Some(winner) = self.poll_running(context) {
                return Poll::Ready(Ok(winner));
            }
            if let Some(patience) = &mut self.patience
                && Pin::new(patience).poll(context).is_pending()
            {
                return Poll::Pending;
            }
            if let Some(address) = self.left.next() {
                self.running.push(Box::pin((self.start)(address)));
                self.patience = Some(sleep(ATTEMPT_DELAY));
            } else if self.running.is_empty() {
                return Poll::Ready(Err(merged(std::mem::take(&mut self.errors))));
            } else {
                self.patience = None;
                return Poll::Pending;
            }
        }
    }

    /// Polls each attempt; takes out those that have failed.
    fn poll_running(&mut self, context: &mut Context<'_>) -> Option<T> {
        let mut index = 0;
        while let Some(attempt) = self.running.get_mut(index) {
            match attempt.as_mut().poll(context) {
                Poll::Ready(Ok(winner)) => return Some(winner),
                Poll::Ready(Err(error)) => {
                    let was_newest = index + 1 == self.running.len();
                    if was_newest {
                        self.patience = None;
                    }
                    self.running.remove(index);
                    self.errors.push(error);
                }
                Poll::Pending => index += 1,
            }
        }
        None
    }
}

/// Why none of several attempts succeeded.
#[derive(Debug)]
struct AllFailed(Vec<io::Error>);

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // asyncio's words.
        f.write_str("Multiple exceptions: ")?;
        for (index, error) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for AllFailed {}

/// The error of several attempts: theirs if it is one and the same, else one that tells all,
/// of the first one's kind.
fn merged(mut errors: Vec<io::Error>) -> io::Error {
    let code = errors.first().and_then(io::Error::raw_os_error);
    let is_one = errors.iter().all(|error| error.raw_os_error() == code);
    if is_one && let Some(error) = errors.pop() {
        return error;
    }
    let kind = errors
        .first()
        .map_or(io::ErrorKind::AddrNotAvailable, io::Error::kind);
    io::Error::new(kind, AllFailed(errors))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::Runtime;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Runs a race in which the attempt at port N takes as long, and ends, as `plan[N]` says;
    /// gives the winner, and when each began, in milliseconds.
    fn race(plan: &'static [(u64, Result<(), i32>)]) -> (io::Result<u16>, Vec<u64>) {
        let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
        let begun = RefCell::new(Vec::new());
        let attempt = |address: SocketAddr| {
            let port = address.port();
            let (takes, outcome) = plan[usize::from(port)];
            begun
                .borrow_mut()
                .push(crate::time().as_nanos() / 1_000_000);
            async move {
                sleep(Duration::from_millis(takes)).await;
                outcome.map(|()| port).map_err(io::Error::from_raw_os_error)
            }
        };
        let list = (0..plan.len()).map(|port| SocketAddr::from(([127, 0, 0, 1], port as u16)));
        let list = list.collect();
        let result = runtime.run(Race::new(list, attempt).run());
        (result, begun.into_inner())
    }

    #[test]
    fn a_slow_attempt_gets_a_rival_after_a_quarter_of_a_second() {
        let (winner, begun) = race(&[(10_000, Ok(())), (10, Ok(())), (10, Ok(()))]);
        assert_eq!(winner.unwrap(), 1);
        assert_eq!(begun, [0, 250]);
    }

    #[test]
    fn a_slow_attempt_still_wins_if_its_rivals_are_slower() {
        let (winner, begun) = race(&[(300, Ok(())), (10_000, Ok(()))]);
        assert_eq!(winner.unwrap(), 0);
        assert_eq!(begun, [0, 250]);
    }

    #[test]
    fn a_failure_of_the_newest_begins_the_next_at_once_one_of_an_older_does_not() {
        let plan = &[
            (10, Err(libc_errno::REFUSED)),
            (100, Err(libc_errno::REFUSED)),
            (400, Err(libc_errno::REFUSED)),
            (1_000, Ok(())),
            (1, Ok(())),
        ];
        let (winner, begun) = race(plan);
        assert_eq!(begun, [0, 10, 110, 360, 610]);
        assert_eq!(winner.unwrap(), 4);
    }

    mod libc_errno {
        pub(super) const REFUSED: i32 = rustix::io::Errno::CONNREFUSED.raw_os_error();
        pub(super) const UNREACHABLE: i32 = rustix::io::Errno::NETUNREACH.raw_os_error();
    }

    #[test]
    fn errors_that_are_one_are_told_once_and_others_all() {
        let (result, _) = race(&[(1, Err(libc_errno::REFUSED)), (1, Err(libc_errno::REFUSED))]);
        assert_eq!(
            result.unwrap_err().raw_os_error(),
            Some(libc_errno::REFUSED)
        );
        let (result, _) = race(&[
            (1, Err(libc_errno::REFUSED)),
            (1, Err(libc_errno::UNREACHABLE)),
        ]);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.starts_with("Multiple exceptions: Connection refused"));
        assert!(text.contains("unreachable"));
    }

    #[test]
    fn families_take_turns() {
        let mixed = interleave(addresses(&["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:4"]));
        assert_eq!(
            mixed,
            addresses(&["[::1]:1", "1.1.1.1:4", "[::1]:2", "[::1]:3"])
        );
        assert!(interleave(Vec::new()).is_empty());
    }
}
