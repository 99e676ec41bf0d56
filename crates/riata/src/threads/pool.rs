//! Threads that run what would block the loop.
//!
//! As Python's ThreadPoolExecutor: a thread is added when none is idle, up to the number of
//! cores and four more, at most 32; idle threads stay; the end waits for what is running.
//!
//! `tests/pool_loom.rs` tries every interleaving.

use std::collections::VecDeque;
use std::io;
use std::sync::PoisonError;

#[cfg(loom)]
use loom::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};
#[cfg(not(loom))]
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    idle: usize,
    closing: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life. Work catches its own panics.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                work();
                state = self.lock();
            } else if state.closing {
                return;
            } else {
                state.idle += 1;
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

/// A pool of threads; dropping it waits for all that was submitted.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    limit: usize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self::with_limit((cores + 4).min(32))
    }

    /// A pool of at most `limit` threads.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            shared: Arc::default(),
            threads: Vec::new(),
            limit,
        }
    }

    /// Queues `work`, and adds a thread if all are busy.
    ///
    /// # Errors
    ///
    /// EAGAIN, ENOMEM: there is no thread and none can be started; `work` is dropped.
    pub(crate) fn submit(&mut self, work: Work) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.queue.push_back(work);
        let is_short = state.idle < state.queue.len();
        drop(state);
        self.shared.changed.notify_one();
        if is_short && self.threads.len() < self.limit {
            self.add_thread()?;
        }
        Ok(())
    }

    fn add_thread(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let name = format!("riata_{}", self.threads.len());
        match thread::Builder::new()
            .name(name)
            .spawn(move || shared.serve())
        {
            Ok(thread) => self.threads.push(thread),
            Err(error) if self.threads.is_empty() => {
                let work = self.shared.lock().queue.pop_back();
                drop(work);
                return Err(error);
            }
            // The others will come to it.
            Err(_) => {}
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Work catches its own panics, so there is none to pass on.
            let _ = thread.join();
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_end_waits_for_all_that_was_submitted() {
        let count = Arc::new(AtomicUsize::new(0));
        let mut pool = Pool::new();
        for _ in 0..100 {
            let count = Arc::clone(&count);
            let work = move || {
                count.fetch_add(1, Ordering::Relaxed);
            };
            pool.submit(Box::new(work)).unwrap();
        }
        assert!(pool.threads.len() <= pool.limit);
        drop(pool);
        assert_eq!(count.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn as_many_run_at_once_as_there_may_be_threads() {
        let mut pool = Pool::new();
        let barrier = Arc::new(std::sync::Barrier::new(pool.limit));
        for _ in 0..pool.limit {
            let barrier = Arc::clone(&barrier);
            let work = move || {
                barrier.wait();
            };
            pool.submit(Box::new(work)).unwrap();
        }
    }
}
