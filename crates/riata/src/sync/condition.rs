//! A lock whose holder can wait for others to change what it guards.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::lock::{Lock, LockGuard};
use super::waiters::{Left, Place, Service, Waiters};

/// A lock around a value, and a line of those who wait for it to change.
///
/// ```
/// use std::rc::Rc;
/// riata::run(async {
///     let condition = Rc::new(riata::Condition::new(0));
///     let shared = condition.clone();
///     let task = riata::spawn(async move {
///         let guard = shared.acquire().await;
///         *shared.wait_for(guard, |&mut count| count == 2).await
///     });
///     for _ in 0..2 {
///         riata::yield_now().await;
///         let mut guard = condition.acquire().await;
///         *guard += 1;
///         condition.notify_all();
///     }
///     assert_eq!(task.await.unwrap(), 2);
/// });
/// ```
pub struct Condition<T = ()> {
    lock: Lock<T>,
    waiters: RefCell<Waiters>,
}

impl<T> Condition<T> {
    /// A condition whose lock nobody holds.
    ///
    /// ```
    /// assert!(!riata::Condition::new(()).is_locked());
    /// ```
    pub const fn new(value: T) -> Self {
        Self {
            lock: Lock::new(value),
            waiters: RefCell::new(Waiters::new()),
        }
    }

    /// Acquires the lock, in its turn.
    ///
    /// ```
    /// riata::run(async { assert_eq!(*riata::Condition::new(1).acquire().await, 1) });
    /// ```
    pub async fn acquire(&self) -> LockGuard<'_, T> {
        self.lock.acquire().await
    }

    /// Whether somebody holds the lock.
    ///
    /// ```
    /// assert!(!riata::Condition::new(()).is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// Releases the lock, waits to be notified, and acquires it again. If this is dropped after
    /// it was notified, the next in the line is.
    ///
    /// # Panics
    ///
    /// If `guard` is another lock's.
    ///
    /// ```
    /// use std::time::Duration;
    /// riata::run(async {
    ///     let condition = riata::Condition::new(());
    ///     let guard = condition.acquire().await;
    ///     let waiting = condition.wait(guard);
    ///     assert!(riata::timeout(Duration::ZERO, waiting).await.is_err());
    /// });
    /// ```
    pub async fn wait<'a>(&'a self, guard: LockGuard<'a, T>) -> LockGuard<'a, T> {
        assert!(
            std::ptr::eq(guard.lock(), &self.lock),
            "the guard of another lock"
        );
        let mut notified = Notified {
            condition: self,
            place: None,
            guard: Some(guard),
        };
        (&mut notified).await;
        let guard = self.lock.acquire().await;
        // Only now is the notification used.
        notified.finish();
        guard
    }

    /// [Waits](Self::wait) until `is_so` is true of the value.
    ///
    /// ```
    /// riata::run(async {
    ///     let condition = riata::Condition::new(1);
    ///     let guard = condition.acquire().await;
    ///     let guard = condition.wait_for(guard, |&mut value| value == 1).await;
    ///     assert_eq!(*guard, 1);
    /// });
    /// ```
    pub async fn wait_for<'a>(
        &'a self,
        mut guard: LockGuard<'a, T>,
        mut is_so: impl FnMut(&mut T) -> bool,
    ) -> LockGuard<'a, T> {
        while !is_so(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// Wakes the first `count` who wait.
    ///
    /// # Panics
    ///
    /// If nobody holds the lock.
    ///
    /// ```
    /// riata::run(async {
    ///     let condition = riata::Condition::new(());
    ///     let _guard = condition.acquire().await;
    ///     condition.notify(1);
    /// });
    /// ```
    #[track_caller]
    pub fn notify(&self, count: usize) {
        // asyncio's words.
        assert!(self.is_locked(), "cannot notify on un-acquired lock");
        for _ in 0..count {
            if !self.notify_one() {
                break;
            }
        }
    }

    /// Wakes all who wait.
    ///
    /// # Panics
    ///
    /// If nobody holds the lock.
    ///
    /// ```
    /// riata::run(async {
    ///     let condition = riata::Condition::new(());
    ///     let _guard = condition.acquire().await;
    ///     condition.notify_all();
    /// });
    /// ```
    #[track_caller]
    pub fn notify_all(&self) {
        let waiting = self.waiters.borrow().len();
        self.notify(waiting);
    }

    fn notify_one(&self) -> bool {
        let first = self.waiters.borrow_mut().serve(Service::Given);
        let Some(waker) = first else {
            return false;
        };
        waker.wake();
        true
    }
}

impl<T: Default> Default for Condition<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("is_locked", &self.is_locked())
            .field("waiting", &self.waiters.borrow().len())
            .finish()
    }
}

/// Waits in the line; keeps its place until the notification is used.
struct Notified<'a, T> {
    condition: &'a Condition<T>,
    place: Option<Place>,
    /// Released once there is a place in the line.
    guard: Option<LockGuard<'a, T>>,
}

impl<T> Notified<'_, T> {
    fn finish(mut self) {
        if let Some(place) = self.place.take() {
            let left = self.condition.waiters.borrow_mut().leave(place);
            drop(left);
        }
    }
}

impl<T> Future for &mut Notified<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut **self;
        let Some(place) = this.place else {
            let waker = context.waker().clone();
            this.place = Some(this.condition.waiters.borrow_mut().enter(waker));
            this.guard = None;
            return Poll::Pending;
        };
        let looked = this
            .condition
            .waiters
            .borrow_mut()
            .look(place, context.waker());
        match looked {
            Ok(_) => Poll::Ready(()),
            Err(old) => {
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Notified<'_, T> {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let left = self.condition.waiters.borrow_mut().leave(place);
        if let Left::Served(_) = left {
            self.condition.notify_one();
        }
    }
}
