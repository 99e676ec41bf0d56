//! What every task has, whatever its future is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use super::key::Key;
use super::refs::TaskRef;
use crate::error::Cancelled;

/// A callback for when the task is done.
pub(crate) type DoneCallback = Box<dyn FnOnce(&TaskRef)>;

/// Flags of a task, as bits.
pub(crate) mod flag {
    /// It has a result.
    pub(crate) const DONE: u8 = 1;
    /// That result is that it was cancelled.
    pub(crate) const CANCELLED: u8 = 2;
    /// Cancelling was asked for and has not been delivered.
    pub(crate) const CANCEL_ASKED: u8 = 4;
    /// The task itself asked, by `Cancelled::raise`: deliver in this very step.
    pub(crate) const RAISED: u8 = 8;
    /// It was scheduled while it was being stepped, from a loop run inside of it.
    pub(crate) const STEP_AGAIN: u8 = 16;
    /// Its future or result is in use.
    pub(crate) const IN_USE: u8 = 32;
    /// Nobody will take its result.
    pub(crate) const DETACHED: u8 = 64;
}

/// Which of several tasks are done, in that order, and who waits for that.
#[derive(Default)]
pub(crate) struct Completions {
    done: RefCell<VecDeque<u32>>,
    waker: Cell<Option<Waker>>,
}

impl Completions {
    pub(crate) fn push(&self, number: u32) {
        self.done.borrow_mut().push_back(number);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The next that is done; if there is none, `waker` is woken by the next.
    pub(crate) fn pop(&self, waker: &Waker) -> Option<u32> {
        let number = self.done.borrow_mut().pop_front();
        if number.is_none() {
            let old = self.waker.replace(Some(waker.clone()));
            drop(old);
        }
        number
    }
}

pub(crate) struct Header {
    key: Cell<Key>,
    /// The how-manieth task of its loop, modulo 2^32: its name, if it has no other.
    number: u32,
    flags: Cell<u8>,
    /// How often cancelling was asked for, less how often that was taken back.
    cancelling: Cell<u16>,
    /// Who awaits the result.
    joiner: Cell<Option<Waker>>,
    extra: Cell<Option<Box<Extra>>>,
}

/// What few tasks have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) callbacks: Vec<DoneCallback>,
    /// Who waits for several tasks, and this one's number among them.
    pub(crate) set: Option<(Rc<Completions>, u32)>,
    /// The cancellation that is to be delivered.
    pub(crate) cancelled: Cancelled,
    /// The scopes of `catch_cancel` that the task is in, innermost last.
    pub(crate) catchers: Vec<u64>,
    pub(crate) next_catcher: u64,
}

impl Header {
    pub(crate) const fn new(number: u64) -> Self {
        Self {
            key: Cell::new(Key::NONE),
            number: number as u32,
            flags: Cell::new(0),
            cancelling: Cell::new(0),
            joiner: Cell::new(None),
            extra: Cell::new(None),
        }
    }

    pub(crate) fn key(&self) -> Key {
        self.key.get()
    }

    pub(crate) fn set_key(&self, key: Key) {
        self.key.set(key);
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }

    pub(crate) fn add(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    pub(crate) fn clear(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Whether the task has no result yet and cancelling it was asked for, or asked for again.
    pub(crate) fn ask_to_cancel(&self, cancelled: Cancelled) -> bool {
        if self.has(flag::DONE) {
            return false;
        }
        self.add(flag::CANCEL_ASKED);
        if cancelled.message().is_some() || self.has_extra() {
            self.with_extra(|extra| extra.cancelled = cancelled);
        }
        true
    }

    pub(crate) fn cancelling(&self) -> usize {
        self.cancelling.get().into()
    }

    /// Counts one more request to cancel.
    pub(crate) fn count_cancel(&self) {
        self.cancelling.set(self.cancelling.get().saturating_add(1));
    }

    /// Counts one less; with the last, what was not delivered is not going to be.
    pub(crate) fn uncancel(&self) -> usize {
        let left = self.cancelling.get().saturating_sub(1);
        self.cancelling.set(left);
        if left == 0 && self.has(flag::CANCEL_ASKED) {
            drop(self.take_cancelled());
        }
        left.into()
    }

    /// The cancellation that was asked for, which is thereby delivered.
    pub(crate) fn take_cancelled(&self) -> Cancelled {
        self.clear(flag::CANCEL_ASKED | flag::RAISED);
        if self.has_extra() {
            self.with_extra(|extra| std::mem::take(&mut extra.cancelled))
        } else {
            Cancelled::default()
        }
    }

    /// Whether the future is to be dropped: cancelling was asked for and nothing catches it.
    pub(crate) fn must_cancel(&self) -> bool {
        self.has(flag::CANCEL_ASKED) && self.innermost_catcher().is_none()
    }

    pub(crate) fn innermost_catcher(&self) -> Option<u64> {
        if !self.has_extra() {
            return None;
        }
        self.with_extra(|extra| extra.catchers.last().copied())
    }

    pub(crate) fn has_extra(&self) -> bool {
        let extra = self.extra.take();
        let has = extra.is_some();
        self.extra.set(extra);
        has
    }

    /// Calls `f` with the rest, made if need be. `f` calls nobody and drops nothing foreign.
    pub(crate) fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        let mut extra = self.extra.take().unwrap_or_default();
        let result = f(&mut extra);
        self.extra.set(Some(extra));
        result
    }

    /// Notes who is to be woken when the task is done.
    pub(crate) fn set_joiner(&self, waker: &Waker) {
        let joiner = match self.joiner.take() {
            Some(joiner) if joiner.will_wake(waker) => joiner,
            _ => waker.clone(),
        };
        self.joiner.set(Some(joiner));
    }

    /// Notes in which set the task is to be entered when it is done.
    pub(crate) fn set_completions(&self, set: &Rc<Completions>, number: u32) {
        let set = Some((Rc::clone(set), number));
        let old = self.with_extra(|extra| std::mem::replace(&mut extra.set, set));
        drop(old);
    }

    /// Nobody is to be told any more.
    pub(crate) fn forget_joiners(&self) {
        let joiner = self.joiner.take();
        let set = self.take_set();
        drop((joiner, set));
    }

    /// Tells who waits that the task is done.
    pub(crate) fn tell_joiners(&self) {
        if let Some(joiner) = self.joiner.take() {
            joiner.wake();
        }
        if let Some((set, number)) = self.take_set() {
            set.push(number);
        }
    }

    fn take_set(&self) -> Option<(Rc<Completions>, u32)> {
        if !self.has_extra() {
            return None;
        }
        self.with_extra(|extra| extra.set.take())
    }

    pub(crate) fn take_callbacks(&self) -> Vec<DoneCallback> {
        if !self.has_extra() {
            return Vec::new();
        }
        self.with_extra(|extra| std::mem::take(&mut extra.callbacks))
    }
}
