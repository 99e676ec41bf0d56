//! A loop that is the guest of a gevent hub: the hub polls and waits, for all its guests and for gevent, and gives each a
//! turn when there is something to do.
//!
//! A turn runs in a greenlet of its own, the *runner*. A step that waits in gevent takes that stack away in the middle of
//! the batch: its `token` changes, another runner goes on with the batch, and the first one ends as soon as its step is
//! over. What the thread knows of asyncio (the loop that runs, the current task, the hooks of asynchronous generators) is
//! put away meanwhile, so that no other greenlet sees it: a `World`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use riata_engine::clock::{Nanos, monotonic};

use super::dispatch::Told;
use super::run::Patience;
use super::sock::Which;
use super::{EventLoop, Kernel};
use crate::cell::GilCell;
use crate::gevent::GreenLoop;
use crate::imports::imports;
use crate::interop;

/// How long a guest's turns follow each other before the hub polls again.
const LONGEST_STAY: Nanos = Nanos(100_000);

/// Who is asked whether a loop that begins to run is a hub's guest: `riata.gevent`'s function, once that is imported.
static HOST: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// How many loops for hubs were made.
static HUBS: GilCell<u64> = GilCell::new(0);

/// Notes that there is one more loop for a hub.
pub fn note_hub(py: Python<'_>) {
    HUBS.with(py, |hubs| *hubs += 1);
}

/// How many loops for hubs were made.
#[inline]
pub fn hubs(py: Python<'_>) -> u64 {
    HUBS.get(py)
}

/// `host(loop)` is asked from now on whether a loop that begins to run is a hub's guest; if so, it runs it and is True.
#[pyfunction(name = "_set_host")]
pub fn set_host(py: Python<'_>, host: Py<PyAny>) {
    // The first one stays: there is only one `riata.gevent`.
    drop(HOST.set(py, host));
}

/// Runs the loop as the guest of the thread's hub, if there is one; whether it did.
///
/// # Errors
/// What ends the run: SystemExit, KeyboardInterrupt, and what kills the greenlet.
pub fn run_as_guest(slf: &Bound<'_, EventLoop>) -> PyResult<bool> {
    match HOST.get(slf.py()) {
        Some(host) => {
            slf.get().pulse.rest(); // the hub gives it turns
            host.bind(slf.py()).call1((slf,))?.is_truthy()
        }
        None => Ok(false),
    }
}

/// What a greenlet that is being left knows of asyncio.
pub struct World {
    event_loop: Py<PyAny>,
    task: Option<Py<PyAny>>,
    hooks: Py<PyTuple>,
    stepping: bool,
}

/// Puts away what the thread knows of asyncio, before another greenlet runs; None when that is nothing.
pub fn leave_world(py: Python<'_>) -> PyResult<Option<World>> {
    let imports = imports(py)?;
    let event_loop = imports.maybe_running_loop.bind(py).call0()?;
    if event_loop.is_none() {
        return Ok(None);
    }
    let task = interop::swap_current_task(&event_loop, None)?;
    let mut stepping = false;
    if let Ok(native) = event_loop.cast::<EventLoop>() {
        let this = native.get();
        stepping = this.stepping.replace(py, false);
        this.entered.set(py, None);
        this.token.with(py, |token| *token += 1);
        this.interrupted.set(py, true);
        this.pulse.rest(); // what waits in gevent holds nobody
    }
    interop::set_running_loop(py, None)?;
    let hooks = imports.get_asyncgen_hooks.bind(py).call0()?;
    imports
        .set_asyncgen_hooks
        .bind(py)
        .call1((py.None(), py.None()))?;
    Ok(Some(World {
        event_loop: event_loop.unbind(),
        task: task.map(Bound::unbind),
        hooks: hooks.cast_into::<PyTuple>()?.unbind(),
        stepping,
    }))
}

impl World {
    /// Has the thread know again what was put away.
    ///
    /// # Errors
    /// What the interpreter's own functions raise.
    pub fn enter(self, py: Python<'_>) -> PyResult<()> {
        let event_loop = self.event_loop.into_bound(py);
        interop::set_running_loop(py, Some(&event_loop))?;
        let task = self.task.map(|task| task.into_bound(py));
        if let Some(task) = &task {
            interop::swap_current_task(&event_loop, Some(task))?;
        }
        if let Ok(native) = event_loop.cast::<EventLoop>() {
            let this = native.get();
            this.stepping.set(py, self.stepping);
            let entered = task.map(|task| task.as_ptr().addr());
            this.entered.set(py, entered);
            this.pulse.beat();
        }
        imports(py)?.set_asyncgen_hooks.bind(py).call1(self.hooks)?;
        Ok(())
    }
}

#[pymethods]
impl EventLoop {
    /// One turn as a hub's guest, without waiting; more for a little while, if the hub has nothing to do in between.
    /// Where a step waits in gevent, the turn ends with that step.
    fn _guest_turn(slf: &Bound<'_, Self>, hub: &Bound<'_, GreenLoop>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !this.is_own(py) {
            Self::adopt_all(slf)?;
        }
        let Some(kernel) = this.kernel(py) else {
            return this.check_closed(py);
        };
        interop::set_running_loop(py, Some(slf.as_any()))?;
        let outcome = Self::guest_turns(slf, &kernel, hub.get());
        let outcome = outcome.and(Self::leave_task(slf));
        this.pulse.rest();
        outcome.and(interop::set_running_loop(py, None))
    }
}

impl EventLoop {
    /// A pair of switches costs more than most turns: while the hub has nothing to do, one turn follows the other.
    fn guest_turns(slf: &Bound<'_, Self>, kernel: &Arc<Kernel>, hub: &GreenLoop) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let token = this.token.get(py);
        let until = monotonic().saturating_add(LONGEST_STAY);
        loop {
            Self::guest_work(slf, kernel)?;
            if this.token.get(py) != token
                || this.stopping.get(py)
                || this.ready.with(py, |ready| ready.is_empty())
                || hub.has_others(py)
                || monotonic() >= until
            {
                return Ok(());
            }
        }
    }

    fn guest_work(slf: &Bound<'_, Self>, kernel: &Arc<Kernel>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let token = this.token.get(py);
        this.stats.with(py, |stats| stats.turns += 1);
        let waiting = match this.interrupted.replace(py, false) {
            true => this.ready.with(py, |ready| ready.len()),
            false => 0,
        };
        Self::flush_writers(slf)?;
        this.take_remote(py, kernel);
        if this.readable.replace(py, false) {
            let told = Self::wait_for_events(slf, kernel, Patience::None)?;
            if this.token.get(py) != token || told == Told::AtOnce && this.stopping.get(py) {
                return Ok(());
            }
            this.take_remote(py, kernel);
        }
        Self::fire_timers(slf)?;
        if waiting > 0 {
            Self::run_newcomers(slf, waiting)?;
            if this.token.get(py) != token {
                return Ok(());
            }
        }
        Self::run_ready(slf)?;
        if this.token.get(py) != token {
            return Ok(());
        }
        Self::flush_writers(slf)?;
        if this.has_idle(py) && this.ready.with(py, |ready| ready.is_empty()) {
            this.remove_idle(py, &kernel.poller, Which::All);
        }
        Ok(())
    }

    /// A step has waited in gevent in the middle of a batch: before the rest of it, the first `waiting` things that are
    /// ready, comes what has happened since, and whom that wakes. A batch of many steps, each of which computes and then
    /// waits in gevent, would hold up everybody else's timers.
    fn run_newcomers(slf: &Bound<'_, Self>, waiting: usize) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let token = this.token.get(py);
        for _ in 0..2 {
            let count = this.ready.with(py, |ready| ready.bring_forward(waiting));
            if count == 0 {
                return Ok(());
            }
            Self::run_batch(slf)?;
            if this.token.get(py) != token {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Its poller has something to tell.
    pub fn set_readable(&self, py: Python<'_>) {
        self.readable.set(py, true);
    }

    /// Whether a guest has something to do now.
    pub fn wants_turn(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let this = slf.get();
        this.ready.with(py, |ready| !ready.is_empty())
            || this.readable.get(py)
            || this.stopping.get(py)
            || this.has_writers(py)
            || this
                .kernel(py)
                .is_none_or(|kernel| !kernel.remote.is_empty())
            || Self::until_deadline(slf) == Some(Nanos(0))
    }

    /// How long a guest can wait for its first timer; None without one.
    pub fn until_deadline(slf: &Bound<'_, Self>) -> Option<Nanos> {
        let deadline = slf
            .get()
            .timers
            .with(slf.py(), |timers| timers.next_deadline())?;
        // A clock of the program's own that fails is told of in the turn.
        let now = Self::now(slf).unwrap_or_else(|_| monotonic());
        Some(deadline.saturating_sub(now))
    }
}
