//! A watcher's place among the engine's timers: what timers and files' watchers share.

use pyo3::prelude::*;
use riata_engine::clock::Nanos;
use riata_engine::timers::TimerKey;

use super::watcher::Watcher;
use crate::cell::GilCell;
use crate::event_loop::schedule::Timer;

/// Where a watcher waits for a time, if it does. While it waits the engine's timers hold the watcher.
#[derive(Default)]
pub struct Alarm {
    key: GilCell<Option<TimerKey>>,
}

impl Alarm {
    /// Whether a watcher waits.
    pub fn is_set(&self, py: Python<'_>) -> bool {
        self.key.get(py).is_some()
    }

    /// `watcher` is told to expire once it is `deadline`. It must not be waiting.
    #[inline]
    pub fn set(&self, watcher: &Bound<'_, Watcher>, deadline: Nanos) {
        let py = watcher.py();
        let timer = Timer::Green(watcher.clone().unbind());
        let timers = &watcher.get().event_loop(py).get().core(py).get().timers;
        let key = timers.with(py, |timers| timers.insert(deadline, timer));
        self.key.set(py, Some(key));
    }

    /// `watcher` waits no more.
    #[inline]
    pub fn stop(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        if let Some(key) = self.key.take(py) {
            let core = watcher.get().event_loop(py).get().core(py);
            drop(core.get().forget_timer(py, key));
        }
    }

    /// The engine has taken the watcher out, since it was due.
    #[inline]
    pub fn note_rung(&self, py: Python<'_>) {
        self.key.set(py, None);
    }
}
