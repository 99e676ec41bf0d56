//! The registry on real sockets: who is told what, and what a descriptor's number hides.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use riata_engine::Nanos;
use riata_engine::driver::{
    Dispatch, Events, Interest, Poller, Readiness, Registry, Token, WatchKey,
};
use rustix::io::DupFlags;

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const NONE: Interest = Interest::NONE;
const EDGE: Interest = Interest::EDGE;

type Name = &'static str;

struct Loop {
    poller: Poller,
    registry: Registry<Name>,
    events: Events,
}

impl Loop {
    fn new() -> Self {
        Self {
            poller: Poller::new().unwrap(),
            registry: Registry::new(),
            events: Events::with_capacity(16),
        }
    }

    fn add(&mut self, fd: &impl AsRawFd, interest: Interest, name: Name) -> WatchKey {
        let fd = fd.as_raw_fd();
        self.registry.add(&self.poller, fd, interest, name).unwrap()
    }

    fn set(&mut self, key: WatchKey, interest: Interest) {
        self.registry
            .set_interest(&self.poller, key, interest)
            .unwrap();
    }

    fn remove(&mut self, key: WatchKey) -> Option<Name> {
        self.registry.remove(&self.poller, key)
    }

    fn poll(&mut self) -> Vec<(Token, Readiness)> {
        let timeout = Some(Nanos(0));
        self.poller.wait(&mut self.events, timeout).unwrap();
        self.events.iter().collect()
    }

    fn dispatch(&self, events: &[(Token, Readiness)]) -> Vec<(Name, Readiness)> {
        let mut out = Vec::new();
        for &(token, readiness) in events {
            self.registry.dispatch(token, readiness, &mut out);
        }
        let named = |&(key, readiness): &_| (*self.registry.get(key).unwrap(), readiness);
        out.iter().map(named).collect()
    }

    /// Who is told something now.
    fn told(&mut self) -> Vec<Name> {
        let events = self.poll();
        self.dispatch(&events).iter().map(|it| it.0).collect()
    }
}

/// A socket at which `x` waits to be read, and its peer.
fn readable() -> (UnixStream, UnixStream) {
    let (socket, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(b"x").unwrap();
    (socket, peer)
}

/// Puts another file behind the number of `old`, at one stroke: as if it had been closed
/// and its number given away. (Other tests run meanwhile and would take a free number.)
fn reuse(old: UnixStream, new: UnixStream) -> UnixStream {
    let mut number = OwnedFd::from(old);
    rustix::io::dup3(&new, &mut number, DupFlags::CLOEXEC).unwrap();
    number.into()
}

#[test]
fn each_watcher_of_a_descriptor_is_told_what_it_asked_for_in_order() {
    let (socket, _peer) = readable();
    let mut it = Loop::new();
    it.add(&socket, READ, "reader");
    it.add(&socket, WRITE, "writer");
    it.add(&socket, NONE, "idle");
    it.add(&socket, READ | WRITE, "both");
    let events = it.poll();
    assert_eq!(events.len(), 1);
    let told = it.dispatch(&events);
    let facts: Vec<_> = told
        .iter()
        .map(|(name, facts)| (*name, facts.readable(), facts.writable()))
        .collect();
    let expected = [
        ("reader", true, false),
        ("writer", false, true),
        ("both", true, true),
    ];
    assert_eq!(facts, expected);
}

#[test]
fn what_is_left_unread_is_told_again() {
    let (socket, _peer) = readable();
    let mut it = Loop::new();
    it.add(&socket, READ, "reader");
    assert_eq!(it.told(), ["reader"]);
    assert_eq!(it.told(), ["reader"]);
}

#[test]
fn removing_one_watcher_leaves_the_others_theirs() {
    let (socket, _peer) = readable();
    let mut it = Loop::new();
    let first = it.add(&socket, READ, "first");
    let second = it.add(&socket, READ, "second");
    let writer = it.add(&socket, WRITE, "writer");
    assert_eq!(it.remove(second), Some("second"));
    assert_eq!(it.told(), ["first", "writer"]);
    assert_eq!(it.remove(writer), Some("writer"));
    assert_eq!(it.remove(writer), None);
    assert_eq!(it.told(), ["first"]);
    assert_eq!(it.remove(first), Some("first"));
    assert!(it.poll().is_empty() && it.registry.is_empty());
}

#[test]
fn a_hang_up_does_not_spin_when_nobody_is_interested() {
    let (socket, peer) = UnixStream::pair().unwrap();
    let mut it = Loop::new();
    let key = it.add(&socket, READ, "reader");
    drop(peer);
    let events = it.poll();
    let told = it.dispatch(&events);
    assert!(told[0].1.hung_up() && told[0].1.read_hung_up() && told[0].1.wakes_writer());
    it.set(key, NONE);
    assert!(it.poll().is_empty());
    assert_eq!(it.registry.interest(key), Some(NONE));
    it.set(key, WRITE);
    assert_eq!(it.told(), ["reader"]);
}

#[test]
fn the_last_bytes_and_the_end_come_as_one_event() {
    let (socket, peer) = readable();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let mut it = Loop::new();
    it.add(&socket, READ, "reader");
    it.add(&socket, WRITE, "writer");
    let events = it.poll();
    let told = it.dispatch(&events);
    assert!(told[0].1.readable() && told[0].1.read_hung_up() && !told[0].1.hung_up());
    assert!(!told[1].1.read_hung_up());
}

#[test]
fn urgent_data_is_told_to_who_asked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let mut it = Loop::new();
    it.add(&server, Interest::PRIORITY, "urgent");
    rustix::net::send(&client, b"!", rustix::net::SendFlags::OOB).unwrap();
    it.poller.wait(&mut it.events, None).unwrap();
    let events: Vec<_> = it.events.iter().collect();
    assert!(it.dispatch(&events)[0].1.priority());
}

#[test]
fn what_cannot_be_watched_comes_back_and_leaves_nothing() {
    let mut it = Loop::new();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let unopened: RawFd = 1_000_000;
    let cases = [
        (file.as_raw_fd(), READ, libc::EPERM),
        (unopened, READ, libc::EBADF),
        (unopened, NONE, libc::EBADF),
        (-1, READ, libc::EBADF),
        (RawFd::MIN, NONE, libc::EBADF),
        (RawFd::MAX, WRITE, libc::EBADF),
    ];
    for (fd, interest, errno) in cases {
        let rejected = it.registry.add(&it.poller, fd, interest, "mine");
        let rejected = rejected.unwrap_err();
        assert_eq!((rejected.error.errno, rejected.watcher), (errno, "mine"));
        assert_eq!(
            (it.registry.len(), it.registry.watchers(fd).count()),
            (0, 0)
        );
    }
    assert!(it.poll().is_empty());
}

#[test]
fn a_regular_file_is_refused_when_interest_comes_later() {
    let mut it = Loop::new();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let key = it.add(&file, NONE, "idle");
    let error = it.registry.set_interest(&it.poller, key, READ).unwrap_err();
    assert_eq!(error.errno, libc::EPERM);
}

#[test]
fn a_stale_key_is_an_error_and_changes_nothing() {
    let (socket, _peer) = readable();
    let mut it = Loop::new();
    let key = it.add(&socket, READ, "old");
    it.remove(key);
    it.add(&socket, READ, "new");
    let error = it.registry.set_interest(&it.poller, key, NONE).unwrap_err();
    assert_eq!(error.errno, libc::ENOENT);
    assert_eq!((it.registry.get(key), it.registry.fd(key)), (None, None));
    assert_eq!(it.told(), ["new"]);
}

#[test]
fn the_rest_of_a_batch_does_not_reach_a_descriptor_that_was_reused_meanwhile() {
    let (socket, _peer) = readable();
    let mut it = Loop::new();
    let old = it.add(&socket, READ, "old");
    let events = it.poll();
    it.remove(old);
    let (quiet, _quiet_peer) = UnixStream::pair().unwrap();
    let socket = reuse(socket, quiet);
    it.add(&socket, READ, "new");
    let mut out = Vec::new();
    let (token, readiness) = events[0];
    let outcome = it.registry.dispatch(token, readiness, &mut out);
    assert_eq!((outcome, out), (Dispatch::Stale, Vec::new()));
}

#[test]
fn a_watcher_of_a_file_that_is_gone_is_not_told_about_the_next_one() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mut it = Loop::new();
    let old = it.add(&socket, READ, "old");
    let (ready, _ready_peer) = readable();
    // Nobody removes "old".
    let socket = reuse(socket, ready);
    assert!(it.told().is_empty());
    let new = it.add(&socket, READ, "new");
    assert_eq!(it.told(), ["new"]);
    assert!(it.registry.is_orphaned(old) && !it.registry.is_orphaned(new));
    assert_eq!(
        it.registry.watchers(socket.as_raw_fd()).collect::<Vec<_>>(),
        [new]
    );
    assert_eq!(it.registry.len(), 2);
    // Removing the orphan does not touch the number it once had.
    assert_eq!(it.remove(old), Some("old"));
    assert_eq!(it.told(), ["new"]);
}

#[test]
fn an_idle_newcomer_to_a_reused_number_is_told_once_it_asks() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mut it = Loop::new();
    it.add(&socket, READ, "old");
    let (ready, _ready_peer) = readable();
    let socket = reuse(socket, ready);
    let new = it.add(&socket, NONE, "new");
    it.set(new, READ);
    assert_eq!(it.told(), ["new"]);
}

#[test]
fn who_changes_an_interest_means_what_the_number_names_now() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mut it = Loop::new();
    let first = it.add(&socket, READ, "first");
    let second = it.add(&socket, READ, "second");
    let (ready, _ready_peer) = readable();
    let _socket = reuse(socket, ready);
    it.set(first, READ | WRITE);
    assert_eq!(it.told(), ["first"]);
    assert!(it.registry.is_orphaned(second));
    it.set(second, WRITE);
    assert_eq!(it.told(), ["first", "second"]);
}

#[test]
fn a_closed_descriptor_is_removed_in_silence() {
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mut it = Loop::new();
    let first = it.add(&socket, READ, "first");
    let second = it.add(&socket, WRITE, "second");
    drop(socket);
    assert_eq!(it.remove(first), Some("first"));
    assert_eq!(it.remove(second), Some("second"));
}

#[test]
fn a_descriptor_released_before_its_close_leaves_nothing_though_a_copy_lives_on() {
    let (socket, _peer) = readable();
    let copy = socket.try_clone().unwrap();
    let mut it = Loop::new();
    let first = it.add(&socket, READ, "first");
    let second = it.add(&socket, WRITE, "second");
    it.registry.release(&it.poller, socket.as_raw_fd());
    it.registry.release(&it.poller, -1);
    assert!(it.registry.is_orphaned(first) && it.registry.is_orphaned(second));
    // Its watchers can still be told and removed, while the number serves another file.
    let (quiet, _quiet_peer) = UnixStream::pair().unwrap();
    let socket = reuse(socket, quiet);
    it.add(&socket, WRITE, "new");
    assert_eq!(it.told(), ["new"]);
    assert_eq!(it.remove(first), Some("first"));
    assert_eq!(it.remove(second), Some("second"));
    assert_eq!(it.told(), ["new"]);
    drop(copy);
}

#[test]
fn forgetting_leaves_the_kernel_alone_and_removing_does_not() {
    let (socket, _peer) = readable();
    let mut it = Loop::new();
    it.add(&socket, READ, "first");
    it.add(&socket, READ, "second");
    let mut taken = it.registry.take_all();
    taken.sort_unstable();
    assert_eq!(taken, ["first", "second"]);
    let events = it.poll();
    assert_eq!(events.len(), 1);
    let mut out = Vec::new();
    let outcome = it.registry.dispatch(events[0].0, events[0].1, &mut out);
    assert_eq!(outcome, Dispatch::Stale);
    // What the kernel still has is adopted by who comes next.
    it.add(&socket, READ, "third");
    assert_eq!(it.told(), ["third"]);
    assert_eq!(it.registry.remove_all(&it.poller), ["third"]);
    assert!(it.poll().is_empty());
}

#[test]
fn every_watcher_can_be_visited_and_changed() {
    let (socket, peer) = UnixStream::pair().unwrap();
    let mut it = Loop::new();
    let first = it.add(&socket, READ, "first");
    let second = it.add(&peer, READ, "second");
    *it.registry.get_mut(first).unwrap() = "changed";
    let all: Vec<_> = it.registry.iter().collect();
    assert_eq!(all, [(first, &"changed"), (second, &"second")]);
    assert_eq!(it.registry.fd(second), Some(peer.as_raw_fd()));
}

#[test]
fn an_edge_is_told_once_and_again_with_what_comes() {
    let mut it = Loop::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    it.add(&near, READ | EDGE, "edge");
    assert!(it.poll().is_empty());
    far.write_all(b"x").unwrap();
    let events = it.poll();
    assert_eq!(it.dispatch(&events).len(), 1);
    assert!(it.poll().is_empty(), "told, though still so");
    far.write_all(b"y").unwrap();
    assert_eq!(it.poll().len(), 1);
    assert!(it.poll().is_empty());
}

#[test]
fn who_asks_for_the_level_gets_it_beside_whoever_asks_for_edges() {
    let mut it = Loop::new();
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"x").unwrap();
    let edge = it.add(&near, READ | EDGE, "edge");
    let level = it.add(&near, READ, "level");
    for _ in 0..2 {
        let events = it.poll();
        let told: Vec<_> = it.dispatch(&events).into_iter().map(|it| it.0).collect();
        assert_eq!(told, ["edge", "level"]);
    }
    // Alone again, the first is told of what is so, and then of what becomes so.
    it.set(level, NONE);
    assert_eq!(it.poll().len(), 1);
    assert!(it.poll().is_empty());
    it.set(level, READ);
    it.remove(edge);
    assert_eq!(it.poll().len(), 1);
    assert_eq!(it.poll().len(), 1);
    it.set(level, READ | EDGE);
    assert_eq!(it.poll().len(), 1);
    assert!(it.poll().is_empty());
}
