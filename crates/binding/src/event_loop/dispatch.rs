//! Whom a poll's events concern, and how they are told: at once, or in their turn.

use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::prelude::*;
use riata_engine::driver::{Dispatch, Events, Interest, Readiness, WatchKey};

use super::watch::Watcher;
use super::work::Work;
use super::{EventLoop, Kernel};
use crate::error::os_error;
use crate::gevent::{child as green_child, watcher as green};
use crate::transport::{Endpoint, Signal, StreamTransport};

/// When those are told whom a poll's events concern.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Before the batch, whose work is what they make ready.
    AtOnce,
    /// In the batch, behind what was ready before.
    InTurn,
}

impl EventLoop {
    /// Tells whom the events concern. Who they are is noted for all of them first, before anybody can change it, and on
    /// the loop, not on this stack: whoever runs the loop while one of them is being told goes on with the rest.
    ///
    /// asyncio calls them behind what was ready before the poll and before due timers, and what they make ready is for
    /// the turn after. So they queue up too, unless there is nothing to queue behind: then they are told at once, and
    /// what they make ready is this turn's batch, which is the same order without a poll in between.
    pub(super) fn dispatch(
        slf: &Bound<'_, Self>,
        kernel: &Arc<Kernel>,
        events: &Events,
    ) -> PyResult<Told> {
        let py = slf.py();
        let this = slf.get();
        let stale = this.registry.with(py, |registry| {
            this.concerned.with(py, |concerned| {
                let mut stale = false;
                for (token, readiness) in events.iter() {
                    stale |= registry.dispatch(token, readiness, concerned) == Dispatch::Stale;
                }
                stale
            })
        });
        if stale {
            // The kernel reports what nobody can remove any more: a copy of a closed descriptor lives on somewhere.
            this.registry
                .with(py, |registry| registry.rebuild(&kernel.poller))
                .map_err(os_error)?;
        }
        let debug = this.debug(py);
        let token = this.token.get(py);
        let mut told = Self::telling(slf)?;
        while let Some((key, readiness)) = this.concerned.with(py, VecDeque::pop_front) {
            let Some(watcher) = this
                .registry
                .with(py, |registry| registry.get(key).map(|w| w.clone_ref(py)))
            else {
                continue;
            };
            match watcher {
                Watcher::Remote | Watcher::Idle(_) => continue,
                // These only note that they have fired.
                Watcher::Green(_)
                | Watcher::GreenChild(..)
                | Watcher::Guest(_)
                | Watcher::Wakeup(_) => {}
                Watcher::Reader(_) | Watcher::Writer(_) => told = Told::InTurn,
                // In debug mode these queue up by themselves, under a name for the reports of slow callbacks.
                Watcher::Stream(_)
                | Watcher::Datagram(_)
                | Watcher::ReadPipe(_)
                | Watcher::WritePipe(_)
                    if debug => {}
                _ if told == Told::InTurn => {
                    let work = Work::Event(key, readiness);
                    this.ready.with(py, |ready| ready.push(work));
                    continue;
                }
                _ => {}
            }
            let outcome = Self::tell(slf, kernel, key, watcher, readiness)
                .and_then(|()| Self::flush_much(slf));
            if let Err(error) = outcome {
                // The next poll reports again what is ready still.
                this.concerned.with(py, VecDeque::clear);
                return Err(error);
            }
            if this.token.get(py) != token {
                return Ok(told); // somebody else goes on with them
            }
        }
        Ok(told)
    }

    /// How those are to be told whom the last poll's events concern.
    fn telling(slf: &Bound<'_, Self>) -> PyResult<Told> {
        let py = slf.py();
        let this = slf.get();
        if this.debug(py) || this.stopping.get(py) || this.ready.with(py, |ready| !ready.is_empty())
        {
            return Ok(Told::InTurn);
        }
        let deadline = this.timers.with(py, |timers| timers.next_deadline());
        Ok(match deadline {
            Some(deadline) if deadline <= Self::now(slf)? => Told::InTurn,
            _ => Told::AtOnce,
        })
    }

    /// Tells the watcher `key` of its event, unless it has ended since.
    pub(super) fn tell_later(
        slf: &Bound<'_, Self>,
        key: WatchKey,
        readiness: Readiness,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let watcher = this
            .registry
            .with(py, |registry| registry.get(key).map(|w| w.clone_ref(py)));
        match (watcher, this.kernel(py)) {
            (Some(watcher), Some(kernel)) => Self::tell(slf, &kernel, key, watcher, readiness),
            _ => Ok(()),
        }
    }

    fn tell(
        slf: &Bound<'_, Self>,
        kernel: &Kernel,
        key: WatchKey,
        watcher: Watcher,
        readiness: Readiness,
    ) -> PyResult<()> {
        slf.get().pulse.beat();
        let py = slf.py();
        let this = slf.get();
        match watcher {
            Watcher::Remote | Watcher::Idle(_) => Ok(()),
            Watcher::Green(watcher) => {
                green::Watcher::fire(watcher.bind(py), readiness);
                Ok(())
            }
            Watcher::GreenChild(event_loop, pid) => {
                green_child::ended(event_loop.bind(py), pid);
                Ok(())
            }
            Watcher::Guest(guest) => {
                guest.get().set_readable(py);
                Ok(())
            }
            Watcher::Wakeup(wakeup) => {
                wakeup.drain();
                Ok(())
            }
            Watcher::Reader(callback) | Watcher::Writer(callback) => {
                let handle = callback.into_handle();
                if !handle.get().is_cancelled(py) {
                    this.ready
                        .with(py, |ready| ready.push(Work::Handle(handle)));
                }
                Ok(())
            }
            Watcher::Stream(transport) if this.debug(py) => {
                let work = Work::Stream(transport, Signal::Ready(readiness));
                this.ready.with(py, |ready| ready.push(work));
                Ok(())
            }
            Watcher::Stream(transport) => {
                Self::leave_task(slf)?;
                StreamTransport::handle_ready(transport.bind(py), slf, readiness)
            }
            Watcher::Datagram(datagram) => Self::tell_endpoint(slf, datagram.bind(py), readiness),
            Watcher::ReadPipe(pipe) => Self::tell_endpoint(slf, pipe.bind(py), readiness),
            Watcher::WritePipe(pipe) => Self::tell_endpoint(slf, pipe.bind(py), readiness),
            // Paused, and something has come meanwhile: only now is the kernel asked not to tell.
            Watcher::Parked(_) => this
                .registry
                .with(py, |registry| {
                    registry.set_interest(&kernel.poller, key, Interest::NONE)
                })
                .map_err(os_error),
            Watcher::Listener(listener) => {
                Self::leave_task(slf)?;
                Self::accept(slf, key, &listener)
            }
            Watcher::Waiting(waiting) => {
                Self::leave_task(slf)?;
                Self::progress(slf, &waiting)
            }
        }
    }

    fn tell_endpoint<T: Endpoint>(
        slf: &Bound<'_, Self>,
        pipe: &Bound<'_, T>,
        readiness: Readiness,
    ) -> PyResult<()> {
        let py = slf.py();
        if slf.get().debug(py) {
            let handle = T::ready_handle(pipe, slf, readiness)?.unbind();
            let ready = &slf.get().ready;
            ready.with(py, |ready| ready.push(Work::Handle(handle)));
            return Ok(());
        }
        Self::leave_task(slf)?;
        T::handle_ready(pipe, slf, readiness)
    }
}
