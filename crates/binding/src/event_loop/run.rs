//! One turn of the loop, and running it until it is stopped.
//!
//! A turn: flush what transports have to write, poll (without waiting if anything is ready, else until the first
//! deadline), dispatch what the poll reported, make due timers ready, run what was ready when that began (`batch`).
//!
//! Nothing of the loop is borrowed while Python runs or while the GIL is released: each step takes out what it
//! needs. The batch that is being run is counted in the ready queue, not here, so that whoever goes on with the
//! loop, on whatever stack, goes on with that batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use riata_engine::clock::Nanos;
use riata_engine::driver::Events;
use riata_engine::remote::Sleep;

use super::dispatch::Told;
use super::guest;
use super::schedule::Timer;
use super::sock::Which;
use super::work::Work;
use super::{EventLoop, Kernel, thread_ident};
use crate::collector;
use crate::error::os_error;
use crate::gevent::watcher as green;
use crate::imports::imports;
use crate::interop;
use crate::threads;
use crate::watchdog;

/// The longest poll: asyncio's MAXIMUM_SELECT_TIMEOUT, a day.
pub const LONGEST_POLL: Nanos = Nanos(24 * 3600 * 1_000_000_000);

/// How many turns may pass without a poll while there is nothing to watch but the loop's own descriptors.
const UNPOLLED_TURNS: u32 = 32;

/// The same while there are other threads, which get the GIL at polls.
const UNPOLLED_TURNS_WITH_THREADS: u32 = 4;

/// Whether a loop has ever been in debug mode: only then may coroutines have to keep where they were made.
static TRACKS_ORIGINS: AtomicBool = AtomicBool::new(false);

/// How far a poll may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// There is something to run.
    None,
    /// Until a deadline, as nanoseconds from now.
    For(Nanos),
    /// Until something happens.
    Unlimited,
}

#[pymethods]
impl EventLoop {
    /// Run until stop() is called.
    ///
    /// Raises RuntimeError when this loop, or another one in this thread, is running, and when it is closed.
    fn run_forever(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        if this.thread.get(py).is_some() {
            return Err(PyRuntimeError::new_err(
                "This event loop is already running",
            ));
        }
        let imports = imports(py)?;
        if !imports
            .events
            .bind(py)
            .call_method0(intern!(py, "_get_running_loop"))?
            .is_none()
        {
            return Err(PyRuntimeError::new_err(
                "Cannot run the event loop while another loop is running",
            ));
        }
        Self::note_overrides(slf)?;
        Self::adopt_all(slf)?;
        this.unpolled_turns.set(py, UNPOLLED_TURNS); // the first turn looks at everything
        slf.call_method1(
            intern!(py, "_set_coroutine_origin_tracking"),
            (this.debug(py),),
        )?;
        let hooks = imports
            .get_asyncgen_hooks
            .bind(py)
            .call0()?
            .cast_into::<PyTuple>()?;
        let outcome = Self::run_hooked(slf);
        // What the last turn wrote: nobody may come back to send it.
        let outcome = outcome.and(Self::flush_writers(slf));
        if let Some(kernel) = this.kernel(py) {
            this.remove_idle(py, &kernel.poller, Which::All);
        }
        watchdog::leave(py, &this.pulse);
        this.stopping.set(py, false);
        this.thread.set(py, None);
        // From here on nobody but who holds the loop keeps what it has ready; and what other threads sent comes before
        // what is added meanwhile.
        if let Some(kernel) = this.kernel(py) {
            this.take_remote(py, &kernel);
        }
        let ready = &this.ready;
        ready.with(py, |ready| ready.iter().for_each(collector::show_waiting));
        let cleanup = [
            Self::leave_task(slf),
            interop::set_running_loop(py, None),
            slf.call_method1(intern!(py, "_set_coroutine_origin_tracking"), (false,))
                .map(drop),
            imports.set_asyncgen_hooks.bind(py).call1(hooks).map(drop),
            slf.call_method0(intern!(py, "_end_signals")).map(drop),
        ];
        cleanup
            .into_iter()
            .fold(outcome, |outcome, step| outcome.and(step))
    }

    /// Stop after the turn that is running, or the next one.
    fn stop(&self, py: Python<'_>) {
        self.stopping.set(py, true);
    }

    /// One turn of the loop, whether or not it is running.
    fn _run_once(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Some(kernel) = slf.get().kernel(slf.py()) else {
            return slf.get().check_closed(slf.py());
        };
        Self::turn(slf, &kernel)
            .and(Self::leave_task(slf))
            .and(Self::flush_writers(slf))
    }
}

impl EventLoop {
    /// Whether the interpreter may have been told to keep track of where coroutines are made.
    #[inline(always)]
    pub fn tracks_origins() -> bool {
        TRACKS_ORIGINS.load(Ordering::Relaxed)
    }

    /// A loop is in debug mode.
    pub(super) fn track_origins() {
        TRACKS_ORIGINS.store(true, Ordering::Relaxed);
    }

    fn run_hooked(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let imports = imports(py)?;
        let hooks = PyDict::new(py);
        hooks.set_item(
            "firstiter",
            slf.getattr(intern!(py, "_asyncgen_firstiter_hook"))?,
        )?;
        hooks.set_item(
            "finalizer",
            slf.getattr(intern!(py, "_asyncgen_finalizer_hook"))?,
        )?;
        imports.set_asyncgen_hooks.bind(py).call((), Some(&hooks))?;
        this.thread.set(py, Some(thread_ident()));
        interop::set_running_loop(py, Some(slf.as_any()))?;
        watchdog::enter(slf, &this.pulse, thread_ident());
        if guest::run_as_guest(slf)? {
            return Ok(());
        }
        let mut hubs = guest::hubs(py);
        slf.call_method0(intern!(py, "_begin_signals"))?;
        let Some(mut kernel) = this.kernel(py) else {
            return this.check_closed(py);
        };
        loop {
            if !this.is_own(py) {
                Self::adopt_all(slf)?;
                match this.kernel(py) {
                    Some(new) => kernel = new,
                    None => return this.check_closed(py),
                }
            }
            Self::turn(slf, &kernel)?;
            if this.stopping.get(py) {
                return Ok(());
            }
            let made = guest::hubs(py);
            if made != hubs {
                // gevent was used for the first time, perhaps in this thread.
                hubs = made;
                slf.call_method0(intern!(py, "_end_signals"))?;
                if guest::run_as_guest(slf)? {
                    return Ok(());
                }
                slf.call_method0(intern!(py, "_begin_signals"))?;
            }
        }
    }

    fn turn(slf: &Bound<'_, Self>, kernel: &Arc<Kernel>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.stats.with(py, |stats| stats.turns += 1);
        watchdog::note_turn(py, &this.pulse);
        Self::flush_writers(slf)?;
        this.take_remote(py, kernel);
        let mut patience = Self::patience(slf)?;
        if this.has_idle(py) {
            // What is dropped with them may have something to say: it is asked again how long a poll may wait.
            this.remove_idle(
                py,
                &kernel.poller,
                match patience {
                    Patience::None => Which::Old,
                    Patience::For(_) | Patience::Unlimited => Which::All,
                },
            );
            patience = Self::patience(slf)?;
        }
        if patience != Patience::None || this.must_poll(py) {
            let token = this.token.get(py);
            let told = Self::poll(slf, kernel, patience)?;
            if this.token.get(py) != token {
                return Ok(());
            }
            if told == Told::AtOnce && this.stopping.get(py) {
                return Ok(()); // being told was this turn's work: what it made ready is the next one's
            }
            this.take_remote(py, kernel);
        }
        Self::fire_timers(slf)?;
        Self::run_ready(slf)
    }

    /// Whether to look at descriptors although there is something to run.
    ///
    /// Always, if the program has any watched. If the loop's own are all, a poll can tell nothing but that a signal
    /// came (what other threads send was looked at): that is looked at every few turns.
    #[inline]
    fn must_poll(&self, py: Python<'_>) -> bool {
        let own = 1 + self.internal_fds.get(py);
        if self.registry.with(py, |registry| registry.len() > own) {
            return true;
        }
        self.unpolled_turns.with(py, |turns| {
            *turns += 1;
            *turns >= UNPOLLED_TURNS
                || (*turns).is_multiple_of(UNPOLLED_TURNS_WITH_THREADS) && threads::has_others(py)
        })
    }

    /// Moves what other threads sent to the ready queue.
    #[inline]
    pub fn take_remote(&self, py: Python<'_>, kernel: &Kernel) {
        if kernel.remote.is_empty() {
            return;
        }
        // The memory goes to and fro: what is emptied here is where the next are put.
        let mut sent = self.sent.take(py);
        kernel.remote.take(&mut sent);
        self.ready.with(py, |ready| ready.append(&mut sent));
        self.sent.set(py, sent);
    }

    #[inline]
    fn patience(slf: &Bound<'_, Self>) -> PyResult<Patience> {
        let py = slf.py();
        let this = slf.get();
        if this.stopping.get(py)
            || this.ready.with(py, |ready| !ready.is_empty())
            || this.has_writers(py)
        {
            return Ok(Patience::None);
        }
        let Some(deadline) = this.timers.with(py, |timers| timers.next_deadline()) else {
            return Ok(Patience::Unlimited);
        };
        let left = deadline.saturating_sub(Self::now(slf)?);
        Ok(if left == Nanos(0) {
            Patience::None
        } else {
            Patience::For(left.min(LONGEST_POLL))
        })
    }

    fn poll(slf: &Bound<'_, Self>, kernel: &Arc<Kernel>, patience: Patience) -> PyResult<Told> {
        let outcome = Self::wait_for_events(slf, kernel, patience);
        // Python's own signal handlers run here, at the latest, and not after the next poll.
        if patience != Patience::None {
            slf.py().check_signals()?;
        }
        outcome
    }

    /// Polls, and tells whom the events concern, or queues them up.
    ///
    /// # Errors
    /// What the kernel says but for EINTR; SystemExit and KeyboardInterrupt, raised by who was told.
    pub fn wait_for_events(
        slf: &Bound<'_, Self>,
        kernel: &Arc<Kernel>,
        patience: Patience,
    ) -> PyResult<Told> {
        let py = slf.py();
        let this = slf.get();
        this.stats.with(py, |stats| stats.polls += 1);
        this.unpolled_turns.set(py, 0);
        if patience != Patience::None {
            Self::leave_task(slf)?; // signal handlers may run
            this.pulse.rest();
        }
        let mut events = this
            .events
            .take(py)
            .unwrap_or_else(|| Events::with_capacity(256));
        let waited = match patience {
            Patience::None if threads::has_others(py) => {
                py.detach(|| kernel.poller.wait(&mut events, Some(Nanos(0))))
            }
            Patience::None => kernel.poller.wait(&mut events, Some(Nanos(0))),
            Patience::For(_) | Patience::Unlimited => {
                let timeout = match patience {
                    Patience::For(left) => Some(left),
                    _ => None,
                };
                let waited = match kernel.remote.before_sleep() {
                    Sleep::HasWork => kernel.poller.wait(&mut events, Some(Nanos(0))),
                    Sleep::MayBlock => py.detach(|| kernel.poller.wait(&mut events, timeout)),
                };
                kernel.remote.after_sleep();
                waited
            }
        };
        let outcome = match waited {
            Ok(0) => Ok(Told::InTurn),
            Ok(_) => Self::dispatch(slf, kernel, &events),
            Err(error) if error.is_interrupted() => Ok(Told::InTurn),
            Err(error) => Err(os_error(error)),
        };
        this.pulse.beat();
        this.events.set(py, Some(events));
        outcome
    }

    #[inline]
    pub(super) fn fire_timers(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.timers.with(py, |timers| timers.is_empty()) {
            return Ok(());
        }
        let now = Self::now(slf)?;
        while !this.timers.with(py, |timers| timers.much_is_due(now)) {
            let Some(timer) = this.timers.with(py, |timers| timers.pop_due(now)) else {
                return Ok(());
            };
            Self::fire_timer(slf, timer);
        }
        for timer in this.timers.with(py, |timers| timers.take_due(now)) {
            Self::fire_timer(slf, timer);
        }
        Ok(())
    }

    /// Makes ready what a timer that was due stands for.
    #[inline(always)]
    pub fn fire_timer(slf: &Bound<'_, Self>, timer: Timer) {
        let py = slf.py();
        let this = slf.get();
        this.stats.with(py, |stats| stats.timers += 1);
        let work = match timer {
            Timer::Handle(timer) => {
                timer.get().set_key(py, None);
                Work::Handle(timer.into_bound(py).into_super().unbind())
            }
            Timer::Alarm(alarm) => Work::Ring(alarm),
            Timer::Green(watcher) => return green::Watcher::expire(watcher.bind(py)),
        };
        this.ready.with(py, |ready| ready.push(work));
    }
}
