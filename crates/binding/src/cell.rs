//! `GilCell`: interior mutability under the GIL, for objects that Python shares.
//!
//! Every native object is a frozen class: PyO3 lends out `&T` only, and what changes lives in cells. A
//! greenlet switch or a re-entrant call can happen inside any call into Python, so a cell never lends its
//! content across one: values are taken out, cloned, replaced, or touched in a closure that must not call
//! Python (nor drop a Python object, whose destructor may). Debug builds check the last rule.

use std::cell::UnsafeCell;

use pyo3::prelude::*;

/// A value that only the holder of the GIL touches, and only for a moment.
pub struct GilCell<T> {
    value: UnsafeCell<T>,
    #[cfg(debug_assertions)]
    lent: std::cell::Cell<bool>,
}

// SAFETY: B1. Every access takes a `Python` token (or happens in the collector, which holds the GIL), and the
// module declares that it uses the GIL: two threads are never inside at once.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    /// A cell holding `value`.
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
            #[cfg(debug_assertions)]
            lent: std::cell::Cell::new(false),
        }
    }

    /// Runs `f` on the content. `f` must neither call Python nor drop a Python object.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub fn with<R>(&self, _py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(debug_assertions)]
        let _guard = Lent::new(&self.lent);
        // SAFETY: B1 and B2: the GIL is held, and `f` calls nothing that could come back to this cell.
        f(unsafe { &mut *self.value.get() })
    }

    /// Puts `value` in and gives back what was there: drop it only once nothing is in flux.
    #[inline(always)]
    #[must_use]
    pub fn replace(&self, py: Python<'_>, value: T) -> T {
        self.with(py, |place| std::mem::replace(place, value))
    }

    /// Puts `value` in; what was there is dropped afterwards, when the cell is whole again.
    #[inline(always)]
    pub fn set(&self, py: Python<'_>, value: T) {
        drop(self.replace(py, value));
    }

    /// Takes the content out, leaving the default.
    #[inline(always)]
    pub fn take(&self, py: Python<'_>) -> T
    where
        T: Default,
    {
        self.replace(py, T::default())
    }

    /// A copy of the content.
    #[inline(always)]
    pub fn get(&self, py: Python<'_>) -> T
    where
        T: Copy,
    {
        self.with(py, |value| *value)
    }

    /// The content, for `__traverse__` alone: the collector holds the GIL but gives no token.
    ///
    /// # Safety
    /// Called from `__traverse__`, and nothing of it is kept.
    #[allow(unsafe_code)]
    pub unsafe fn traverse(&self) -> &T {
        // SAFETY: B3: the collector runs between two uses of the cell, never inside `with`, which calls no Python.
        unsafe { &*self.value.get() }
    }
}

impl<T> GilCell<Option<Py<T>>> {
    /// A new reference to what is inside.
    #[inline(always)]
    pub fn cloned(&self, py: Python<'_>) -> Option<Py<T>> {
        self.with(py, |value| {
            value.as_ref().map(|object| object.clone_ref(py))
        })
    }
}

impl<T: Default> Default for GilCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

#[cfg(debug_assertions)]
struct Lent<'a>(&'a std::cell::Cell<bool>);

#[cfg(debug_assertions)]
impl<'a> Lent<'a> {
    fn new(flag: &'a std::cell::Cell<bool>) -> Self {
        assert!(
            !flag.replace(true),
            "a GilCell was used while it was lent: a call into Python inside `with`?"
        );
        LENT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(flag)
    }
}

#[cfg(debug_assertions)]
impl Drop for Lent<'_> {
    fn drop(&mut self) {
        LENT.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        self.0.set(false);
    }
}

/// How many cells are lent at the moment.
#[cfg(debug_assertions)]
static LENT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Whether a cell is lent, so that nothing may be called.
#[cfg(switching)]
pub fn is_any_lent() -> bool {
    LENT.load(std::sync::atomic::Ordering::Relaxed) > 0
}
