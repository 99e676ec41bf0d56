//! One at a time.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

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
    /// Whose permit it is has it.
    value: UnsafeCell<T>,
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
            value: UnsafeCell::new(value),
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
        LockGuard { lock: self }
    }

    /// As [`acquire`](Self::acquire), with a guard that borrows nothing: it can go into a callback,
    /// or wherever `'static` is asked for.
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// riata::run(async {
    ///     let lock = Rc::new(riata::Lock::new(()));
    ///     let guard = lock.clone().acquire_owned().await;
    ///     riata::call_later(Duration::from_millis(1), move || drop(guard));
    ///     assert!(lock.is_locked());
    ///     lock.acquire().await;
    /// });
    /// ```
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedLockGuard<T> {
        // As above.
        let _ = self.permits.take().await;
        OwnedLockGuard { lock: self }
    }

    /// Acquires the lock if nobody holds it.
    ///
    /// ```
    /// let lock = riata::Lock::new(());
    /// let guard = lock.try_acquire();
    /// assert!(guard.is_some() && lock.try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        self.permits.try_take().then(|| LockGuard { lock: self })
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

    /// # Safety
    ///
    /// To be called by the guard that has the permit, for a reference that lives no longer than
    /// its own borrow.
    #[allow(unsafe_code)]
    unsafe fn value(&self) -> &T {
        // SAFETY: R4.
        unsafe { &*self.value.get() }
    }

    /// # Safety
    ///
    /// As [`value`](Self::value), and the guard is borrowed mutably.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    unsafe fn value_mut(&self) -> &mut T {
        // SAFETY: R4.
        unsafe { &mut *self.value.get() }
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
    lock: &'a Lock<T>,
}

impl<'a, T> LockGuard<'a, T> {
    pub(super) fn lock(&self) -> &'a Lock<T> {
        self.lock
    }
}

/// A lock that is held, until this is dropped, and kept alive: see [`Lock::acquire_owned`].
///
/// ```
/// use std::rc::Rc;
/// riata::run(async {
///     let mut guard: riata::OwnedLockGuard<i32> =
///         Rc::new(riata::Lock::new(1)).acquire_owned().await;
///     *guard += 1;
///     assert_eq!(*guard, 2);
/// });
/// ```
#[must_use = "a lock whose guard is dropped is released"]
pub struct OwnedLockGuard<T> {
    lock: Rc<Lock<T>>,
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[allow(unsafe_code)]
    fn deref(&self) -> &T {
        // SAFETY: R4. A guard has the permit for as long as it lives.
        unsafe { self.lock.value() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[allow(unsafe_code)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: R4. As above, and it is borrowed mutably.
        unsafe { self.lock.value_mut() }
    }
}

impl<T> Deref for OwnedLockGuard<T> {
    type Target = T;

    #[allow(unsafe_code)]
    fn deref(&self) -> &T {
        // SAFETY: R4. A guard has the permit for as long as it lives.
        unsafe { self.lock.value() }
    }
}

impl<T> DerefMut for OwnedLockGuard<T> {
    #[allow(unsafe_code)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: R4. As above, and it is borrowed mutably.
        unsafe { self.lock.value_mut() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.permits.give();
    }
}

impl<T> Drop for OwnedLockGuard<T> {
    fn drop(&mut self) {
        self.lock.permits.give();
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for OwnedLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
