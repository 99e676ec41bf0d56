//! A socket call that could not be done yet: who waits, and what happens when the socket is ready.
//!
//! It counts as the descriptor's reader or writer, as with asyncio: `remove_reader` ends it, and another one takes its
//! place. Its future tells when it is done or cancelled, whereupon it is watched for no more.
//!
//! Most programs come back at once: an echo receives, sends, and waits again. So a watcher that has served stays in the
//! kernel's set, *idle*, for the rest of the turn and two more, and whoever waits next with the same socket takes it
//! over, without a system call. Before a poll that may block the others are removed. The idle watcher holds the socket:
//! were it gone, its descriptor's number could be another file's.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Poller, WatchKey};

use super::attempt::{Attempt, Call, Manner, Request, bytes_view};
use crate::cell::GilCell;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::event_loop::serve::is_interrupt;
use crate::event_loop::watch::{Side, Watcher, descriptor};
use crate::event_loop::work::LoopRef;
use crate::future::{Future, Waiter};

/// How many polls that do not block an idle watcher survives.
const IDLE_POLLS: u64 = 2;

/// A call that waits for its socket.
pub struct Waiting {
    call: Call,
    manner: Manner,
    socket: Py<PyAny>,
    first: Py<PyAny>,
    second: Option<Py<PyAny>>,
    sent: GilCell<usize>,
    future: Py<Future>,
}

/// A watcher that has served: the socket whose descriptor it watches, and for what.
pub struct Idle {
    socket: Py<PyAny>,
    side: Side,
    /// How many polls there had been when it became idle.
    since: u64,
}

impl Waiting {
    /// Which of a descriptor's two callbacks it counts as.
    pub fn side(&self) -> Side {
        match self.call.reads() {
            true => Side::Reader,
            false => Side::Writer,
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.socket)?;
        visit.call(&self.first)?;
        visit.call(&self.second)?;
        visit.call(&self.future)
    }
}

impl Idle {
    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            socket: self.socket.clone_ref(py),
            side: self.side,
            since: self.since,
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.socket)
    }
}

impl EventLoop {
    /// A future of what `request` asks for, `sent` bytes of which are sent already.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed, or a transport uses the descriptor; what epoll_ctl says.
    pub(super) fn wait<'py>(
        slf: &Bound<'py, Self>,
        request: &Request<'_, 'py>,
        sent: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let first = match request.call {
            Call::SendAll => bytes_view(request.first)?,
            _ => request.first.clone(),
        };
        let future = Bound::new(py, Future::on(LoopRef::of(slf)))?;
        if this.debug(py) {
            future.get().note_source(py)?;
        }
        let number = request.socket.call_method0(intern!(py, "fileno"))?;
        slf.call_method1(intern!(py, "_ensure_fd_no_transport"), (&number,))?;
        this.check_closed(py)?;
        let fd = descriptor(&number)?;
        let waiting = Waiting {
            call: request.call,
            manner: request.manner,
            socket: request.socket.clone().unbind(),
            first: first.unbind(),
            second: request.second.map(|second| second.clone().unbind()),
            sent: GilCell::new(sent),
            future: future.clone().unbind(),
        };
        let side = waiting.side();
        this.unwatch(py, this.find_side(py, fd, side))?;
        let watcher = Watcher::Waiting(Arc::new(waiting));
        let key = match this.take_over(py, fd, side, request.socket, watcher) {
            Ok(key) => Some(key),
            Err(watcher) => this
                .change_watchers(py, |registry, poller| {
                    registry.add(poller, fd, side.interest(), watcher)
                })
                .map_err(os_error)?
                .transpose()
                .map_err(|rejected| os_error(rejected.error))?,
        };
        if let Some(key) = key {
            Future::add_waiter(&future, Waiter::Watch(key))?;
        }
        Ok(future.into_any())
    }

    /// Puts `watcher` into the place of an idle one of the same socket; gives it back if there is none.
    fn take_over(
        &self,
        py: Python<'_>,
        fd: i32,
        side: Side,
        socket: &Bound<'_, PyAny>,
        watcher: Watcher,
    ) -> Result<WatchKey, Watcher> {
        if !self.has_idle(py) {
            return Err(watcher);
        }
        let found = self.registry.with(py, |registry| {
            let is_own = |key: &WatchKey| match registry.get(*key) {
                Some(Watcher::Idle(idle)) => idle.side == side && idle.socket.is(socket),
                _ => false,
            };
            registry.watchers(fd).find(is_own)
        });
        let Some(key) = found else {
            return Err(watcher);
        };
        let idle = self.registry.with(py, |registry| {
            let place = registry.get_mut(key)?;
            Some(std::mem::replace(place, watcher))
        });
        drop(idle);
        Ok(key)
    }

    /// A socket that somebody waits for is ready: tries again.
    ///
    /// # Errors
    /// SystemExit and KeyboardInterrupt that a method of the socket raised; RuntimeError when the loop is closed.
    pub fn progress(slf: &Bound<'_, Self>, waiting: &Waiting) -> PyResult<()> {
        let py = slf.py();
        let future = waiting.future.bind(py);
        if future.get().is_done(py) {
            return Ok(());
        }
        let request = Request {
            call: waiting.call,
            manner: waiting.manner,
            socket: waiting.socket.bind(py),
            first: waiting.first.bind(py),
            second: waiting.second.as_ref().map(|second| second.bind(py)),
            sent: Some(waiting.sent.get(py)),
        };
        let attempt = request.attempt(slf);
        match attempt {
            Ok(Attempt::Blocked) => Ok(()),
            Ok(Attempt::Part(more)) => {
                waiting.sent.with(py, |sent| *sent += more);
                Ok(())
            }
            Err(error) if is_interrupt(py, &error) => Err(error),
            // A method of the socket may have cancelled it.
            _ if future.get().is_done(py) => Ok(()),
            Ok(Attempt::Done(result)) => Future::finish(future, result.unbind()),
            Err(error) => Future::fail(future, error.into_value(py).bind(py).as_any()),
        }
    }

    /// A future is done: its watcher becomes idle.
    pub fn end_wait(&self, py: Python<'_>, key: WatchKey) {
        let since = self.stats.with(py, |stats| stats.polls);
        let ended = self.registry.with(py, |registry| {
            let place = registry.get_mut(key)?;
            let Watcher::Waiting(waiting) = &*place else {
                return None;
            };
            let idle = Idle {
                socket: waiting.socket.clone_ref(py),
                side: waiting.side(),
                since,
            };
            Some(std::mem::replace(place, Watcher::Idle(idle)))
        });
        if ended.is_some() {
            self.idle.with(py, |idle| idle.push_back((key, since)));
        }
        drop(ended);
    }

    /// Whether there are idle watchers.
    #[inline]
    pub fn has_idle(&self, py: Python<'_>) -> bool {
        self.idle.with(py, |idle| !idle.is_empty())
    }

    /// Removes idle watchers, before a poll: those that had time enough, or every one.
    pub fn remove_idle(&self, py: Python<'_>, poller: &Poller, which: Which) {
        let polls = self.stats.with(py, |stats| stats.polls);
        loop {
            let due = self.idle.with(py, |idle| {
                let (_, since) = idle.front()?;
                let due = which == Which::All || polls - since > IDLE_POLLS;
                if due { idle.pop_front() } else { None }
            });
            let Some((key, since)) = due else { return };
            let removed = self.registry.with(py, |registry| match registry.get(key) {
                Some(Watcher::Idle(idle)) if idle.since == since => registry.remove(poller, key),
                _ => None, // it serves again
            });
            drop(removed);
        }
    }
}

/// Which idle watchers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that have been idle for some polls.
    Old,
    /// Every one.
    All,
}
