//! A place where so many meet before any goes on.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::waiters::{Left, Place, Service, Waiters};

/// That a barrier was reset or aborted.
///
/// ```
/// assert_eq!(riata::BrokenBarrier.to_string(), "Barrier aborted");
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BrokenBarrier;

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // asyncio's words.
        f.write_str("Barrier aborted")
    }
}

impl std::error::Error for BrokenBarrier {}

/// Lets tasks go on when as many have come as it was made for, again and again.
///
/// ```
/// use std::rc::Rc;
/// riata::run(async {
///     let barrier = Rc::new(riata::Barrier::new(2));
///     let come = |barrier: Rc<riata::Barrier>| async move { barrier.wait().await.unwrap() };
///     let mut places = riata::gather([come(barrier.clone()), come(barrier)]).await;
///     places.sort();
///     assert_eq!(places, [0, 1]);
/// });
/// ```
pub struct Barrier {
    parties: usize,
    waiters: RefCell<Waiters>,
    is_broken: Cell<bool>,
}

impl Barrier {
    /// A barrier for `parties` tasks.
    ///
    /// # Panics
    ///
    /// If that is none.
    ///
    /// ```
    /// assert_eq!(riata::Barrier::new(2).parties(), 2);
    /// ```
    pub const fn new(parties: usize) -> Self {
        // asyncio's words.
        assert!(parties >= 1, "parties must be >= 1");
        Self {
            parties,
            waiters: RefCell::new(Waiters::new()),
            is_broken: Cell::new(false),
        }
    }

    /// Waits until all have come, and says the how-manieth this one was, from 0. A waiter that
    /// is dropped before that has not come.
    ///
    /// # Errors
    ///
    /// [`BrokenBarrier`].
    ///
    /// ```
    /// riata::run(async { assert_eq!(riata::Barrier::new(1).wait().await, Ok(0)) });
    /// ```
    pub async fn wait(&self) -> Result<usize, BrokenBarrier> {
        if self.is_broken() {
            return Err(BrokenBarrier);
        }
        let index = self.waiting();
        if index + 1 == self.parties {
            self.serve_all(Service::Given);
            return Ok(index);
        }
        let arrived = Arrived {
            barrier: self,
            place: None,
        };
        match arrived.await {
            Service::Given => Ok(index),
            Service::Refused => Err(BrokenBarrier),
        }
    }

    /// Sends all who wait away with an error, and begins afresh.
    ///
    /// ```
    /// let barrier = riata::Barrier::new(2);
    /// barrier.abort();
    /// barrier.reset();
    /// assert!(!barrier.is_broken());
    /// ```
    pub fn reset(&self) {
        self.is_broken.set(false);
        self.serve_all(Service::Refused);
    }

    /// Sends all who wait, and all who come until the next [`reset`](Self::reset), away with an
    /// error.
    ///
    /// ```
    /// let barrier = riata::Barrier::new(2);
    /// barrier.abort();
    /// assert_eq!(riata::run(barrier.wait()), Err(riata::BrokenBarrier));
    /// ```
    pub fn abort(&self) {
        self.is_broken.set(true);
        self.serve_all(Service::Refused);
    }

    /// For how many tasks it was made.
    ///
    /// ```
    /// assert_eq!(riata::Barrier::new(2).parties(), 2);
    /// ```
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many have come and wait.
    ///
    /// ```
    /// assert_eq!(riata::Barrier::new(2).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.waiters.borrow().len()
    }

    /// Whether it was aborted.
    ///
    /// ```
    /// assert!(!riata::Barrier::new(2).is_broken());
    /// ```
    pub fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    fn serve_all(&self, service: Service) {
        for _ in 0..self.waiting() {
            let first = self.waiters.borrow_mut().serve(service);
            if let Some(waker) = first {
                waker.wake();
            }
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &self.waiting())
            .field("is_broken", &self.is_broken())
            .finish()
    }
}

struct Arrived<'a> {
    barrier: &'a Barrier,
    place: Option<Place>,
}

impl Future for Arrived<'_> {
    type Output = Service;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Service> {
        let mut waiters = self.barrier.waiters.borrow_mut();
        let Some(place) = self.place else {
            let place = waiters.enter(context.waker().clone());
            drop(waiters);
            self.place = Some(place);
            return Poll::Pending;
        };
        match waiters.look(place, context.waker()) {
            Ok(service) => Poll::Ready(service),
            Err(old) => {
                drop(waiters);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let left = self.barrier.waiters.borrow_mut().leave(place);
            if let Left::Waiting(waker) = left {
                drop(waker);
            }
        }
    }
}
