//! Every interleaving of a loop that sleeps and threads that send.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p riata-engine --release --test remote_loom`
//!
//! A lost wake-up shows as a deadlock, which loom reports.
#![cfg(loom)]

use std::collections::VecDeque;

use loom::sync::Arc;
use loom::thread;
use riata_engine::remote::{Notice, Remote, Sleep};

/// Runs the loop's side until `expected` items have come; says how often it slept.
fn receive(remote: &Remote<u32>, expected: usize) -> (VecDeque<u32>, usize) {
    let (mut items, mut sleeps) = (VecDeque::new(), 0);
    loop {
        remote.take(&mut items);
        if items.len() >= expected {
            return (items, sleeps);
        }
        if remote.before_sleep() == Sleep::MayBlock {
            sleeps += 1;
            remote.block();
        }
        remote.after_sleep();
    }
}

#[test]
fn no_wake_up_is_lost_with_two_senders() {
    loom::model(|| {
        let remote = Arc::new(Remote::new().unwrap());
        let senders = [1, 2].map(|item| {
            let remote = Arc::clone(&remote);
            thread::spawn(move || remote.push(item))
        });
        let (items, sleeps) = receive(&remote, 2);
        senders.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(items.iter().sum::<u32>(), 3);
        // One write a sleep at most: none while the loop is awake.
        assert!(remote.writes() <= sleeps);
    });
}

#[test]
fn items_of_one_sender_come_in_order_and_wake_once() {
    loom::model(|| {
        let remote = Arc::new(Remote::new().unwrap());
        let sender = {
            let remote = Arc::clone(&remote);
            thread::spawn(move || (1..=3).for_each(|item| remote.push(item)))
        };
        let (items, sleeps) = receive(&remote, 3);
        sender.join().unwrap();
        assert_eq!(items, [1, 2, 3]);
        assert!(remote.writes() <= sleeps);
    });
}

#[test]
fn a_bare_wake_ends_the_sleep_whenever_it_comes() {
    loom::model(|| {
        let remote = Arc::new(Remote::<u32>::new().unwrap());
        let waker = {
            let remote = Arc::clone(&remote);
            thread::spawn(move || remote.wake())
        };
        if remote.before_sleep() == Sleep::MayBlock {
            remote.block();
        }
        remote.after_sleep();
        waker.join().unwrap();
    });
}

/// A poll that ends for another reason (a timer, a socket) while a push is on its way
/// must not leave the notifier readable with nobody to drain it.
#[test]
fn a_sleep_that_ends_by_itself_leaves_nothing_behind_for_long() {
    loom::model(|| {
        let remote = Arc::new(Remote::new().unwrap());
        let sender = {
            let remote = Arc::clone(&remote);
            thread::spawn(move || remote.push(7))
        };
        let _ = remote.before_sleep();
        // The poll returns at once.
        remote.after_sleep();
        let (items, _) = receive(&remote, 1);
        sender.join().unwrap();
        assert_eq!(items, [7]);
        // A write that came late ends one more sleep, and no other.
        assert_eq!(remote.before_sleep(), Sleep::MayBlock);
        remote.after_sleep();
        assert!(!remote.is_readable());
        assert!(remote.writes() <= 1);
    });
}

/// Whatever was done before something was sent again is done when the loop comes to it.
#[test]
fn what_is_sent_again_is_seen_again_or_was_not_yet_taken() {
    use loom::sync::atomic::{AtomicU32, Ordering};
    loom::model(|| {
        let remote = Arc::new(Remote::new().unwrap());
        let done = Arc::new(AtomicU32::new(0));
        remote.push_once(7, 7);
        let sender = {
            let (remote, done) = (Arc::clone(&remote), Arc::clone(&done));
            thread::spawn(move || {
                done.store(1, Ordering::Relaxed);
                remote.push_once(7, 7);
            })
        };
        let mut taken = 0;
        while done.load(Ordering::Relaxed) == 0 || taken == 0 {
            taken += receive(&remote, 1).0.len();
        }
        assert!(taken <= 2);
        sender.join().unwrap();
    });
}

/// A second push may rely on the write that the first has only promised.
#[test]
fn a_push_that_finds_a_write_promised_is_seen() {
    loom::model(|| {
        let remote = Arc::new(Remote::new().unwrap());
        let senders = [1, 2].map(|item| {
            let remote = Arc::clone(&remote);
            thread::spawn(move || remote.push(item))
        });
        let _ = remote.before_sleep();
        // The poll returns at once: what is sent now may have to end the next sleep.
        remote.after_sleep();
        let (items, _) = receive(&remote, 2);
        senders.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(items.iter().sum::<u32>(), 3);
    });
}

/// Where nothing is drained, a write that comes late ends a sleep too many, and none too few.
#[test]
fn with_edges_no_wake_up_is_lost_either() {
    loom::model(|| {
        let remote = Arc::new(Remote::with_notice(Notice::Edge).unwrap());
        let sender = {
            let remote = Arc::clone(&remote);
            thread::spawn(move || (1..=2).for_each(|item| remote.push(item)))
        };
        let _ = remote.before_sleep();
        // The poll returns at once: a write may be promised that has not come.
        remote.after_sleep();
        let (items, _) = receive(&remote, 2);
        sender.join().unwrap();
        assert_eq!(items, [1, 2]);
    });
}

#[test]
fn with_edges_two_senders_rely_on_one_write() {
    loom::model(|| {
        let remote = Arc::new(Remote::with_notice(Notice::Edge).unwrap());
        let senders = [1, 2].map(|item| {
            let remote = Arc::clone(&remote);
            thread::spawn(move || remote.push(item))
        });
        let (items, _) = receive(&remote, 2);
        senders.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(items.iter().sum::<u32>(), 3);
    });
}
