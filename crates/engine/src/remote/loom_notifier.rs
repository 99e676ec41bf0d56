//! The notifier of a loop that loom examines: a flag and a condition instead of an eventfd.

use loom::sync::{Condvar, Mutex};

use super::Notice;
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Notifier {
    counter: Mutex<Counter>,
    changed: Condvar,
}

#[derive(Debug)]
struct Counter {
    readable: bool,
    writes: usize,
}

#[allow(clippy::unwrap_used)] // Only ever built for a model that is to fail loudly.
impl Notifier {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            counter: Mutex::new(Counter {
                readable: false,
                writes: 0,
            }),
            changed: Condvar::new(),
        })
    }

    pub(super) fn notify(&self) {
        let mut counter = self.counter.lock().unwrap();
        counter.readable = true;
        counter.writes += 1;
        self.changed.notify_one();
    }

    pub(super) fn drain(&self) -> bool {
        std::mem::take(&mut self.counter.lock().unwrap().readable)
    }

    pub(super) fn block(&self, notice: Notice) {
        let mut counter = self.counter.lock().unwrap();
        while !counter.readable {
            counter = self.changed.wait(counter).unwrap();
        }
        // An edge is told of once.
        counter.readable = notice == Notice::Level;
    }

    pub(super) fn is_readable(&self) -> bool {
        self.counter.lock().unwrap().readable
    }

    pub(super) fn writes(&self) -> usize {
        self.counter.lock().unwrap().writes
    }
}
