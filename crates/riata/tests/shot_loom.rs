//! Every interleaving of a value that is sent, awaited, waited for and given up.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p riata --release --test shot_loom`
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../src/threads/shot.rs"]
mod shot;

use std::task::Poll;

use loom::future::block_on;
use loom::thread;
use shot::{Gone, shot};

#[test]
fn what_is_sent_is_awaited() {
    loom::model(|| {
        let (sender, receiver) = shot();
        let thread = thread::spawn(move || sender.send(7));
        let got = block_on(std::future::poll_fn(|context| receiver.poll(context)));
        assert_eq!(got, Ok(7));
        thread.join().unwrap();
    });
}

#[test]
fn what_is_sent_ends_a_blocking_wait() {
    loom::model(|| {
        let (sender, receiver) = shot();
        let thread = thread::spawn(move || sender.send(7));
        assert_eq!(receiver.wait(), Ok(7));
        thread.join().unwrap();
    });
}

#[test]
fn a_sender_that_goes_away_ends_the_wait() {
    loom::model(|| {
        let (sender, receiver) = shot::<u8>();
        let thread = thread::spawn(move || drop(sender));
        let got = block_on(std::future::poll_fn(|context| {
            match receiver.poll(context) {
                Poll::Ready(got) => Poll::Ready(got),
                Poll::Pending => Poll::Pending,
            }
        }));
        assert_eq!(got, Err(Gone));
        thread.join().unwrap();
    });
}

#[test]
fn a_value_that_nobody_wants_is_dropped_once() {
    loom::model(|| {
        let (sender, receiver) = shot();
        let value = loom::sync::Arc::new(());
        let sent = loom::sync::Arc::clone(&value);
        let thread = thread::spawn(move || sender.send(sent));
        drop(receiver);
        thread.join().unwrap();
        assert_eq!(loom::sync::Arc::strong_count(&value), 1);
    });
}
