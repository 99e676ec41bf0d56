//! One at a time.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::permits::Permits;

/// A lock around a value, for tasks of one loop; held across `.await`s.
///
/// Fair: released, it belongs to who has waited longest, whatever others ask for meanwhile.
///
/// ```
/// use std::rc::Rc;
/// riata::run(async {
///     let lock = Rc::new(riata::Lock::new(0));
///     let tasks = (0..3).map(|_| {
///         let lock = lock.clone();
///         async move {
///             let mut count = lock.acquire().await;
///             let before = *count;
///             riata::yield_now().await;
///             *count = before + 1;
///         }
///     });
///     riata::gather(tasks).await;
///     assert_eq!(*lock.acquire().await, 3);
/// });
/// ```
pub struct Lock<T = ()> {
    permits: Permits,
    value: RefCell<T>,
}

impl<T> Lock<T> {
    /// A lock that nobody holds.
    ///
    /// ```
    /// assert!(!riata::Lock::new(()).is_locked());
    /// ```
    pub const fn new(value: T) -> Self {
        Self {
            permits: Permits::new(1),
            value: RefCell::new(value),
        }
    }

    /// Acquires the lock, in its turn.
    ///
    /// ```
    /// riata::run(async { assert_eq!(*riata::Lock::new(1).acquire().await, 1) });
    /// ```
    pub async fn acquire(&self) -> LockGuard<'_, T> {
        // Nobody refuses: the result says only that it is our turn.
        let _ = self.permits.take().await;
        self.guard()
    }

    /// Acquires the lock if nobody holds it.
    ///
    /// ```
    /// let lock = riata::Lock::new(());
    /// let guard = lock.try_acquire();
    /// assert!(guard.is_some() && lock.try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        self.permits.try_take().then(|| self.guard())
    }

    /// Whether somebody holds the lock.
    ///
    /// ```
    /// let lock = riata::Lock::new(());
    /// let _guard = lock.try_acquire();
    /// assert!(lock.is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.permits.free() == 0
    }

    /// The value, of a lock that nobody can hold.
    ///
    /// ```
    /// assert_eq!(riata::Lock::new(3).into_inner(), 3);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn guard(&self) -> LockGuard<'_, T> {
        LockGuard {
            value: Some(self.value.borrow_mut()),
            lock: self,
        }
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("is_locked", &self.is_locked())
            .field("waiting", &self.permits.waiting())
            .finish()
    }
}

/// A lock that is held, until this is dropped.
///
/// ```
/// riata::run(async {
///     let lock = riata::Lock::new(1);
///     let mut guard: riata::LockGuard<'_, i32> = lock.acquire().await;
///     *guard += 1;
///     assert_eq!(*guard, 2);
/// });
/// ```
#[must_use = "a lock whose guard is dropped is released"]
pub struct LockGuard<'a, T> {
    /// Present until the guard is dropped.
    value: Option<RefMut<'a, T>>,
    lock: &'a Lock<T>,
}

impl<'a, T> LockGuard<'a, T> {
    pub(super) fn lock(&self) -> &'a Lock<T> {
        self.lock
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("taken only by drop")
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[allow(clippy::expect_used)]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("taken only by drop")
    }
}

impl<T> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.permits.give();
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
