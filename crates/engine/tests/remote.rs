//! The remote queue with a real eventfd and real threads.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use riata_engine::driver::{Events, Interest, Poller, Registry};
use riata_engine::remote::Notice;
use riata_engine::{Nanos, Remote, Sleep};

/// A poller that watches nothing but `remote`.
struct Watched {
    poller: Poller,
    registry: Registry<()>,
    events: Events,
}

impl Watched {
    fn new<T: Send>(remote: &Remote<T>) -> Self {
        Self::with_interest(remote, Interest::READABLE)
    }

    fn with_interest<T: Send>(remote: &Remote<T>, interest: Interest) -> Self {
        use std::os::fd::AsRawFd;
        let poller = Poller::new().unwrap();
        let mut registry = Registry::new();
        let fd = remote.fd().as_raw_fd();
        registry.add(&poller, fd, interest, ()).unwrap();
        Self {
            poller,
            registry,
            events: Events::with_capacity(4),
        }
    }

    fn poll(&mut self, timeout: Option<Nanos>) -> usize {
        assert_eq!(self.registry.len(), 1);
        self.poller.wait(&mut self.events, timeout).unwrap()
    }
}

#[test]
fn a_busy_loop_is_not_written_to() {
    let remote = Remote::new().unwrap();
    let mut watched = Watched::new(&remote);
    remote.push(1);
    remote.push(2);
    assert_eq!(watched.poll(Some(Nanos(0))), 0);
    assert_eq!(remote.before_sleep(), Sleep::HasWork);
    let mut items = VecDeque::new();
    assert_eq!(remote.take(&mut items), 2);
    assert_eq!(items, [1, 2]);
    assert_eq!(remote.before_sleep(), Sleep::MayBlock);
}

#[test]
fn one_wake_up_for_any_number_of_items() {
    let remote = Remote::new().unwrap();
    let mut watched = Watched::new(&remote);
    assert_eq!(remote.before_sleep(), Sleep::MayBlock);
    (0..100).for_each(|item| remote.push(item));
    assert_eq!(watched.poll(None), 1);
    let mut counter = [0; 8];
    assert_eq!(rustix::io::read(remote.fd(), &mut counter), Ok(8));
    assert_eq!(u64::from_ne_bytes(counter), 1);
}

#[test]
fn awake_again_the_notifier_is_silent() {
    let remote = Remote::new().unwrap();
    let mut watched = Watched::new(&remote);
    assert_eq!(remote.before_sleep(), Sleep::MayBlock);
    remote.push(());
    remote.after_sleep();
    assert_eq!(watched.poll(Some(Nanos(0))), 0);
    assert!(!remote.is_empty());
}

#[test]
fn a_wake_before_the_sleep_prevents_it_once() {
    let remote = Remote::<()>::new().unwrap();
    remote.wake();
    assert_eq!(remote.before_sleep(), Sleep::HasWork);
    remote.after_sleep();
    assert_eq!(remote.before_sleep(), Sleep::MayBlock);
}

#[test]
fn what_is_taken_goes_behind_what_is_there() {
    let remote = Remote::new().unwrap();
    let mut items = VecDeque::from([1]);
    remote.push(2);
    assert_eq!(remote.take(&mut items), 1);
    assert_eq!(items, [1, 2]);
    assert_eq!(remote.take(&mut items), 0);
}

#[test]
fn threads_reach_a_loop_that_blocks_for_ever() {
    const SENDERS: usize = 4;
    const EACH: usize = 2_000;
    let remote = Arc::new(Remote::new().unwrap());
    let mut watched = Watched::new(&remote);
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let remote = Arc::clone(&remote);
            thread::spawn(move || (0..EACH).for_each(|item| remote.push((sender, item))))
        })
        .collect();
    let mut items = VecDeque::new();
    while items.len() < SENDERS * EACH {
        if remote.before_sleep() == Sleep::MayBlock {
            watched.poll(None);
        }
        remote.after_sleep();
        remote.take(&mut items);
    }
    senders.into_iter().for_each(|it| it.join().unwrap());
    for sender in 0..SENDERS {
        let sent = items.iter().filter(|it| it.0 == sender).map(|it| it.1);
        assert!(sent.eq(0..EACH));
    }
}

#[test]
fn what_is_sent_once_is_there_once_until_it_is_taken() {
    let remote = Remote::new().unwrap();
    let mut items = VecDeque::new();
    remote.push_once(7, "seven");
    remote.push("other");
    remote.push_once(7, "seven again");
    remote.push_once(8, "eight");
    assert_eq!(remote.take(&mut items), 3);
    remote.push_once(7, "seven anew");
    remote.take(&mut items);
    assert_eq!(items, ["seven", "other", "eight", "seven anew"]);
}

#[test]
fn an_edge_ends_each_sleep_and_is_never_read() {
    let remote = Remote::with_notice(Notice::Edge).unwrap();
    let mut watched = Watched::with_interest(&remote, Interest::READABLE | Interest::EDGE);
    let mut items = VecDeque::new();
    for item in 0..3 {
        assert_eq!(remote.before_sleep(), Sleep::MayBlock);
        remote.push(item);
        assert_eq!(watched.poll(None), 1);
        remote.after_sleep();
        assert_eq!(watched.poll(Some(Nanos(0))), 0);
        remote.take(&mut items);
    }
    assert_eq!(items, [0, 1, 2]);
    let mut counter = [0; 8];
    assert_eq!(rustix::io::read(remote.fd(), &mut counter), Ok(8));
    assert_eq!(u64::from_ne_bytes(counter), 3);
}
