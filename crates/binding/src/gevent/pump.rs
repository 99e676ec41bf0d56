//! One iteration of gevent's loop, and `run`.
//!
//! In libev's order: who watches forks, who prepares for the poll, callbacks; the poll; what it reported, due timers, who
//! is idle, who checks after the poll. Those fire, and are called by priority. Callbacks that are added while callbacks
//! run belong to the same batch; after every fifty the clock is looked at, and when the interpreter's switch interval is
//! over the rest waits for a poll that does not block.
//!
//! A switch of greenlets copies what lies on the stack below the callback. So what is not at work then (`poll` and the
//! like, with all that is inlined in them) is not inlined here, and a callback's frames are small.

use std::sync::Arc;

use pyo3::exceptions::PySystemError;
use pyo3::intern;
use pyo3::prelude::*;
use riata_engine::clock::Nanos;
use riata_engine::driver::Interest;
use riata_engine::fork;
use riata_engine::remote::Sleep;

use super::callback::Callback;
use super::direct::Phase;
use super::hub_loop::{Break, GreenLoop};
use super::turn::Moment;
use super::wakeup::{Wakeup, is_first_thread};
use super::watcher::{Kind, Watcher};
use crate::error::os_error;
use crate::event_loop::run::{LONGEST_POLL, Patience};
use crate::event_loop::schedule::Timer;
use crate::event_loop::watch::Watcher as Entry;
use crate::event_loop::work::Work;
use crate::event_loop::{EventLoop, Kernel};

/// After how many callbacks the clock is looked at.
const CALLBACKS_BETWEEN_LOOKS: u32 = 50;

/// A wait that is shorter is not worth a sleep: to fall asleep and to wake takes as long.
const SHORTEST_SLEEP: Nanos = Nanos(3_000);

/// libev's granularity. Timers that follow each other more closely are waited for together: for at most this long after
/// the last such wait.
const GRANULARITY: Nanos = Nanos(1_000_000);

/// How a batch of callbacks has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// It is used up, or its time is.
    Over,
    /// So far that a greenlet has polled, in the hub's place: watchers that have fired come next.
    Polled,
}

/// Whether there is anything left to run for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    End,
}

#[pymethods]
impl GreenLoop {
    /// Run until there is nothing left to wait for, or `break_` is called.
    ///
    /// With `nowait` one iteration that does not wait, with `once` one that does. What callbacks raise goes to
    /// `handle_error`. May be called while it runs, from a callback or another greenlet.
    #[pyo3(signature = (nowait = false, once = false))]
    fn run(slf: &Bound<'_, Self>, nowait: bool, once: bool) -> PyResult<()> {
        slf.get().check(slf.py())?;
        Self::iterate_all(slf, nowait, once);
        Ok(())
    }
}

impl GreenLoop {
    #[inline(never)]
    fn iterate_all(slf: &Bound<'_, Self>, nowait: bool, once: bool) {
        let py = slf.py();
        let this = slf.get();
        this.depth.with(py, |depth| *depth += 1);
        this.broken.set(py, Break::None);
        let outer = (this.phase.get(py), this.continuous.get(py));
        this.continuous.set(py, !(nowait || once));
        while Self::iterate(slf, nowait) == Flow::GoOn && !(nowait || once) {}
        if this.broken.get(py) == Break::Innermost {
            this.broken.set(py, Break::None);
        }
        this.phase.set(py, outer.0);
        this.continuous.set(py, outer.1);
        this.depth.with(py, |depth| *depth -= 1);
        if this.depth.get(py) == 0 {
            this.disarm(py);
        }
    }

    fn iterate(slf: &Bound<'_, Self>, nowait: bool) -> Flow {
        let py = slf.py();
        let this = slf.get();
        this.iteration.with(py, |iteration| *iteration += 1);
        this.phase.set(py, Phase::Other);
        if let Err(error) = Self::notice_fork(slf) {
            Self::handle_system_error(slf, error);
        }
        Self::fire_turn(slf, Moment::Prepare);
        Self::call_pending(slf);
        if Self::run_callbacks(slf) == Batch::Over {
            Self::run_guests(slf);
            if this.ends(py) {
                return Flow::End;
            }
            this.remove_stopped(py);
            let patience = Self::poll(slf, nowait);
            Self::after_poll(slf, patience);
            this.fire_always_ready(py);
            Self::fire_idle(slf);
            Self::fire_turn(slf, Moment::Check);
        }
        this.phase.set(py, Phase::Pending);
        Self::call_pending(slf);
        match this.ends(py) || this.count_alive(py) <= 0 {
            true => Flow::End,
            false => Flow::GoOn,
        }
    }

    /// Notes what the poll has brought, and which timers are due.
    pub(super) fn after_poll(slf: &Bound<'_, Self>, patience: Patience) {
        let this = slf.get();
        let py = slf.py();
        this.update(py);
        if matches!(patience, Patience::For(_)) {
            this.slept_at.set(py, this.now(py));
        }
        Self::fire_timers(slf);
    }

    pub(super) fn ends(&self, py: Python<'_>) -> bool {
        self.broken.get(py) != Break::None || self.is_destroyed(py)
    }

    /// What the kernel refused: told as libev tells it.
    #[cold]
    fn handle_system_error(slf: &Bound<'_, Self>, error: PyErr) {
        let text = format!("(riata) {}", error.value(slf.py()));
        Self::handle(slf, None, PySystemError::new_err(text));
    }

    /// In a forked child: the kernel's objects are replaced, and fork watchers told.
    #[inline(never)]
    fn notice_fork(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let generation = fork::generation();
        if this.generation.replace(py, generation) != generation {
            this.forked.set(py, true);
        }
        if !this.forked.replace(py, false) {
            return Ok(());
        }
        let core = this.core(py).get();
        core.own_kernel(py).map_err(os_error)?;
        this.disarm(py); // it is the parent's
        if let Some((_, key)) = this.wakeup.take(py) {
            let entry = core
                .change_watchers(py, |registry, poller| registry.remove(poller, key))
                .map_err(os_error)?;
            drop(entry);
        }
        this.renew_guests(py)?;
        Self::fire_turn(slf, Moment::Fork);
        Self::call_pending(slf);
        Ok(())
    }

    #[inline(never)]
    fn fire_turn(slf: &Bound<'_, Self>, moment: Moment) {
        let py = slf.py();
        if !slf.get().has_turn(py, moment) {
            return;
        }
        for watcher in slf.get().turn(py, moment) {
            Watcher::pend(watcher.bind(py), moment.events());
        }
    }

    /// Those of the highest priority that any idle watcher has, unless something else of it or above has fired.
    #[inline(never)]
    fn fire_idle(slf: &Bound<'_, Self>) {
        let py = slf.py();
        if !slf.get().has_turn(py, Moment::Idle) {
            return;
        }
        let idle = slf.get().turn(py, Moment::Idle);
        let Some(rank) = idle.iter().map(|watcher| watcher.get().rank(py)).max() else {
            return;
        };
        if slf.get().has_pending(py, rank) {
            return;
        }
        for watcher in idle {
            if watcher.get().rank(py) == rank {
                Watcher::pend(watcher.bind(py), Moment::Idle.events());
            }
        }
    }

    #[inline(never)]
    fn fire_always_ready(&self, py: Python<'_>) {
        if self.always_ready.with(py, |always| always.is_empty()) {
            return;
        }
        let always: Vec<Py<Watcher>> = self.always_ready.with(py, |always| {
            always.iter().map(|watcher| watcher.clone_ref(py)).collect()
        });
        for watcher in always {
            let watcher = watcher.bind(py);
            if let Kind::Io(io) = watcher.get().kind() {
                Watcher::pend(watcher, io.events(py));
            }
        }
    }

    /// Calls those who have fired, and who fires meanwhile.
    #[inline(never)]
    fn call_pending(slf: &Bound<'_, Self>) {
        let py = slf.py();
        while let Some(watcher) = slf.get().pop_pending(py) {
            Watcher::invoke(watcher.bind(py));
        }
    }

    #[inline(never)]
    fn run_callbacks(slf: &Bound<'_, Self>) -> Batch {
        let py = slf.py();
        let this = slf.get();
        let core = this.core(py);
        this.begin_callbacks(py);
        while let Some(work) = core.get().ready.with(py, |ready| {
            ready.begin_batch();
            ready.pop_batch()
        }) {
            match work {
                Work::Green(callback) => Callback::run(callback.bind(py)),
                work => Self::run_other(slf, work),
            }
            if this.phase.get(py) == Phase::Pending {
                return Batch::Polled;
            }
            let left = this.left.get(py).saturating_sub(1);
            this.left.set(py, left);
            if left == 0 {
                this.left.set(py, CALLBACKS_BETWEEN_LOOKS);
                this.update(py);
                let until = this.began.get(py).saturating_add(switch_interval(py));
                if this.now(py) >= until {
                    this.timers_update.set(py, false);
                    return Batch::Over;
                }
            }
        }
        this.end_callbacks(py);
        Batch::Over
    }

    /// A batch of callbacks begins.
    pub(super) fn begin_callbacks(&self, py: Python<'_>) {
        self.phase.set(py, Phase::Callbacks);
        self.timers_update.set(py, true);
        self.began.set(py, self.now(py));
        self.left.set(py, CALLBACKS_BETWEEN_LOOKS);
    }

    /// It has ended in time.
    pub(super) fn end_callbacks(&self, py: Python<'_>) {
        self.update(py);
        self.timers_update.set(py, false);
    }

    /// What is not gevent's own.
    #[inline(never)]
    fn run_other(slf: &Bound<'_, Self>, work: Work) {
        if let Err(error) = EventLoop::run_one(slf.get().core(slf.py()), work) {
            Self::handle(slf, None, error);
        }
    }

    /// Takes io watchers that were stopped since the last poll, and not started again, out of the kernel's set.
    #[inline(never)]
    pub(super) fn remove_stopped(&self, py: Python<'_>) {
        if self.stopped.with(py, |stopped| stopped.is_empty()) {
            return;
        }
        let core = self.core(py).get();
        for key in self.stopped.take(py) {
            let watcher = core.registry.with(py, |registry| match registry.get(key) {
                Some(Entry::Green(watcher)) => Some(watcher.clone_ref(py)),
                _ => None,
            });
            if let Some(watcher) = watcher
                && !watcher.get().is_active(py)
                && let Kind::Io(io) = watcher.get().kind()
            {
                io.close(watcher.bind(py));
            }
        }
    }

    /// How long a poll may wait.
    pub(super) fn patience(&self, py: Python<'_>, nowait: bool) -> Patience {
        let core = self.core(py).get();
        if nowait
            || self.count_alive(py) <= 0
            || core.ready.with(py, |ready| !ready.is_empty())
            || self.has_pending(py, 0)
            || self.has_turn(py, Moment::Idle)
            || self.always_ready.with(py, |always| !always.is_empty())
        {
            return Patience::None;
        }
        let mut least: Option<Nanos> = None;
        for guest in self.guests(py) {
            let guest = guest.bind(py);
            if EventLoop::wants_turn(guest) {
                return Patience::None;
            }
            least = shorter(least, EventLoop::until_deadline(guest));
        }
        least = shorter(least, self.until_timers(py));
        match least {
            None => Patience::Unlimited,
            Some(left) if left < SHORTEST_SLEEP => Patience::None,
            Some(left) => Patience::For(left.min(LONGEST_POLL)),
        }
    }

    /// How long to wait for timers. One by itself is waited for to the nanosecond. Where they are dense, several become
    /// due during a wait: else each would cost a poll, and a sleep.
    fn until_timers(&self, py: Python<'_>) -> Option<Nanos> {
        let timers = &self.core(py).get().timers;
        let (next, second) = timers.with(py, |timers| {
            (timers.next_deadline(), timers.second_deadline())
        });
        let mut until = next?;
        self.update(py);
        let now = self.now(py);
        if until > now && second.is_some_and(|second| second < until.saturating_add(GRANULARITY)) {
            until = until.max(self.slept_at.get(py).saturating_add(GRANULARITY));
        }
        Some(until.saturating_sub(now))
    }

    /// Polls, and says how long it might have waited.
    #[inline(never)]
    fn poll(slf: &Bound<'_, Self>, nowait: bool) -> Patience {
        let py = slf.py();
        let this = slf.get();
        let core = this.core(py);
        let rang = this.wakeup(py).is_some_and(|wakeup| wakeup.rang());
        let mut patience = this.patience(py, nowait || rang);
        if patience != Patience::None && this.arm(py) {
            // What came before the descriptor was there, or since Python's last look.
            if let Err(error) = py.check_signals() {
                Self::handle(slf, None, error);
                return Patience::None;
            }
            patience = this.patience(py, nowait || rang);
        }
        let kernel = match core.get().own_kernel(py) {
            Ok(Some(kernel)) => kernel,
            Ok(None) => return Patience::None,
            Err(error) => {
                Self::handle_system_error(slf, os_error(error));
                return Patience::None;
            }
        };
        let sleepers = match patience {
            Patience::None => Vec::new(),
            _ => this.guest_kernels(py),
        };
        for sleeper in &sleepers {
            if sleeper.remote.before_sleep() == Sleep::HasWork {
                patience = Patience::None;
            }
        }
        Self::wait(slf, &kernel, patience);
        for sleeper in &sleepers {
            sleeper.remote.after_sleep();
        }
        if let Some(wakeup) = this.wakeup(py) {
            wakeup.attend();
        }
        if let Err(error) = py.check_signals() {
            Self::handle(slf, None, error);
        }
        patience
    }

    /// Waits, and notes what has happened and what other threads have sent.
    pub(super) fn wait(slf: &Bound<'_, Self>, kernel: &Arc<Kernel>, patience: Patience) {
        let core = slf.get().core(slf.py());
        if let Err(error) = EventLoop::wait_for_events(core, kernel, patience) {
            Self::handle_system_error(slf, error);
        }
        core.get().take_remote(slf.py(), kernel);
    }

    /// The pipe that signals end polls by, once it was needed.
    pub(super) fn wakeup(&self, py: Python<'_>) -> Option<Arc<Wakeup>> {
        self.wakeup
            .with(py, |known| known.as_ref().map(|(pipe, _)| Arc::clone(pipe)))
    }

    /// Has signals end polls, until the outermost `run` ends; false outside of the main thread, and where the program has
    /// Python tell another descriptor.
    fn arm(&self, py: Python<'_>) -> bool {
        if self.armed.get(py) {
            return true;
        }
        if !is_first_thread() {
            return false;
        }
        // Without a pipe signals end a poll all the same, but for one that comes just before it.
        let Some(wakeup) = self.wakeup(py).or_else(|| self.make_wakeup(py)) else {
            return false;
        };
        let armed = wakeup.arm(py);
        self.armed.set(py, armed);
        armed
    }

    /// Takes the descriptor away from Python.
    pub(super) fn disarm(&self, py: Python<'_>) {
        if !self.armed.replace(py, false) {
            return;
        }
        if let Some(wakeup) = self.wakeup(py) {
            wakeup.disarm(py);
        }
    }

    fn make_wakeup(&self, py: Python<'_>) -> Option<Arc<Wakeup>> {
        let wakeup = Arc::new(Wakeup::new().ok()?);
        let entry = Entry::Wakeup(Arc::clone(&wakeup));
        let fd = wakeup.fd();
        let core = self.core(py).get();
        let added = core.change_watchers(py, |registry, poller| {
            registry.add(poller, fd, Interest::READABLE, entry)
        });
        let key = added.ok().flatten()?.ok()?;
        self.wakeup.set(py, Some((Arc::clone(&wakeup), key)));
        Some(wakeup)
    }

    /// Fires the timers that are due: all are taken out before any is set again.
    #[inline(never)]
    fn fire_timers(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let core = slf.get().core(py);
        let now = slf.get().now(py);
        let timers = &core.get().timers;
        if timers.with(py, |timers| {
            timers.next_deadline().is_none_or(|due| due > now)
        }) {
            return;
        }
        let due: Vec<Timer> = timers.with(py, |timers| timers.take_due(now));
        for timer in due {
            EventLoop::fire_timer(core, timer);
        }
    }
}

/// The shorter of two times, None being without end.
fn shorter(one: Option<Nanos>, other: Option<Nanos>) -> Option<Nanos> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// `sys.getswitchinterval()`, which is `gevent.getswitchinterval`.
#[inline(never)]
fn switch_interval(py: Python<'_>) -> Nanos {
    let asked = py
        .import(intern!(py, "sys"))
        .and_then(|sys| sys.call_method0(intern!(py, "getswitchinterval")))
        .and_then(|seconds| seconds.extract::<f64>());
    Nanos::not_before_secs_f64(asked.unwrap_or(0.005)) // CPython's default
}
