//! So many at a time.

use std::fmt;
use std::rc::Rc;

use super::permits::Permits;

/// A count that [`acquire`](Self::acquire) lowers and [`release`](Self::release) raises; who
/// finds it at zero waits. Fair.
///
/// ```
/// riata::run(async {
///     let semaphore = riata::Semaphore::new(2);
///     let one = semaphore.acquire().await;
///     let _two = semaphore.acquire().await;
///     assert!(semaphore.is_locked());
///     drop(one);
///     assert!(!semaphore.is_locked());
/// });
/// ```
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// A semaphore for `count` holders at once.
    ///
    /// ```
    /// assert_eq!(riata::Semaphore::new(3).available(), 3);
    /// ```
    pub const fn new(count: usize) -> Self {
        Self {
            permits: Permits::new(count),
        }
    }

    /// Lowers the count, in its turn; dropping the permit raises it again.
    ///
    /// ```
    /// riata::run(async {
    ///     let semaphore = riata::Semaphore::new(1);
    ///     semaphore.acquire().await.forget();
    ///     assert!(semaphore.is_locked());
    ///     semaphore.release();
    /// });
    /// ```
    pub async fn acquire(&self) -> Permit<'_> {
        // Nobody refuses: the result says only that it is our turn.
        let _ = self.permits.take().await;
        Permit {
            permits: &self.permits,
        }
    }

    /// As [`acquire`](Self::acquire), with a permit that borrows nothing.
    ///
    /// ```
    /// use std::rc::Rc;
    /// riata::run(async {
    ///     let semaphore = Rc::new(riata::Semaphore::new(1));
    ///     let permit = semaphore.clone().acquire_owned().await;
    ///     riata::call_soon(move || drop(permit));
    ///     semaphore.acquire().await.forget();
    /// });
    /// ```
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedPermit {
        // As above.
        let _ = self.permits.take().await;
        OwnedPermit {
            owner: Owner::Semaphore(self),
        }
    }

    /// Lowers the count if it is not zero.
    ///
    /// ```
    /// assert!(riata::Semaphore::new(0).try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let permits = &self.permits;
        permits.try_take().then(|| Permit { permits })
    }

    /// Raises the count, beyond what it was at first if need be, or gives the next in the line
    /// its turn.
    ///
    /// ```
    /// let semaphore = riata::Semaphore::new(0);
    /// semaphore.release();
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    pub fn release(&self) {
        self.permits.give();
    }

    /// Whether the next to acquire would wait.
    ///
    /// ```
    /// assert!(riata::Semaphore::new(0).is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.available() == 0
    }

    /// How many could acquire it without waiting.
    ///
    /// ```
    /// assert_eq!(riata::Semaphore::new(3).available(), 3);
    /// ```
    pub fn available(&self) -> usize {
        self.permits.free()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .field("waiting", &self.permits.waiting())
            .finish()
    }
}

/// A place that a semaphore gave, until this is dropped.
///
/// ```
/// riata::run(async {
///     let semaphore = riata::Semaphore::new(1);
///     let permit: riata::Permit<'_> = semaphore.acquire().await;
///     drop(permit);
///     assert_eq!(semaphore.available(), 1);
/// });
/// ```
#[must_use = "a permit that is dropped is given back"]
pub struct Permit<'a> {
    permits: &'a Permits,
}

impl Permit<'_> {
    /// Keeps the place beyond this: it is given back by `release`.
    ///
    /// ```
    /// let semaphore = riata::Semaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert_eq!(semaphore.available(), 0);
    /// ```
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.permits.give();
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// A place that a semaphore gave, until this is dropped, which keeps the semaphore alive: see
/// [`Semaphore::acquire_owned`] and [`BoundedSemaphore::acquire_owned`].
///
/// ```
/// use std::rc::Rc;
/// riata::run(async {
///     let semaphore = Rc::new(riata::Semaphore::new(1));
///     let permit: riata::OwnedPermit = semaphore.clone().acquire_owned().await;
///     drop(permit);
///     assert_eq!(semaphore.available(), 1);
/// });
/// ```
#[must_use = "a permit that is dropped is given back"]
pub struct OwnedPermit {
    owner: Owner,
}

/// Whose place it is.
enum Owner {
    Semaphore(Rc<Semaphore>),
    Bounded(Rc<BoundedSemaphore>),
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        match &self.owner {
            Owner::Semaphore(semaphore) => semaphore.release(),
            Owner::Bounded(bounded) => bounded.semaphore.release(),
        }
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnedPermit")
    }
}

/// That a [`BoundedSemaphore`] was released more often than it was acquired.
///
/// ```
/// assert_eq!(riata::ReleasedTooOften.to_string(), "BoundedSemaphore released too many times");
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ReleasedTooOften;

impl fmt::Display for ReleasedTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // asyncio's words.
        f.write_str("BoundedSemaphore released too many times")
    }
}

impl std::error::Error for ReleasedTooOften {}

/// A [`Semaphore`] whose count does not rise above what it was at first.
///
/// ```
/// let semaphore = riata::BoundedSemaphore::new(1);
/// assert_eq!(semaphore.release(), Err(riata::ReleasedTooOften));
/// ```
#[derive(Debug)]
pub struct BoundedSemaphore {
    semaphore: Semaphore,
    bound: usize,
}

impl BoundedSemaphore {
    /// A semaphore for `count` holders at once.
    ///
    /// ```
    /// assert_eq!(riata::BoundedSemaphore::new(3).available(), 3);
    /// ```
    pub const fn new(count: usize) -> Self {
        Self {
            semaphore: Semaphore::new(count),
            bound: count,
        }
    }

    /// As [`Semaphore::acquire`].
    ///
    /// ```
    /// riata::run(async { riata::BoundedSemaphore::new(1).acquire().await.forget() });
    /// ```
    pub async fn acquire(&self) -> Permit<'_> {
        self.semaphore.acquire().await
    }

    /// As [`Semaphore::acquire_owned`].
    ///
    /// ```
    /// use std::rc::Rc;
    /// riata::run(async {
    ///     let semaphore = Rc::new(riata::BoundedSemaphore::new(1));
    ///     let permit = semaphore.clone().acquire_owned().await;
    ///     riata::call_soon(move || drop(permit));
    ///     semaphore.acquire().await.forget();
    /// });
    /// ```
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedPermit {
        // As there.
        let _ = self.semaphore.permits.take().await;
        OwnedPermit {
            owner: Owner::Bounded(self),
        }
    }

    /// As [`Semaphore::try_acquire`].
    ///
    /// ```
    /// assert!(riata::BoundedSemaphore::new(0).try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.semaphore.try_acquire()
    }

    /// Gives back a place whose permit was [forgotten](Permit::forget).
    ///
    /// # Errors
    ///
    /// [`ReleasedTooOften`]: every place is back.
    ///
    /// ```
    /// let semaphore = riata::BoundedSemaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert!(semaphore.release().is_ok());
    /// ```
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        if self.available() >= self.bound {
            return Err(ReleasedTooOften);
        }
        self.semaphore.release();
        Ok(())
    }

    /// Whether the next to acquire would wait.
    ///
    /// ```
    /// assert!(!riata::BoundedSemaphore::new(1).is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.semaphore.is_locked()
    }

    /// How many could acquire it without waiting.
    ///
    /// ```
    /// assert_eq!(riata::BoundedSemaphore::new(1).available(), 1);
    /// ```
    pub fn available(&self) -> usize {
        self.semaphore.available()
    }
}
