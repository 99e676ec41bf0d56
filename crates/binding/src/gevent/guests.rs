//! asyncio's loops that run in greenlets of the hub's thread: the hub waits for them too, and gives each its turns.
//!
//! A guest's poller is watched by the hub's, as a descriptor: it is readable when it has something to tell.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, WatchKey};

use super::hub_loop::GreenLoop;
use crate::error::os_error;
use crate::event_loop::watch::Watcher as Entry;
use crate::event_loop::{EventLoop, Kernel};

/// A loop that runs as a guest.
pub struct Guest {
    event_loop: Py<EventLoop>,
    /// Called in the hub for one turn.
    turn: Py<PyAny>,
    /// The watch of its poller.
    key: Option<WatchKey>,
}

impl Guest {
    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.turn)
    }
}

impl GreenLoop {
    /// The guests.
    pub(super) fn guests(&self, py: Python<'_>) -> Vec<Py<EventLoop>> {
        self.guests.with(py, |guests| {
            let loops = guests.iter().map(|guest| guest.event_loop.clone_ref(py));
            loops.collect()
        })
    }

    /// What other threads wake the guests by.
    pub(super) fn guest_kernels(&self, py: Python<'_>) -> Vec<Arc<Kernel>> {
        self.guests.with(py, |guests| {
            let kernels = guests.iter();
            kernels
                .filter_map(|guest| guest.event_loop.get().kernel(py))
                .collect()
        })
    }

    /// Whether it has anything to do but for its only guest: who fired, who is told of each iteration.
    pub fn has_others(&self, py: Python<'_>) -> bool {
        let alone = self.guests.with(py, |guests| guests.len() == 1);
        !alone
            || self
                .core(py)
                .get()
                .ready
                .with(py, |ready| !ready.is_empty())
            || self.has_pending(py, 0)
            || self
                .turns
                .with(py, |turns| turns.iter().any(|turn| !turn.is_empty()))
            || self.always_ready.with(py, |always| !always.is_empty())
    }

    /// Gives a turn to each guest that has something to do.
    #[inline(never)]
    pub(super) fn run_guests(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        if this.guests.with(py, |guests| guests.is_empty()) {
            return;
        }
        for event_loop in this.guests(py) {
            if !EventLoop::wants_turn(event_loop.bind(py)) {
                continue;
            }
            let turn = this.guests.with(py, |guests| {
                let guest = guests
                    .iter()
                    .find(|guest| guest.event_loop.is(&event_loop))?;
                Some(guest.turn.clone_ref(py))
            });
            if let Some(turn) = turn
                && let Err(error) = turn.call0(py)
            {
                Self::handle(slf, None, error);
            }
        }
    }

    fn watch_guest(&self, event_loop: &Bound<'_, EventLoop>) -> PyResult<Option<WatchKey>> {
        let py = event_loop.py();
        let Some(kernel) = event_loop.get().own_kernel(py).map_err(os_error)? else {
            return Ok(None);
        };
        let fd = kernel.poller.fd().as_raw_fd();
        let entry = Entry::Guest(event_loop.clone().unbind());
        self.core(py)
            .get()
            .change_watchers(py, |registry, poller| {
                registry.add(poller, fd, Interest::READABLE, entry)
            })
            .map_err(os_error)?
            .transpose()
            .map_err(|rejected| os_error(rejected.error))
    }

    fn unwatch_guest(&self, py: Python<'_>, key: Option<WatchKey>) -> PyResult<()> {
        let Some(key) = key else {
            return Ok(());
        };
        let removed = self
            .core(py)
            .get()
            .change_watchers(py, |registry, poller| registry.remove(poller, key));
        removed.map(drop).map_err(os_error)
    }

    /// In a forked child: the guests have new pollers.
    pub(super) fn renew_guests(&self, py: Python<'_>) -> PyResult<()> {
        for event_loop in self.guests(py) {
            let key = self.guests.with(py, |guests| {
                let guest = guests
                    .iter_mut()
                    .find(|guest| guest.event_loop.is(&event_loop))?;
                guest.key.take()
            });
            self.unwatch_guest(py, key)?;
            let key = self.watch_guest(event_loop.bind(py))?;
            self.guests.with(py, |guests| {
                let guest = guests
                    .iter_mut()
                    .find(|guest| guest.event_loop.is(&event_loop));
                if let Some(guest) = guest {
                    guest.key = key;
                }
            });
            event_loop.get().set_readable(py);
        }
        Ok(())
    }
}

#[pymethods]
impl GreenLoop {
    /// Have a loop of asyncio's run as this one's guest: `turn()` is called in the hub whenever it has something to do.
    fn _add_guest(
        &self,
        py: Python<'_>,
        event_loop: Bound<'_, EventLoop>,
        turn: Py<PyAny>,
    ) -> PyResult<()> {
        self.check(py)?;
        let key = self.watch_guest(&event_loop)?;
        event_loop.get().set_readable(py); // the first turn looks at everything
        let guest = Guest {
            event_loop: event_loop.unbind(),
            turn,
            key,
        };
        self.guests.with(py, |guests| guests.push(guest));
        self.count_active(py, 1);
        Ok(())
    }

    /// It is a guest no longer.
    fn _remove_guest(&self, py: Python<'_>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let guest = self.guests.with(py, |guests| {
            let place = guests
                .iter()
                .position(|guest| guest.event_loop.is(event_loop))?;
            Some(guests.remove(place))
        });
        let Some(guest) = guest else {
            return Ok(());
        };
        self.count_active(py, -1);
        let outcome = self.unwatch_guest(py, guest.key);
        drop(guest);
        outcome
    }

    /// The loops that are guests.
    fn _guests(&self, py: Python<'_>) -> Vec<Py<EventLoop>> {
        self.guests(py)
    }
}
