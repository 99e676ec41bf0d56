//! Every interleaving of work that is submitted, threads that begin and idle, and the end.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p riata --release --test pool_loom`
//!
//! Work that nobody comes to, or a thread that is not told of the end, shows as a deadlock.
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../src/threads/pool.rs"]
mod pool;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use pool::Pool;

/// Submits so much to a pool of so many threads, and drops it.
fn submit(limit: usize, count: usize) {
    loom::model(move || {
        let done = Arc::new(AtomicUsize::new(0));
        let mut pool = Pool::with_limit(limit);
        for _ in 0..count {
            let done = Arc::clone(&done);
            let work = move || {
                done.fetch_add(1, Ordering::Relaxed);
            };
            pool.submit(Box::new(work)).unwrap();
        }
        drop(pool);
        assert_eq!(done.load(Ordering::Relaxed), count);
    });
}

#[test]
fn one_thread_comes_to_all_that_is_submitted() {
    submit(1, 3);
}

#[test]
fn two_threads_come_to_all_that_is_submitted() {
    submit(2, 2);
}
