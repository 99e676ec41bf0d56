//! Who is told when a future is done, and telling them.

use pyo3::prelude::*;
use riata_engine::driver::WatchKey;

use super::Future;
use crate::combine::Observer;
use crate::event_loop::work::{LoopRef, Work};
use crate::task::Task;

/// Who is told when a future is done.
pub enum Waiter {
    /// A native task that awaits the future.
    Task(Py<Task>),
    /// A done callback and its context.
    Call(Py<PyAny>, Py<PyAny>),
    /// A native party, told without a Python object for it.
    Observer(Observer),
    /// The loop, which watches a descriptor for this future's sake. Told at once, and nobody in Python knows.
    Watch(WatchKey),
}

impl Waiter {
    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Task(task) => Self::Task(task.clone_ref(py)),
            Self::Call(callback, context) => {
                Self::Call(callback.clone_ref(py), context.clone_ref(py))
            }
            Self::Observer(observer) => Self::Observer(observer.clone_ref(py)),
            Self::Watch(key) => Self::Watch(*key),
        }
    }
}

/// Most futures have one waiter: it is kept inline.
#[derive(Default)]
pub(super) enum Waiters {
    #[default]
    None,
    One(Waiter),
    Many(Vec<Waiter>),
}

impl Waiters {
    pub(super) fn push(&mut self, waiter: Waiter) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(waiter),
            Self::One(first) => Self::Many(vec![first, waiter]),
            Self::Many(mut all) => {
                all.push(waiter);
                Self::Many(all)
            }
        };
    }

    /// Takes out those that are not to be kept; the caller drops them.
    pub(super) fn remove_unless(&mut self, keep: impl Fn(&Waiter) -> bool) -> Self {
        if self.as_slice().iter().all(&keep) {
            return Self::None;
        }
        let (kept, removed) = std::mem::take(self).into_vec().into_iter().partition(keep);
        let kept: Vec<Waiter> = kept;
        kept.into_iter().for_each(|waiter| self.push(waiter));
        Self::Many(removed)
    }

    pub(super) fn as_slice(&self) -> &[Waiter] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(all) => all,
        }
    }

    pub(super) fn into_vec(self) -> Vec<Waiter> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::Many(all) => all,
        }
    }
}

impl Future {
    /// Adds who is to be told; a done future tells at once, through the loop.
    pub fn add_waiter(slf: &Bound<'_, Self>, waiter: Waiter) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_done(py) {
            return Self::schedule(slf, waiter);
        }
        this.waiters.with(py, |waiters| waiters.push(waiter));
        Ok(())
    }

    fn schedule(slf: &Bound<'_, Self>, waiter: Waiter) -> PyResult<()> {
        let py = slf.py();
        let work = match waiter {
            Waiter::Task(task) => Work::Wake(task, slf.clone().into_any().unbind()),
            Waiter::Observer(observer) => Work::Observe(observer, slf.clone().into_any().unbind()),
            Waiter::Call(callback, context) => Work::Callback {
                callback,
                future: slf.clone().into_any().unbind(),
                context,
            },
            Waiter::Watch(key) => {
                if let LoopRef::Native(event_loop) = slf.get().loop_ref(py)? {
                    event_loop.get().end_wait(py, key);
                }
                return Ok(());
            }
        };
        slf.get().loop_ref(py)?.push(py, work)
    }

    pub(super) fn schedule_waiters(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().waiters.take(slf.py()) {
            Waiters::None => Ok(()),
            Waiters::One(waiter) => Self::schedule(slf, waiter),
            Waiters::Many(all) => all
                .into_iter()
                .try_for_each(|waiter| Self::schedule(slf, waiter)),
        }
    }
}
