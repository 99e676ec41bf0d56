//! What threads find by a number while it is there: the loops of the process.
//!
//! Something is used while the lock is held for reading, and leaves under the lock for
//! writing: what was sent to a loop before it left is there when it empties its queue.
//! `tests/registry_loom.rs` tries every interleaving.

use std::sync::{Arc, PoisonError};

#[cfg(loom)]
use loom::sync::RwLock;
#[cfg(not(loom))]
use std::sync::RwLock;

/// At most 65,536 things, each with a number of 16 bits, which is given again, and a serial
/// number, which is not: the number, and above it how often that was given.
pub(crate) struct Registry<R: ?Sized>(RwLock<Vec<Entry<R>>>);

struct Entry<R: ?Sized> {
    serial: u64,
    thing: Option<Arc<R>>,
}

const fn number(serial: u64) -> u16 {
    serial as u16
}

impl<R: ?Sized> Registry<R> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(RwLock::new(Vec::new()))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(RwLock::new(Vec::new()))
    }

    /// Takes a thing in, and gives its serial number; `None` if there are too many.
    pub(crate) fn add(&self, thing: Arc<R>) -> Option<u64> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let free = entries.iter_mut().find(|entry| entry.thing.is_none());
        if let Some(entry) = free {
            entry.serial += 1 << 16;
            entry.thing = Some(thing);
            return Some(entry.serial);
        }
        let serial = u64::from(u16::try_from(entries.len()).ok()?);
        entries.push(Entry {
            serial,
            thing: Some(thing),
        });
        Some(serial)
    }

    /// Takes a thing out: nobody is using it when this returns, nor finds it any more.
    pub(crate) fn remove(&self, serial: u64) -> Option<Arc<R>> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get_mut(usize::from(number(serial)))?;
        let is_it = entry.serial == serial;
        is_it.then(|| entry.thing.take()).flatten()
    }

    /// Calls `f` with whatever has this number now.
    pub(crate) fn with_number(&self, number: u16, f: impl FnOnce(&R)) {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(usize::from(number));
        if let Some(thing) = entry.and_then(|entry| entry.thing.as_ref()) {
            f(thing);
        }
    }

    /// Calls `f` with the thing of this serial number, and says whether it is there; if it is
    /// not, `f` is dropped without the lock.
    pub(crate) fn with_serial(&self, serial: u64, f: impl FnOnce(&R)) -> bool {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(usize::from(number(serial)));
        match entry {
            Some(Entry {
                serial: this,
                thing: Some(thing),
            }) if *this == serial => {
                f(thing);
                true
            }
            _ => {
                drop(entries);
                drop(f);
                false
            }
        }
    }
}
