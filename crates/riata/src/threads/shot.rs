//! One value from one thread to another, to be awaited or waited for.
//!
//! `tests/shot_loom.rs` tries every interleaving.

use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

#[cfg(loom)]
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

enum State<T> {
    /// Nothing has come; whom to wake when it does.
    Empty(Option<Waker>),
    Full(T),
    /// The sender is gone, or the value was taken.
    Over,
    /// The receiver is gone.
    Unwanted,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// The end that gives the value.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The end that gets it.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// That the sender is gone, without a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

pub(crate) fn shot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State::Empty(None)),
        changed: Condvar::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A state is replaced whole: it is never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `end` in place of nothing, and tells the receiver; what it replaces is dropped
    /// outside the lock.
    fn end(&self, end: State<T>) {
        let mut state = self.lock();
        let unused = match &mut *state {
            State::Empty(_) => std::mem::replace(&mut *state, end),
            _ => end,
        };
        drop(state);
        if let State::Empty(waker) = unused {
            self.changed.notify_all();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Sender<T> {
    /// Gives the value; without a receiver it is dropped here.
    pub(crate) fn send(self, value: T) {
        self.0.end(State::Full(value));
    }

    /// Whether nobody wants the value any more.
    pub(crate) fn is_unwanted(&self) -> bool {
        matches!(*self.0.lock(), State::Unwanted)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.end(State::Over);
    }
}

impl<T> Receiver<T> {
    /// The value, once; wakes the last who asked.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<T, Gone>> {
        let mut state = self.0.lock();
        let old = match &mut *state {
            State::Empty(Some(waker)) if waker.will_wake(context.waker()) => None,
            State::Empty(waker) => waker.replace(context.waker().clone()),
            _ => return Poll::Ready(take(&mut state)),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// The value, once; blocks the thread until it has come.
    pub(crate) fn wait(&self) -> Result<T, Gone> {
        let mut state = self.0.lock();
        while matches!(*state, State::Empty(_)) {
            state = self
                .0
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        take(&mut state)
    }

    /// Whether nothing more is to be waited for.
    pub(crate) fn is_ready(&self) -> bool {
        !matches!(*self.0.lock(), State::Empty(_))
    }
}

fn take<T>(state: &mut State<T>) -> Result<T, Gone> {
    match std::mem::replace(state, State::Over) {
        State::Full(value) => Ok(value),
        _ => Err(Gone),
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let old = std::mem::replace(&mut *state, State::Unwanted);
        drop(state);
        drop(old);
    }
}
