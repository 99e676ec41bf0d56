//! The poller alone: deadlines, growth, interruption.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use riata_engine::driver::{Dispatch, Events, Interest, Poller, Registry};
use riata_engine::{Nanos, monotonic};

fn pollers() -> [Poller; 2] {
    [Poller::new().unwrap(), Poller::with_timerfd().unwrap()]
}

#[test]
fn a_deadline_is_never_early() {
    for poller in pollers() {
        let mut events = Events::with_capacity(1);
        for nanos in [1, 999, 30_000, 999_999, 1_000_001, 2_300_000] {
            let begin = monotonic();
            assert_eq!(poller.wait(&mut events, Some(Nanos(nanos))), Ok(0));
            assert!(monotonic() >= begin.saturating_add(Nanos(nanos)));
        }
    }
}

#[test]
fn no_time_at_all_does_not_block() {
    for poller in pollers() {
        let mut events = Events::with_capacity(1);
        assert_eq!(poller.wait(&mut events, Some(Nanos(0))), Ok(0));
    }
}

#[test]
fn a_deadline_of_an_earlier_call_does_not_end_a_later_one() {
    let (reader, writer) = UnixStream::pair().unwrap();
    for poller in pollers() {
        let mut registry = Registry::new();
        let key = registry
            .add(&poller, writer.as_raw_fd(), Interest::WRITABLE, ())
            .unwrap();
        let mut events = Events::with_capacity(8);
        // Ended by the socket; the deadline is set and passes.
        let soon = Nanos(1_000);
        assert_eq!(poller.wait(&mut events, Some(soon)), Ok(1));
        let passed = monotonic().saturating_add(soon);
        while monotonic() <= passed {}
        registry.set_interest(&poller, key, Interest::NONE).unwrap();
        registry
            .add(&poller, reader.as_raw_fd(), Interest::READABLE, ())
            .unwrap();
        let sender = std::thread::scope(|scope| {
            let sender = scope.spawn(|| riata_engine::net::send(&writer, b"x"));
            // Would return without events if the old deadline ended it.
            assert_eq!(poller.wait(&mut events, None), Ok(1));
            sender.join().unwrap()
        });
        assert_eq!(sender, Ok(1));
        let mut byte = [0];
        assert_eq!(riata_engine::net::recv(&reader, &mut byte), Ok(1));
    }
}

#[test]
fn the_longest_deadline_is_not_a_short_one() {
    let (_reader, writer) = UnixStream::pair().unwrap();
    for poller in pollers() {
        let mut registry = Registry::new();
        registry
            .add(&poller, writer.as_raw_fd(), Interest::WRITABLE, ())
            .unwrap();
        let mut events = Events::with_capacity(8);
        assert_eq!(poller.wait(&mut events, Some(Nanos::MAX)), Ok(1));
    }
}

#[test]
fn a_full_list_grows_and_what_did_not_fit_comes_next() {
    let pairs: Vec<_> = (0..5).map(|_| UnixStream::pair().unwrap()).collect();
    for poller in pollers() {
        let mut registry = Registry::new();
        for (socket, _) in &pairs {
            registry
                .add(&poller, socket.as_raw_fd(), Interest::WRITABLE, ())
                .unwrap();
        }
        let mut events = Events::with_capacity(1);
        assert_eq!(poller.wait(&mut events, None), Ok(1));
        while events.len() < pairs.len() {
            let before = events.len();
            poller.wait(&mut events, None).unwrap();
            assert!(events.len() > before);
        }
    }
}

#[test]
fn a_limited_list_shows_the_others_in_the_next_polls() {
    for poller in pollers() {
        let mut registry = Registry::new();
        let pairs: Vec<_> = (0..5).map(|_| UnixStream::pair().unwrap()).collect();
        let mut keys = Vec::new();
        for (near, _far) in &pairs {
            let fd = near.as_raw_fd();
            keys.push(registry.add(&poller, fd, Interest::WRITABLE, ()).unwrap());
        }
        let mut events = Events::with_limit(2);
        let mut out = Vec::new();
        for _ in 0..3 {
            assert_eq!(poller.wait(&mut events, None), Ok(2));
            for (token, readiness) in events.iter() {
                let _ = registry.dispatch(token, readiness, &mut out);
            }
        }
        let seen = keys.iter().all(|key| out.iter().any(|it| it.0 == *key));
        assert!(
            seen,
            "nobody is passed over, though all are ready all the time"
        );
    }
}

#[test]
fn a_copy_that_outlives_its_number_is_cured_by_rebuilding() {
    for poller in pollers() {
        let mut registry = Registry::new();
        let (zombie, peer) = UnixStream::pair().unwrap();
        let (other, _other_peer) = UnixStream::pair().unwrap();
        let fd = zombie.as_raw_fd();
        let key = registry
            .add(&poller, fd, Interest::WRITABLE, "zombie")
            .unwrap();
        let kept = registry
            .add(&poller, other.as_raw_fd(), Interest::WRITABLE, "kept")
            .unwrap();
        let copy = zombie.try_clone().unwrap();
        drop(zombie);
        // The number is closed, so this cannot reach the registration, and says nothing.
        assert_eq!(registry.remove(&poller, key), Some("zombie"));

        let mut events = Events::with_capacity(8);
        let mut out = Vec::new();
        assert_eq!(poller.wait(&mut events, None), Ok(2));
        let stale = events
            .iter()
            .map(|(token, readiness)| registry.dispatch(token, readiness, &mut out))
            .filter(|&it| it == Dispatch::Stale);
        assert_eq!(stale.count(), 1);

        registry.rebuild(&poller).unwrap();
        out.clear();
        assert_eq!(poller.wait(&mut events, None), Ok(1));
        for (token, readiness) in events.iter() {
            assert_eq!(
                registry.dispatch(token, readiness, &mut out),
                Dispatch::Current
            );
        }
        assert_eq!(out.iter().map(|it| it.0).collect::<Vec<_>>(), [kept]);
        // Deadlines are kept by the new set too.
        registry.remove(&poller, kept);
        assert_eq!(poller.wait(&mut events, Some(Nanos(1_000))), Ok(0));
        drop((copy, peer));
    }
}
