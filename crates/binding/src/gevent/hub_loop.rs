//! `GreenLoop`: what a gevent hub asks of its loop, but for running it (`pump`).

use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::clock::{Nanos, monotonic};
use riata_engine::driver::WatchKey;
use riata_engine::fork;

use super::child::Children;
use super::direct::{Phase, Waking};
use super::guests::Guest;
use super::signal::Signals;
use super::turn::Moment;
use super::wakeup::Wakeup;
use super::watcher::Watcher;
use crate::cell::GilCell;
use crate::event_loop::EventLoop;
use crate::event_loop::guest::note_hub;

/// How many priorities there are.
const RANKS: usize = 5;

/// How many moments there are.
const MOMENTS: usize = 5;

/// Who asked `run` to end.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Break {
    /// Nobody.
    #[default]
    None,
    /// `break_`: the innermost `run`.
    Innermost,
    /// `break_(EVBREAK_ALL)`: every `run`.
    All,
}

/// The native half of `riata.gevent.Loop`.
#[pyclass(
    frozen,
    subclass,
    weakref,
    name = "GreenLoop",
    module = "riata._native"
)]
pub struct GreenLoop {
    pub(super) core: Py<EventLoop>,
    pub(super) default: GilCell<bool>,
    /// How many active watchers the loop goes on for, and what `ref` and `unref` have added.
    active: GilCell<i64>,
    /// Watchers that have fired, by priority.
    pub(super) pending: GilCell<[VecDeque<Py<Watcher>>; RANKS]>,
    /// Active watchers of moments of the iteration.
    pub(super) turns: GilCell<[Vec<Py<Watcher>>; MOMENTS]>,
    /// Active watchers of files that epoll refuses.
    pub(super) always_ready: GilCell<Vec<Py<Watcher>>>,
    /// asyncio's loops that run as this one's guests.
    pub(super) guests: GilCell<Vec<Guest>>,
    /// Registry entries of io watchers that were stopped since the last poll.
    pub(super) stopped: GilCell<Vec<WatchKey>>,
    pub(super) signals: GilCell<Signals>,
    pub(super) children: GilCell<Children>,
    /// The time that timers are counted from.
    pub(super) now: GilCell<Nanos>,
    /// When the last poll ended that waited for a timer.
    pub(super) slept_at: GilCell<Nanos>,
    /// Callbacks are being run, and a timer that is set looks at the clock.
    pub(super) timers_update: GilCell<bool>,
    pub(super) broken: GilCell<Break>,
    pub(super) depth: GilCell<u32>,
    pub(super) iteration: GilCell<u64>,
    /// `run` goes on until nothing is left.
    pub(super) continuous: GilCell<bool>,
    /// How far the iteration has come.
    pub(super) phase: GilCell<Phase>,
    /// When the batch of callbacks began.
    pub(super) began: GilCell<Nanos>,
    /// How many callbacks are called before the clock is looked at.
    pub(super) left: GilCell<u32>,
    /// The call that the hub's stack is in, if that only woke a greenlet.
    pub(super) waking: GilCell<Option<Waking>>,
    /// The process has forked, and nobody was told yet.
    pub(super) forked: GilCell<bool>,
    pub(super) generation: GilCell<u64>,
    pub(super) wakeup: GilCell<Option<(Arc<Wakeup>, WatchKey)>>,
    /// Python's wakeup descriptor is that pipe.
    pub(super) armed: GilCell<bool>,
    pub(super) destroyed: GilCell<bool>,
}

impl GreenLoop {
    /// The loop that it stands on.
    pub fn core<'py>(&self, py: Python<'py>) -> &Bound<'py, EventLoop> {
        self.core.bind(py)
    }

    /// Whether it is the default loop.
    pub fn is_default(&self, py: Python<'_>) -> bool {
        self.default.get(py)
    }

    /// # Errors
    /// ValueError when it is destroyed.
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        match self.destroyed.get(py) {
            true => Err(PyValueError::new_err("operation on destroyed loop")),
            false => Ok(()),
        }
    }

    /// Whether it is destroyed.
    pub fn is_destroyed(&self, py: Python<'_>) -> bool {
        self.destroyed.get(py)
    }

    /// The time that timers are counted from.
    pub fn now(&self, py: Python<'_>) -> Nanos {
        self.now.get(py)
    }

    /// Looks at the clock.
    pub fn update(&self, py: Python<'_>) {
        self.now.set(py, monotonic());
    }

    /// Whether a timer that is set looks at the clock first.
    pub fn timers_update(&self, py: Python<'_>) -> bool {
        self.timers_update.get(py)
    }

    /// `change` more watchers are active and referenced.
    pub fn count_active(&self, py: Python<'_>, change: i64) {
        self.active
            .with(py, |active| *active = active.saturating_add(change));
    }

    /// How many active watchers and callbacks it goes on for.
    pub fn count_alive(&self, py: Python<'_>) -> i64 {
        let callbacks = self.core.bind(py).get().ready.with(py, |ready| ready.len());
        let callbacks = i64::try_from(callbacks).unwrap_or(i64::MAX);
        self.active.get(py).saturating_add(callbacks)
    }

    /// Queues a watcher that has fired.
    pub fn queue(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        let rank = watcher.get().rank(py).min(RANKS - 1);
        let watcher = watcher.clone().unbind();
        self.pending
            .with(py, |pending| pending[rank].push_back(watcher));
    }

    /// The next watcher whose callback is to be called: of the highest priority, then the first that fired.
    pub(super) fn pop_pending(&self, py: Python<'_>) -> Option<Py<Watcher>> {
        self.pending.with(py, |pending| {
            pending.iter_mut().rev().find_map(VecDeque::pop_front)
        })
    }

    /// The watcher that `pop_pending` would give.
    pub(super) fn first_pending(&self, py: Python<'_>) -> Option<Py<Watcher>> {
        self.pending.with(py, |pending| {
            let first = pending.iter().rev().find_map(VecDeque::front);
            first.map(|watcher| watcher.clone_ref(py))
        })
    }

    /// Whether a watcher of at least this rank has fired.
    pub(super) fn has_pending(&self, py: Python<'_>, rank: usize) -> bool {
        self.pending
            .with(py, |pending| pending[rank..].iter().any(|q| !q.is_empty()))
    }

    /// `watcher` is told of a moment of the iteration from now on.
    pub fn add_to_turn(&self, watcher: &Bound<'_, Watcher>, moment: Moment) {
        let added = watcher.clone().unbind();
        self.turns
            .with(watcher.py(), |turns| turns[moment as usize].push(added));
    }

    /// `watcher` is told no more.
    pub fn remove_from_turn(&self, watcher: &Bound<'_, Watcher>, moment: Moment) {
        let removed = self.turns.with(watcher.py(), |turns| {
            take(&mut turns[moment as usize], watcher)
        });
        drop(removed);
    }

    /// Whether anybody is told of a moment.
    pub(super) fn has_turn(&self, py: Python<'_>, moment: Moment) -> bool {
        self.turns
            .with(py, |turns| !turns[moment as usize].is_empty())
    }

    /// Who is told of a moment.
    pub(super) fn turn(&self, py: Python<'_>, moment: Moment) -> Vec<Py<Watcher>> {
        self.turns.with(py, |turns| {
            let turn = turns[moment as usize].iter();
            turn.map(|watcher| watcher.clone_ref(py)).collect()
        })
    }

    /// `watcher` fires in each iteration: epoll refuses its descriptor.
    pub fn add_always_ready(&self, watcher: &Bound<'_, Watcher>) {
        let added = watcher.clone().unbind();
        self.always_ready
            .with(watcher.py(), |always| always.push(added));
    }

    /// It does no more.
    pub fn remove_always_ready(&self, watcher: &Bound<'_, Watcher>) {
        let removed = self
            .always_ready
            .with(watcher.py(), |always| take(always, watcher));
        drop(removed);
    }

    /// Before the next poll the entry is removed, unless its watcher is active again.
    pub fn add_stopped(&self, py: Python<'_>, key: WatchKey) {
        self.stopped.with(py, |stopped| stopped.push(key));
    }

    /// Ends the loop's sleep, or keeps it from the next one.
    pub fn wake(&self, py: Python<'_>) {
        if let Some(kernel) = self.core.bind(py).get().kernel(py) {
            kernel.remote.wake();
        }
    }

    /// Tells `handle_error` what the call that has just failed raised.
    #[cold]
    #[inline(never)]
    pub fn handle_raised(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) {
        let error = PyErr::fetch(slf.py());
        Self::handle(slf, Some(context), error);
    }

    /// Tells `handle_error` what was raised: by `context`, a watcher or a callback; None for what the program is to end of.
    pub fn handle(slf: &Bound<'_, Self>, context: Option<&Bound<'_, PyAny>>, error: PyErr) {
        let py = slf.py();
        let (class, traceback) = (error.get_type(py), error.traceback(py));
        let told = slf.call_method1(
            intern!(py, "handle_error"),
            (context, class, error.value(py), traceback),
        );
        if let Err(another) = told {
            another.display(py); // there is nobody left to tell
        }
    }

    /// Drops all watchers, and has signals handled as before.
    pub(super) fn empty(&self, py: Python<'_>) {
        let pending = self.pending.take(py);
        let turns = self.turns.take(py);
        let always_ready = self.always_ready.take(py);
        let signals = self.signals.take(py);
        for (number, watched) in &signals {
            if let Err(error) = super::signal::restore(py, *number, watched) {
                error.display(py);
            }
        }
        let children = self.children.take(py);
        let guests = self.guests.take(py);
        self.disarm(py);
        let wakeup = self.wakeup.take(py);
        let waking = self.waking.take(py);
        drop((
            pending,
            turns,
            always_ready,
            signals,
            children,
            guests,
            wakeup,
            waking,
        ));
    }
}

/// Takes `watcher` out of `list`.
fn take(list: &mut Vec<Py<Watcher>>, watcher: &Bound<'_, Watcher>) -> Option<Py<Watcher>> {
    let place = list.iter().position(|other| other.is(watcher))?;
    Some(list.remove(place))
}

#[pymethods]
impl GreenLoop {
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        note_hub(py);
        let core = py
            .get_type::<EventLoop>()
            .call0()?
            .cast_into::<EventLoop>()?;
        Ok(Self {
            core: core.unbind(),
            default: GilCell::new(false),
            active: GilCell::new(0),
            pending: GilCell::default(),
            turns: GilCell::default(),
            always_ready: GilCell::default(),
            guests: GilCell::default(),
            stopped: GilCell::default(),
            signals: GilCell::default(),
            children: GilCell::default(),
            now: GilCell::new(monotonic()),
            slept_at: GilCell::new(Nanos(0)),
            timers_update: GilCell::new(false),
            broken: GilCell::default(),
            depth: GilCell::new(0),
            iteration: GilCell::new(0),
            continuous: GilCell::new(false),
            phase: GilCell::default(),
            began: GilCell::new(Nanos(0)),
            left: GilCell::new(0),
            waking: GilCell::default(),
            forked: GilCell::new(false),
            generation: GilCell::new(fork::generation()),
            wakeup: GilCell::default(),
            armed: GilCell::new(false),
            destroyed: GilCell::new(false),
        })
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.core)?;
        // SAFETY: B3: called by the collector.
        unsafe {
            for watcher in self.pending.traverse().iter().flatten() {
                visit.call(watcher)?;
            }
            for watcher in self.turns.traverse().iter().flatten() {
                visit.call(watcher)?;
            }
            for watcher in self.always_ready.traverse() {
                visit.call(watcher)?;
            }
            for watched in self.signals.traverse().values() {
                watched.traverse(&visit)?;
            }
            for guest in self.guests.traverse() {
                guest.traverse(&visit)?;
            }
            for watched in self.children.traverse().values() {
                watched.traverse(&visit)?;
            }
            if let Some(waking) = self.waking.traverse() {
                waking.traverse(&visit)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        Python::attach(|py| self.empty(py));
    }
}
