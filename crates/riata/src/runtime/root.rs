//! The future that `run` was given: a task whose future lives on the stack of `run`.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

use crate::context::Guests;
use crate::host::{Job, Work};
use crate::panic::Panic;
use crate::task::{Header, Progress, Stage, Step, announce};

pub(super) struct Root {
    header: Header,
    /// Its turn has come: `run` is to poll the future.
    ready: Cell<bool>,
    /// `run` ends with this turn.
    stopped: Cell<bool>,
}

/// Takes the root out of the table when `run` ends, however it does.
pub(super) struct Enrolled<'a>(&'a Root, &'a Guests);

impl Root {
    pub(super) fn new(guests: &Guests) -> Rc<Self> {
        Rc::new(Self {
            header: Header::new(guests.next_number()),
            ready: Cell::new(false),
            stopped: Cell::new(false),
        })
    }

    pub(super) fn enroll<'a>(self: &'a Rc<Self>, guests: &'a Guests) -> Enrolled<'a> {
        let shared = Rc::clone(self);
        let key = guests.admit(shared);
        guests.host().schedule(Job(Work::Step(key)));
        Enrolled(self, guests)
    }

    pub(super) fn take_ready(&self) -> bool {
        self.ready.take()
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Polls the future. When it is done the loop is to stop by a callback, in the next turn, as
    /// asyncio's does.
    pub(super) fn drive<F: Future>(self: &Rc<Self>, future: Pin<&mut Stage<F>>, guests: &Guests) {
        let progress = guests.as_current(self.header.key(), || future.drive(&self.header, guests));
        if progress.is_done() {
            let shared = Rc::clone(self);
            crate::call::schedule(move || shared.stopped.set(true));
            let shared = Rc::clone(self);
            announce(shared);
        }
    }
}

impl Step for Root {
    fn header(&self) -> &Header {
        &self.header
    }

    fn step(self: Rc<Self>, _: &Guests) -> Progress {
        self.ready.set(true);
        Progress::Waiting
    }

    fn take_panic(&self) -> Option<Panic> {
        // Its result is `run`'s.
        None
    }

    fn abandon(self: Rc<Self>) {
        // Its future is dropped by whoever has it on the stack.
        announce(self);
    }
}

impl Drop for Enrolled<'_> {
    fn drop(&mut self) {
        self.1.dismiss(self.0.header.key());
    }
}
