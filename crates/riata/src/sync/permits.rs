//! A count of things to be had, and the line of those who want one: what locks, semaphores
//! and queues are made of.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::waiters::{Left, Place, Service, Waiters};

pub(crate) struct Permits {
    /// To be had by anybody: none while somebody waits.
    free: Cell<usize>,
    waiters: RefCell<Waiters>,
}

/// That there will be no more permits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused;

impl Permits {
    pub(crate) const fn new(free: usize) -> Self {
        Self {
            free: Cell::new(free),
            waiters: RefCell::new(Waiters::new()),
        }
    }

    pub(crate) fn free(&self) -> usize {
        self.free.get()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.borrow().len()
    }

    /// Takes a permit if there is one.
    pub(crate) fn try_take(&self) -> bool {
        let taken = self.free.get().checked_sub(1);
        if let Some(left) = taken {
            self.free.set(left);
        }
        taken.is_some()
    }

    /// Takes all the free permits.
    pub(crate) fn take_all(&self) -> usize {
        self.free.take()
    }

    /// Gives a permit, to the first in the line if there is one.
    pub(crate) fn give(&self) {
        let first = self.waiters.borrow_mut().serve(Service::Given);
        match first {
            Some(waker) => waker.wake(),
            None => self.free.set(self.free.get() + 1),
        }
    }

    /// Refuses everybody who waits.
    pub(crate) fn refuse_all(&self) {
        loop {
            let first = self.waiters.borrow_mut().serve(Service::Refused);
            let Some(waker) = first else {
                break;
            };
            waker.wake();
        }
    }

    /// A permit, in its turn.
    pub(crate) fn take(&self) -> Take<'_> {
        Take {
            permits: self,
            place: None,
        }
    }
}

/// Waits for a permit, and gives it back if it is dropped before it could say so.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Take<'a> {
    permits: &'a Permits,
    place: Option<Place>,
}

impl Future for Take<'_> {
    type Output = Result<(), Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(place) = self.place else {
            if self.permits.try_take() {
                return Poll::Ready(Ok(()));
            }
            let waker = context.waker().clone();
            self.place = Some(self.permits.waiters.borrow_mut().enter(waker));
            return Poll::Pending;
        };
        let mut waiters = self.permits.waiters.borrow_mut();
        match waiters.look(place, context.waker()) {
            Ok(service) => {
                let _ = waiters.leave(place);
                drop(waiters);
                self.place = None;
                Poll::Ready(match service {
                    Service::Given => Ok(()),
                    Service::Refused => Err(Refused),
                })
            }
            Err(old) => {
                drop(waiters);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl Drop for Take<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let left = self.permits.waiters.borrow_mut().leave(place);
        if let Left::Served(Service::Given) = left {
            self.permits.give();
        }
    }
}
