//! What other threads send to the loop: the only part of it they may touch.
//!
//! A queue under a lock, and a notifier (an eventfd) that ends the loop's sleep. A push
//! writes to the notifier only if the loop sleeps, or has said that it is about to, and
//! nobody has written since: one wake-up, however many items are pending, and no system
//! call at all while the loop is busy.
//!
//! # Why no wake-up is lost
//!
//! Both sides decide under the one lock. [`Remote::before_sleep`] looks at the queue and
//! announces the sleep in one step; a push adds its item and looks for a sleeper in one
//! step. So either the loop sees the item and does not sleep, or the push sees the sleeper
//! and writes.
//!
//! The write follows when the lock is released: under it, the loop that the write wakes would
//! at once want the lock that its waker still holds (seen as two more context switches a
//! wake-up, `make bench-rust`). So the loop can wake for another reason before the write has
//! come, and find nothing to drain. Then the write still counts as pending: it ends the next
//! sleep, which is after every push that relied on it, and is drained there.
//!
//! With [`Notice::Edge`] there is nothing to drain: a write that comes late ends one sleep more
//! than it had to, and each sleep has a write of its own to end it.
//!
//! A forked child shares the eventfd with its parent, and may find the lock held for ever by
//! a thread that it does not have: it must leave this one alone, and make its own.
//!
//! `tests/remote_loom.rs` tries every interleaving:
//! `RUSTFLAGS="--cfg loom" cargo test -p riata-engine --release --test remote_loom`.

use std::collections::{HashSet, VecDeque};

#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
#[cfg(loom)]
use std::sync::PoisonError;

use crate::error::Result;

#[cfg(not(loom))]
mod eventfd;
#[cfg(loom)]
#[path = "loom_notifier.rs"]
mod eventfd;

use eventfd::Notifier;

/// A queue into the loop, for any thread, and the means to wake the loop up.
#[derive(Debug)]
pub struct Remote<T: Send> {
    state: Mutex<State<T>>,
    /// Whether the queue holds anything: a hint, so that a busy loop looks without
    /// locking. Written under the lock; a stale `false` is made good by `before_sleep`.
    pending: AtomicBool,
    notifier: Notifier,
    notice: Notice,
}

/// How the loop's poll learns of the notifier.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Notice {
    /// As long as it is readable: it is read after a sleep that it ended.
    #[default]
    Level,
    /// Once for each write ([`Interest::EDGE`](crate::driver::Interest::EDGE)): it is never read,
    /// which saves a system call a wake-up.
    Edge,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    /// What is in the queue by `push_once`.
    once: HashSet<u64>,
    /// The loop sleeps or is about to.
    sleeping: bool,
    /// The notifier was written to, or is about to be, and not drained.
    notified: bool,
    /// `wake` was called since the loop last slept or declined to.
    wake_asked: bool,
}

/// Whether the loop may block in its poll.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Sleep {
    /// It may: whatever is sent from now on writes to the notifier.
    MayBlock,
    /// It may not: something is queued, or somebody asked to wake it.
    HasWork,
}

impl<T: Send> Remote<T> {
    /// An empty queue with a notifier of its own.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: the kernel refused an eventfd.
    pub fn new() -> Result<Self> {
        Self::with_notice(Notice::Level)
    }

    /// As [`new`](Self::new), for a poll that watches the notifier in this way.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn with_notice(notice: Notice) -> Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                once: HashSet::new(),
                sleeping: false,
                notified: false,
                wake_asked: false,
            }),
            pending: AtomicBool::new(false),
            notifier: Notifier::new()?,
            notice,
        })
    }

    /// Sends `item` to the loop, from any thread, and wakes it if it sleeps.
    pub fn push(&self, item: T) {
        let mut state = self.lock();
        state.queue.push_back(item);
        self.pending.store(true, Ordering::Release);
        self.notify(state);
    }

    /// As [`push`](Self::push), unless something of this `name` is queued already: what need be
    /// done only once does not pile up, however often and from wherever it is sent.
    pub fn push_once(&self, name: u64, item: T) {
        let mut state = self.lock();
        if !state.once.insert(name) {
            drop(state);
            return drop(item);
        }
        state.queue.push_back(item);
        self.pending.store(true, Ordering::Release);
        self.notify(state);
    }

    /// Ends the loop's sleep, or keeps it from its next one, without sending anything.
    pub fn wake(&self) {
        let mut state = self.lock();
        state.wake_asked = true;
        self.notify(state);
    }

    /// Moves everything sent so far to the end of `out`, in order, and says how much.
    ///
    /// Nothing is dropped here, under the lock or otherwise.
    pub fn take(&self, out: &mut VecDeque<T>) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut state = self.lock();
        self.pending.store(false, Ordering::Relaxed);
        let taken = state.queue.len();
        if !state.once.is_empty() {
            state.once.clear();
        }
        if out.is_empty() {
            std::mem::swap(&mut state.queue, out);
        } else {
            out.append(&mut state.queue);
        }
        taken
    }

    /// Whether nothing seems to be queued, without locking.
    ///
    /// An item sent at this moment may be missed; the next [`before_sleep`](Self::before_sleep) sees it.
    pub fn is_empty(&self) -> bool {
        !self.pending.load(Ordering::Acquire)
    }

    /// Announces that the loop is about to block in its poll, unless there is work.
    ///
    /// To be followed by [`after_sleep`](Self::after_sleep), whatever the answer and however the poll ends.
    pub fn before_sleep(&self) -> Sleep {
        let mut state = self.lock();
        if state.wake_asked || !state.queue.is_empty() {
            state.wake_asked = false;
            return Sleep::HasWork;
        }
        state.sleeping = true;
        Sleep::MayBlock
    }

    /// Says that the loop is awake, and makes the notifier silent again.
    pub fn after_sleep(&self) {
        let mut state = self.lock();
        state.sleeping = false;
        if state.notified && (self.notice == Notice::Edge || self.notifier.drain()) {
            state.notified = false;
            state.wake_asked = false;
        }
    }

    fn notify(&self, mut state: MutexGuard<'_, State<T>>) {
        if state.sleeping && !state.notified {
            state.notified = true;
            drop(state);
            self.notifier.notify();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing under the lock can leave the state half changed, so a panic that
        // poisoned it (memory running out) is no reason to stop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(loom))]
impl<T: Send> Remote<T> {
    /// What the loop's poll has to watch for readability.
    pub fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.notifier.fd()
    }
}

#[cfg(loom)]
impl<T: Send> Remote<T> {
    /// Blocks until the notifier was written to: the poll, in loom's world.
    pub fn block(&self) {
        self.notifier.block(self.notice);
    }

    /// Whether the notifier would end the next sleep at once.
    pub fn is_readable(&self) -> bool {
        self.notifier.is_readable()
    }

    /// How often the notifier was written to.
    pub fn writes(&self) -> usize {
        self.notifier.writes()
    }
}
