//! What a transport wants to be told, as the loop's table and the kernel know it, and what a poll has told.

use pyo3::prelude::*;
use riata_engine::driver::Readiness;
use riata_engine::error::Error;

use super::stream::StreamTransport;
use crate::context;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::event_loop::watch::{Unowned, Watcher};

impl StreamTransport {
    /// Makes the kernel's view, and who holds whom, what the state says.
    ///
    /// # Errors
    /// Those of epoll_ctl: EBADF, ENOMEM, ENOSPC.
    pub(super) fn rewatch(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> Result<(), Error> {
        let py = slf.py();
        let (fd, key, wanted) = slf
            .get()
            .with(py, |state| (state.fd, state.key, state.wanted()));
        let this = event_loop.get();
        let Some(key) = key else {
            if wanted.is_none() {
                return Ok(());
            }
            let watcher = Watcher::Stream(slf.clone().unbind());
            let added = this.change_watchers(py, |registry, poller| {
                registry.add(poller, fd, wanted, watcher)
            })?;
            return match added {
                None => Ok(()),
                Some(Ok(key)) => {
                    slf.get().with(py, |state| state.key = Some(key));
                    Ok(())
                }
                Some(Err(rejected)) => Err(rejected.error),
            };
        };
        let changed = this.change_watchers(py, |registry, poller| {
            registry.set_interest(poller, key, wanted)
        })?;
        Self::hold(slf, event_loop);
        match changed {
            None => Ok(()),
            // A loop that was closed has forgotten it.
            Some(Err(error)) if error.errno == libc::ENOENT && wanted.is_none() => Ok(()),
            Some(changed) => changed,
        }
    }

    /// Lets the loop hold a reference as long as the transport wants to be told anything. No system call: what the
    /// kernel still reports of a paused transport is answered by asking it not to.
    pub(super) fn hold(slf: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) {
        let py = slf.py();
        let (key, wanted) = slf.get().with(py, |state| (state.key, state.wanted()));
        let Some(key) = key else { return };
        let before = event_loop.get().registry.with(py, |registry| {
            let place = registry.get_mut(key)?;
            match (&*place, wanted.is_none()) {
                (Watcher::Stream(_), true) => Some(std::mem::replace(
                    place,
                    Watcher::Parked(Unowned::new(slf.as_any())),
                )),
                (Watcher::Parked(_), false) => Some(std::mem::replace(
                    place,
                    Watcher::Stream(slf.clone().unbind()),
                )),
                _ => None,
            }
        });
        drop(before);
    }

    /// Takes the transport out of the loop's table, before its descriptor is closed.
    pub(super) fn unwatch(&self, py: Python<'_>) {
        let (key, event_loop) = self.with(py, |state| {
            (
                state.key.take(),
                state
                    .event_loop
                    .as_ref()
                    .map(|event_loop| event_loop.clone_ref(py)),
            )
        });
        let (Some(key), Some(event_loop)) = (key, event_loop) else {
            return;
        };
        let removed = event_loop
            .get()
            .change_watchers(py, |registry, poller| registry.remove(poller, key));
        if removed.is_err() {
            // No descriptor is left for that, in a forked child: its place must not name the transport.
            let left = event_loop.get().registry.with(py, |registry| {
                let place = registry.get_mut(key)?;
                Some(std::mem::replace(place, Watcher::Remote))
            });
            drop(left);
        }
    }

    /// A poll has reported something.
    pub fn handle_ready(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        readiness: Readiness,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (context, reads) = this.with(py, |state| {
            (
                state
                    .context
                    .as_ref()
                    .map(|context| context.bind(py).clone()),
                state.reads(),
            )
        });
        let Some(context) = context else {
            return Ok(());
        };
        context::run_in_or_copy(&context, || {
            if readiness.wakes_reader() {
                match reads {
                    true => Self::read(slf, event_loop)?,
                    false => Self::settle_watch(slf, event_loop)?,
                }
            }
            match readiness.wakes_writer() && this.with(py, |state| state.wants_room) {
                true => Self::send_waiting(slf, event_loop),
                false => Ok(()),
            }
        })
    }

    /// As `rewatch`; a transport that cannot be watched has failed.
    ///
    /// # Errors
    /// As `fatal`.
    pub(super) fn settle_watch(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        match Self::rewatch(slf, event_loop) {
            Ok(()) => Ok(()),
            Err(error) => Self::fatal(slf, os_error(error), "Fatal error on transport"),
        }
    }
}
