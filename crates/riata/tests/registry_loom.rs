//! Every interleaving of threads that send to a loop and the loop's end.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p riata --release --test registry_loom`
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../src/registry.rs"]
mod registry;

use std::sync::Arc as Shared;

use loom::sync::{Arc, Mutex};
use loom::thread;
use registry::Registry;

type Queue = Mutex<Vec<u8>>;

#[test]
fn what_was_sent_before_the_end_is_there_at_the_end() {
    loom::model(|| {
        let loops = Arc::new(Registry::<Queue>::new());
        let queue = Shared::new(Mutex::new(Vec::new()));
        let serial = loops.add(Shared::clone(&queue)).unwrap();
        let senders = [1, 2].map(|item| {
            let loops = Arc::clone(&loops);
            thread::spawn(move || {
                loops.with_serial(serial, |queue| queue.lock().unwrap().push(item))
            })
        });
        assert!(loops.remove(serial).is_some());
        let left = std::mem::take(&mut *queue.lock().unwrap());
        let sent = senders.map(|it| it.join().unwrap());
        let count = sent.into_iter().filter(|&it| it).count();
        assert_eq!(left.len(), count, "sent, and nobody there to take it");
        assert!(queue.lock().unwrap().is_empty());
    });
}

#[test]
fn a_number_that_is_given_again_does_not_mislead_who_means_the_first() {
    loom::model(|| {
        let loops = Arc::new(Registry::<Queue>::new());
        let first = loops.add(Shared::new(Mutex::new(Vec::new()))).unwrap();
        let sender = {
            let loops = Arc::clone(&loops);
            thread::spawn(move || {
                loops.with_serial(first, |queue| queue.lock().unwrap().push(1));
            })
        };
        loops.remove(first);
        let queue = Shared::new(Mutex::new(Vec::new()));
        let second = loops.add(Shared::clone(&queue)).unwrap();
        assert_eq!(first as u16, second as u16);
        sender.join().unwrap();
        assert!(queue.lock().unwrap().is_empty());
        loops.with_number(first as u16, |queue| queue.lock().unwrap().push(2));
        assert_eq!(*queue.lock().unwrap(), [2]);
        assert!(loops.remove(first).is_none() && loops.remove(second).is_some());
    });
}
