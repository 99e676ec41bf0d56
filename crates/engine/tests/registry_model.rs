//! The registry against a naive model, on real sockets whose numbers are closed and given
//! to others without a word. One test, so that no other thread takes a free number.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, unsafe_code)]

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use proptest::prelude::*;
use riata_engine::Nanos;
use riata_engine::driver::{Dispatch, Events, Interest, Poller, Registry, WatchKey};

/// The numbers that are closed and reused, away from what the process uses.
const NUMBERS: [RawFd; 3] = [200, 201, 202];
const INTERESTS: [Interest; 3] = [Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY];

#[derive(Clone, Debug)]
enum Call {
    /// Puts a new socket at a number, open or not.
    Open(usize),
    Close(usize),
    Send(usize),
    HangUp(usize),
    Add(usize, u8),
    Set(usize, u8),
    Remove(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let number = || 0..NUMBERS.len();
    prop_oneof![
        3 => number().prop_map(Call::Open),
        2 => number().prop_map(Call::Close),
        2 => number().prop_map(Call::Send),
        1 => number().prop_map(Call::HangUp),
        5 => (number(), 0..8u8).prop_map(|(number, bits)| Call::Add(number, bits)),
        5 => (any::<usize>(), 0..8u8).prop_map(|(which, bits)| Call::Set(which, bits)),
        3 => any::<usize>().prop_map(Call::Remove),
    ]
}

fn interest(bits: u8) -> Interest {
    let chosen = |(index, &each): (usize, &Interest)| (bits >> index & 1 == 1).then_some(each);
    let each = INTERESTS.iter().enumerate().filter_map(chosen);
    each.fold(Interest::NONE, Interest::union)
}

/// What poll(2) says of `number` to somebody with `interest`; an opinion that owes nothing
/// to epoll. The bits have the same values.
fn facts(number: RawFd, interest: Interest) -> u32 {
    let mut events = 0;
    if interest.contains(Interest::READABLE) {
        events |= libc::POLLIN | libc::POLLRDHUP;
    }
    if interest.contains(Interest::WRITABLE) {
        events |= libc::POLLOUT;
    }
    if interest.contains(Interest::PRIORITY) {
        events |= libc::POLLPRI;
    }
    let mut poll = libc::pollfd {
        fd: number,
        events,
        revents: 0,
    };
    // SAFETY: E1. One pollfd, on the stack.
    assert!(unsafe { libc::poll(&raw mut poll, 1, 0) } >= 0);
    poll.revents as u32
}

struct Watcher {
    key: WatchKey,
    number: usize,
    interest: Interest,
    /// Which of the sockets that were at the number it was added for.
    file: usize,
    /// Whether it changed its interest at a number that names another file now: it may be
    /// told about that, but need not if the kernel was not asked.
    adopted: bool,
}

#[derive(Default)]
struct Number {
    file: usize,
    peer: Option<UnixStream>,
}

struct Model {
    poller: Poller,
    registry: Registry<usize>,
    events: Events,
    numbers: [Number; NUMBERS.len()],
    watchers: Vec<Watcher>,
    added: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            poller: Poller::new().unwrap(),
            registry: Registry::new(),
            events: Events::with_capacity(1),
            numbers: Default::default(),
            watchers: Vec::new(),
            added: 0,
        }
    }

    fn close(&mut self, number: usize) {
        self.numbers[number].peer = None;
        // SAFETY: E1. The numbers are this test's own; closing one twice is EBADF.
        unsafe { libc::close(NUMBERS[number]) };
    }

    fn open(&mut self, number: usize) {
        let (socket, peer) = UnixStream::pair().unwrap();
        let (from, to) = (socket.as_raw_fd(), NUMBERS[number]);
        // SAFETY: E1. The number is this test's own.
        assert_eq!(unsafe { libc::dup3(from, to, libc::O_CLOEXEC) }, to);
        self.numbers[number].peer = Some(peer);
        self.numbers[number].file += 1;
    }

    fn add(&mut self, number: usize, interest: Interest) {
        let payload = self.added;
        let result = self
            .registry
            .add(&self.poller, NUMBERS[number], interest, payload);
        let Number { file, peer } = &self.numbers[number];
        assert_eq!(result.is_ok(), peer.is_some() || self.hung_up(number));
        if let Ok(key) = result {
            self.added += 1;
            self.watchers.push(Watcher {
                key,
                number,
                interest,
                file: *file,
                adopted: false,
            });
        }
    }

    /// Open, but without a peer.
    fn hung_up(&self, number: usize) -> bool {
        facts(NUMBERS[number], Interest::NONE) & libc::POLLNVAL as u32 == 0
    }

    fn set(&mut self, which: usize, interest: Interest) {
        if self.watchers.is_empty() {
            return;
        }
        let which = which % self.watchers.len();
        let watcher = &mut self.watchers[which];
        let result = self
            .registry
            .set_interest(&self.poller, watcher.key, interest);
        if result.is_ok() {
            watcher.interest = interest;
        }
        let current = self.numbers[watcher.number].file;
        if watcher.file == current {
            let is_open = facts(NUMBERS[watcher.number], Interest::NONE);
            if is_open & libc::POLLNVAL as u32 == 0 {
                assert_eq!(result, Ok(()));
            }
        } else {
            watcher.adopted |= !interest.is_none();
        }
        let kept = self.registry.interest(watcher.key);
        assert_eq!(kept, Some(watcher.interest));
    }

    fn remove(&mut self, which: usize) {
        if self.watchers.is_empty() {
            return;
        }
        let watcher = self.watchers.remove(which % self.watchers.len());
        assert!(self.registry.remove(&self.poller, watcher.key).is_some());
        assert_eq!(self.registry.remove(&self.poller, watcher.key), None);
    }

    /// Polls, and compares who is told what with what poll(2) says.
    fn check(&mut self) {
        // Until it is large enough for all.
        for _ in 0..4 {
            self.poller.wait(&mut self.events, Some(Nanos(0))).unwrap();
        }
        let mut told = Vec::new();
        for (token, readiness) in self.events.iter() {
            let outcome = self.registry.dispatch(token, readiness, &mut told);
            assert_eq!(outcome, Dispatch::Current);
        }
        for watcher in &self.watchers {
            let mut mine = told.iter().filter(|it| it.0 == watcher.key);
            let bits = mine.next().map_or(0, |it| it.1.bits());
            assert!(mine.next().is_none(), "told twice");
            let Number { file, .. } = self.numbers[watcher.number];
            let mut expected = facts(NUMBERS[watcher.number], watcher.interest);
            if watcher.interest.is_none() || expected & libc::POLLNVAL as u32 != 0 {
                expected = 0;
            }
            if watcher.file == file {
                assert_eq!(bits, expected);
            } else if watcher.adopted {
                assert!(bits == 0 || bits == expected);
            } else {
                assert_eq!(bits, 0, "told about another file");
            }
        }
        assert_eq!(self.registry.len(), self.watchers.len());
        assert_eq!(self.registry.iter().count(), self.watchers.len());
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        (0..NUMBERS.len()).for_each(|number| self.close(number));
    }
}

proptest! {
    #[test]
    fn everybody_is_told_what_is_so_and_nobody_about_another_file(
        calls in prop::collection::vec(call(), 0..60),
    ) {
        let mut model = Model::new();
        for call in calls {
            match call {
                Call::Open(number) => model.open(number),
                Call::Close(number) => model.close(number),
                Call::Send(number) => {
                    if let Some(peer) = &mut model.numbers[number].peer {
                        peer.write_all(b"x").unwrap();
                    }
                }
                Call::HangUp(number) => model.numbers[number].peer = None,
                Call::Add(number, bits) => model.add(number, interest(bits)),
                Call::Set(which, bits) => model.set(which, interest(bits)),
                Call::Remove(which) => model.remove(which),
            }
            model.check();
        }
    }
}
