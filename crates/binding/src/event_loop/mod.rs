//! The event loop as Python sees it: the state, and the rules that every method keeps. One file a subject:
//!
//! - `work`: what can be ready, and how it reaches a loop
//! - `run`: one turn, `run_forever`, `stop`; `batch`: its last step, running what is ready
//! - `dispatch`: who is told of what a poll found
//! - `schedule`: `call_soon`, `call_later`, `call_at`, time
//! - `tasks`: `create_task`, `create_future`
//! - `overrides`: which methods a subclass or an instance has of its own
//! - `guest`: a loop whose polls a gevent hub makes
//! - `forked`: a child that goes on with its parent's loop
//! - `watch`: `add_reader`, `add_writer` and their removers
//! - `connect`: connections to addresses that need no look-up
//! - `serve`: making transports, accepting connections; `pipes`: those of pipes; `datagrams`: those of datagram sockets
//! - `sock`: `sock_recv` and its like
//!
//! `riata.Loop` is a Python class derived from this one and from asyncio's own loop, whose code serves what is not
//! native (see ARCHITECTURE.md).

pub mod batch;
pub mod connect;
pub mod datagrams;
pub mod dispatch;
pub mod forked;
pub mod guest;
pub mod overrides;
pub mod pipes;
pub mod run;
pub mod schedule;
pub mod serve;
pub mod sock;
pub mod tasks;
pub mod watch;
pub mod work;

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::clock::{Nanos, monotonic};
use riata_engine::driver::{Events, Interest, Poller, Readiness, Registry, WatchKey};
use riata_engine::error::Error;
use riata_engine::fork;
use riata_engine::net::Datagrams;
use riata_engine::ready::Ready;
use riata_engine::remote::Remote;
use riata_engine::timers::{TimerKey, Timers};

use crate::cell::GilCell;
use crate::error::os_error;
use crate::heap;
use crate::transport::{Scratch, StreamTransport, TlsProtocol, Window};
use crate::watchdog::Pulse;
use overrides::Overrides;
use schedule::Timer;
use watch::Watcher;
use work::Work;

/// What a loop owns of the kernel, until it is closed. Shared, so that it outlives a poll whatever happens meanwhile.
pub struct Kernel {
    /// The readiness driver.
    pub poller: Poller,
    /// What other threads send.
    pub remote: Remote<Work>,
}

impl Kernel {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            poller: Poller::new()?,
            remote: Remote::new()?,
        })
    }

    /// The descriptor of the notifier, which the loop watches.
    fn notifier(&self) -> RawFd {
        self.remote.fd().as_raw_fd()
    }
}

/// What happened on a loop since it was made.
#[derive(Clone, Copy, Default)]
pub struct Stats {
    turns: u64,
    callbacks: u64,
    task_steps: u64,
    polls: u64,
    timers: u64,
}

/// The native half of `riata.Loop`.
#[pyclass(frozen, subclass, name = "EventLoop", module = "riata._native")]
pub struct EventLoop {
    kernel: GilCell<Option<Arc<Kernel>>>,
    pub(crate) ready: GilCell<Ready<Work>>,
    /// An empty queue, for what other threads send.
    sent: GilCell<VecDeque<Work>>,
    pub(crate) timers: GilCell<Timers<Timer>>,
    pub(crate) registry: GilCell<Registry<Watcher>>,
    /// Watchers that wait for nobody and may soon wait again, and since which poll.
    idle: GilCell<VecDeque<(WatchKey, u64)>>,
    /// Transports that have written in this turn.
    pub(crate) writers: GilCell<VecDeque<Py<StreamTransport>>>,
    /// How many bytes they have written.
    pub(crate) unsent: GilCell<usize>,
    /// TLS connections that have something to encrypt.
    pub(crate) encrypters: GilCell<VecDeque<Py<TlsProtocol>>>,
    /// Memory that Python's `ssl` reads from and writes to; taken out while it is in use.
    pub(crate) windows: GilCell<Vec<Py<Window>>>,
    /// Where reads are received.
    pub(crate) scratch: GilCell<Scratch>,
    /// Where many datagrams are received.
    pub(crate) datagrams: GilCell<Datagrams>,
    /// Room for what a poll reports; taken out while it is in use.
    events: GilCell<Option<Events>>,
    /// Whom the last poll's events concern and who has not been told yet.
    concerned: GilCell<VecDeque<(WatchKey, Readiness)>>,
    overrides: GilCell<Overrides>,
    stats: GilCell<Stats>,
    /// What the watchdog looks at.
    pulse: Arc<Pulse>,
    thread: GilCell<Option<std::ffi::c_ulong>>,
    task_factory: GilCell<Option<Py<PyAny>>>,
    current_handle: GilCell<Option<Py<PyAny>>>,
    /// How many watchers are the loop's own, beside the notifier: the self-pipe of signals.
    internal_fds: GilCell<usize>,
    /// Turns since the last poll.
    unpolled_turns: GilCell<u32>,
    /// Which process it belongs to.
    generation: GilCell<u64>,
    /// In a forked child: the self-pipe is the parent's still.
    shares_self_pipe: GilCell<bool>,
    /// The address of the task that is entered as the current one, whose registration keeps it alive. It is left there
    /// between two steps: most steps follow another, often of the same task.
    entered: GilCell<Option<usize>>,
    /// A task's step is running.
    stepping: GilCell<bool>,
    /// Changes when the stack that runs the loop is left in the middle of a turn, for another greenlet.
    token: GilCell<u64>,
    /// As a guest: the poller has something to tell.
    readable: GilCell<bool>,
    /// A guest's: a step has waited in gevent since the last turn.
    interrupted: GilCell<bool>,
    stopping: GilCell<bool>,
    closed: GilCell<bool>,
    debug: GilCell<bool>,
}

/// The calling thread's identity, as `threading.get_ident()` gives it.
#[allow(unsafe_code)]
pub fn thread_ident() -> std::ffi::c_ulong {
    // SAFETY: B4: no arguments, no state.
    unsafe { pyo3::ffi::PyThread_get_thread_ident() as std::ffi::c_ulong }
}

impl EventLoop {
    /// Whether debug mode is on.
    #[inline(always)]
    pub fn debug(&self, py: Python<'_>) -> bool {
        self.debug.get(py)
    }

    /// # Errors
    /// RuntimeError when the loop is closed.
    #[inline]
    pub fn check_closed(&self, py: Python<'_>) -> PyResult<()> {
        match self.closed.get(py) {
            true => Err(PyRuntimeError::new_err("Event loop is closed")),
            false => Ok(()),
        }
    }

    /// # Errors
    /// RuntimeError when the loop runs in another thread than the caller's.
    pub fn check_thread(&self, py: Python<'_>) -> PyResult<()> {
        match self.thread.get(py) {
            Some(thread) if thread != thread_ident() => Err(PyRuntimeError::new_err(
                "Non-thread-safe operation invoked on an event loop other than the current one",
            )),
            _ => Ok(()),
        }
    }

    /// Whether what is ready cannot be garbage, because the loop runs; in debug mode the collector sees everything.
    #[inline(always)]
    pub fn keeps_alive(&self, py: Python<'_>) -> bool {
        self.thread.get(py).is_some() && !self.debug.get(py)
    }

    /// Whether the loop runs, and in the calling thread.
    #[inline]
    pub fn runs_here(&self, py: Python<'_>) -> bool {
        self.thread.get(py) == Some(thread_ident())
    }

    /// Makes `work` ready, by the rules of `call_soon`.
    ///
    /// # Errors
    /// RuntimeError when closed, and in debug mode from another thread.
    #[inline]
    pub fn push_checked(&self, py: Python<'_>, work: Work) -> PyResult<()> {
        self.check_closed(py)?;
        if self.debug.get(py) {
            self.check_thread(py)?;
        }
        self.ready.with(py, |ready| ready.push(work));
        Ok(())
    }

    /// Makes `work` ready from any thread.
    ///
    /// On the loop's own thread, and while it does not run, there is nobody to wake, and the order among
    /// `call_soon` and `call_soon_threadsafe` is kept, as asyncio keeps it.
    pub fn push_threadsafe(&self, py: Python<'_>, work: Work) -> PyResult<()> {
        self.check_closed(py)?;
        match self.thread.get(py) {
            Some(thread) if thread != thread_ident() => {
                let unsent = self.kernel.with(py, |kernel| match kernel {
                    Some(kernel) => {
                        kernel.remote.push(work);
                        None
                    }
                    None => Some(work),
                });
                drop(unsent);
            }
            _ => self.ready.with(py, |ready| ready.push(work)),
        }
        Ok(())
    }

    /// The poller and the remote queue; None once closed.
    pub fn kernel(&self, py: Python<'_>) -> Option<Arc<Kernel>> {
        self.kernel.with(py, |kernel| kernel.clone())
    }

    /// Takes a timer out; the caller drops it once nothing is in flux.
    #[must_use]
    pub fn forget_timer(&self, py: Python<'_>, key: TimerKey) -> Option<Timer> {
        self.timers.with(py, |timers| timers.remove(key))
    }

    /// The loop's clock: monotonic, unless `time` is overridden.
    #[inline]
    pub fn now(slf: &Bound<'_, Self>) -> PyResult<Nanos> {
        let py = slf.py();
        if slf.get().has_own_clock(py) {
            return Ok(monotonic());
        }
        let seconds: f64 = slf.call_method0(intern!(py, "time"))?.extract()?;
        Ok(Nanos::not_before_secs_f64(seconds))
    }

    /// Empties the loop: what it held is dropped once it is whole again.
    fn empty(&self, py: Python<'_>) {
        let ready = self.ready.with(py, Ready::take_all);
        let timers = self.timers.with(py, Timers::take_all);
        let own = self.is_own(py);
        let kernel = self.kernel.take(py);
        let watchers = self.registry.with(py, |registry| match &kernel {
            // The poller is about to be closed, and in a forked child its registrations are the parent's.
            Some(kernel) if own && Arc::strong_count(kernel) > 1 => {
                registry.remove_all(&kernel.poller)
            }
            _ => registry.take_all(),
        });
        for timer in &timers {
            if let Timer::Handle(handle) = timer {
                handle.get().set_key(py, None);
            }
        }
        let writers = (self.writers.take(py), self.encrypters.take(py));
        self.idle.set(py, VecDeque::new());
        drop((ready, timers, watchers, writers, kernel));
        self.windows.set(py, Vec::new());
        self.task_factory.set(py, None);
        self.current_handle.set(py, None);
    }
}

#[pymethods]
impl EventLoop {
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        fork::install().map_err(os_error)?;
        heap::keep_what_is_freed();
        let kernel = Kernel::new().map_err(os_error)?;
        let mut registry = Registry::new();
        registry
            .add(
                &kernel.poller,
                kernel.notifier(),
                Interest::READABLE,
                Watcher::Remote,
            )
            .map_err(|rejected| os_error(rejected.error))?;
        Ok(Self {
            kernel: GilCell::new(Some(Arc::new(kernel))),
            ready: GilCell::new(Ready::new()),
            sent: GilCell::default(),
            timers: GilCell::new(Timers::new()),
            registry: GilCell::new(registry),
            idle: GilCell::default(),
            writers: GilCell::default(),
            unsent: GilCell::default(),
            encrypters: GilCell::default(),
            windows: GilCell::default(),
            scratch: GilCell::default(),
            datagrams: GilCell::default(),
            events: GilCell::new(Some(Events::with_capacity(256))),
            concerned: GilCell::default(),
            overrides: GilCell::default(),
            stats: GilCell::default(),
            pulse: Arc::default(),
            thread: GilCell::new(None),
            task_factory: GilCell::new(None),
            current_handle: GilCell::new(None),
            internal_fds: GilCell::new(0),
            unpolled_turns: GilCell::new(0),
            generation: GilCell::new(fork::generation()),
            shares_self_pipe: GilCell::new(false),
            entered: GilCell::new(None),
            stepping: GilCell::new(false),
            token: GilCell::new(0),
            readable: GilCell::new(false),
            interrupted: GilCell::new(false),
            stopping: GilCell::new(false),
            closed: GilCell::new(false),
            debug: GilCell::new(false),
        })
    }

    /// Return True if the event loop was closed.
    pub fn is_closed(&self, py: Python<'_>) -> bool {
        self.closed.get(py)
    }

    /// Return True if the event loop is running.
    fn is_running(&self, py: Python<'_>) -> bool {
        self.thread.get(py).is_some()
    }

    /// Return the debug mode of the event loop.
    fn get_debug(&self, py: Python<'_>) -> bool {
        self.debug.get(py)
    }

    /// Counters since the loop was made: turns, callbacks, task_steps, polls, timers (fired).
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.stats.get(py);
        let counters = PyDict::new(py);
        counters.set_item("turns", stats.turns)?;
        counters.set_item("callbacks", stats.callbacks)?;
        counters.set_item("task_steps", stats.task_steps)?;
        counters.set_item("polls", stats.polls)?;
        counters.set_item("timers", stats.timers)?;
        Ok(counters)
    }

    #[pyo3(name = "_check_closed")]
    fn check_closed_py(&self, py: Python<'_>) -> PyResult<()> {
        self.check_closed(py)
    }

    #[pyo3(name = "_check_thread")]
    fn check_thread_py(&self, py: Python<'_>) -> PyResult<()> {
        self.check_thread(py)
    }

    /// Drop everything that waits and give the descriptors back. The loop must not be running.
    fn _close(&self, py: Python<'_>) {
        self.closed.set(py, true);
        self.empty(py);
    }

    #[getter(_debug)]
    fn debug_py(&self, py: Python<'_>) -> bool {
        self.debug.get(py)
    }

    #[setter(_debug)]
    fn set_debug_py(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let debug = value.is_truthy()?;
        if debug {
            Self::track_origins();
        }
        self.debug.set(py, debug);
        Ok(())
    }

    #[getter(_closed)]
    fn closed_py(&self, py: Python<'_>) -> bool {
        self.closed.get(py)
    }

    #[setter(_closed)]
    fn set_closed_py(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.closed.set(py, value.is_truthy()?);
        Ok(())
    }

    #[getter(_stopping)]
    fn stopping_py(&self, py: Python<'_>) -> bool {
        self.stopping.get(py)
    }

    #[setter(_stopping)]
    fn set_stopping_py(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.stopping.set(py, value.is_truthy()?);
        Ok(())
    }

    #[getter(_thread_id)]
    fn thread_id_py(&self, py: Python<'_>) -> Option<std::ffi::c_ulong> {
        self.thread.get(py)
    }

    #[setter(_thread_id)]
    fn set_thread_id_py(&self, py: Python<'_>, value: Option<std::ffi::c_ulong>) {
        self.thread.set(py, value);
    }

    #[getter(_internal_fds)]
    fn internal_fds_py(&self, py: Python<'_>) -> usize {
        self.internal_fds.get(py)
    }

    #[setter(_internal_fds)]
    fn set_internal_fds_py(&self, py: Python<'_>, value: usize) {
        self.internal_fds.set(py, value);
    }

    #[getter(_current_handle)]
    fn current_handle_py(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.current_handle.cloned(py)
    }

    #[setter(_current_handle)]
    fn set_current_handle_py(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.current_handle.set(py, value);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            for work in self.ready.traverse().iter() {
                work.traverse(&visit)?;
            }
            for timer in self.timers.traverse().iter() {
                timer.traverse(&visit)?;
            }
            for (_, watcher) in self.registry.traverse().iter() {
                watcher.traverse(&visit)?;
            }
            for writer in self.writers.traverse() {
                visit.call(writer)?;
            }
            for encrypter in self.encrypters.traverse() {
                visit.call(encrypter)?;
            }
            visit.call(self.task_factory.traverse())?;
            visit.call(self.current_handle.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| self.empty(py));
    }
}
