//! What Python sees of a `GreenLoop`, but for running it: making watchers and callbacks, time, what it goes on for.

use std::ffi::CStr;
use std::os::fd::AsRawFd;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::callback::Callback;
use super::child::ChildWatcher;
use super::hub_loop::{Break, GreenLoop};
use super::io::IoWatcher;
use super::signal::SignalWatcher;
use super::stat::StatWatcher;
use super::timer::TimerWatcher;
use super::turn::{AsyncWatcher, CheckWatcher, ForkWatcher, IdleWatcher, PrepareWatcher};
use super::watcher::{HIGHEST, Kind, LOWEST, Manner, Watcher};
use crate::event_loop::schedule::Timer;
use crate::event_loop::watch::Watcher as Entry;
use crate::event_loop::work::Work;
use crate::fastcall::{FastCall, FastMethod};

fn manner(r#ref: bool, priority: Option<i32>) -> Manner {
    Manner {
        referenced: r#ref,
        priority,
    }
}

#[pymethods]
impl GreenLoop {
    /// Whether this is the default loop, the main thread's.
    #[getter]
    fn default(&self, py: Python<'_>) -> bool {
        self.default.get(py) && !self.destroyed.get(py)
    }

    /// Make this the default loop, or not.
    fn _set_default(&self, py: Python<'_>, value: bool) {
        self.default.set(py, value);
    }

    /// Watch a descriptor for `events` (1: reading, 2: writing).
    ///
    /// Raises ValueError for a negative number or unknown events, OSError (EBADF) for a number that is not open.
    #[pyo3(signature = (fd, events, r#ref = true, priority = None))]
    fn io<'py>(
        slf: &Bound<'py, Self>,
        fd: i32,
        events: i64,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, IoWatcher>> {
        slf.get().check(slf.py())?;
        IoWatcher::create(slf, fd, events, manner(r#ref, priority))
    }

    /// A timer that fires `after` seconds after it is started, and then every `repeat` seconds unless that is 0.
    #[pyo3(signature = (after, repeat = 0.0, r#ref = true, priority = None))]
    fn timer<'py>(
        slf: &Bound<'py, Self>,
        after: f64,
        repeat: f64,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, TimerWatcher>> {
        slf.get().check(slf.py())?;
        TimerWatcher::create(slf, after, repeat, manner(r#ref, priority))
    }

    /// Watch a signal. Raises ValueError for what is no signal; starting it does, outside of the main thread.
    #[pyo3(signature = (signum, r#ref = true, priority = None))]
    fn signal<'py>(
        slf: &Bound<'py, Self>,
        signum: i32,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, SignalWatcher>> {
        slf.get().check(slf.py())?;
        SignalWatcher::create(slf, signum, manner(r#ref, priority))
    }

    /// Watch a child process until it ends; 0 stands for any. Raises TypeError if this is not the default loop.
    #[pyo3(signature = (pid, trace = None, r#ref = true))]
    fn child<'py>(
        slf: &Bound<'py, Self>,
        pid: i32,
        trace: Option<&Bound<'py, PyAny>>,
        r#ref: bool,
    ) -> PyResult<Bound<'py, ChildWatcher>> {
        slf.get().check(slf.py())?;
        let trace = trace.map_or(Ok(false), |trace| trace.is_truthy())?;
        ChildWatcher::create(slf, pid, trace, manner(r#ref, None))
    }

    /// Watch the attributes of what `path` names, looking every `interval` seconds; 0 for about five.
    #[pyo3(signature = (path, interval = 0.0, r#ref = true, priority = None))]
    fn stat<'py>(
        slf: &Bound<'py, Self>,
        path: &Bound<'py, PyAny>,
        interval: f64,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, StatWatcher>> {
        slf.get().check(slf.py())?;
        StatWatcher::create(slf, path, interval, manner(r#ref, priority))
    }

    /// Be told whenever nothing of the same or a higher priority is to be done.
    #[pyo3(signature = (r#ref = true, priority = None))]
    fn idle<'py>(
        slf: &Bound<'py, Self>,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, IdleWatcher>> {
        slf.get().check(slf.py())?;
        IdleWatcher::create(slf, manner(r#ref, priority))
    }

    /// Be told before each poll.
    #[pyo3(signature = (r#ref = true, priority = None))]
    fn prepare<'py>(
        slf: &Bound<'py, Self>,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, PrepareWatcher>> {
        slf.get().check(slf.py())?;
        PrepareWatcher::create(slf, manner(r#ref, priority))
    }

    /// Be told after each poll.
    #[pyo3(name = "check", signature = (r#ref = true, priority = None))]
    fn check_<'py>(
        slf: &Bound<'py, Self>,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, CheckWatcher>> {
        slf.get().check(slf.py())?;
        CheckWatcher::create(slf, manner(r#ref, priority))
    }

    /// Be told in a forked child.
    #[pyo3(signature = (r#ref = true, priority = None))]
    fn fork<'py>(
        slf: &Bound<'py, Self>,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, ForkWatcher>> {
        slf.get().check(slf.py())?;
        ForkWatcher::create(slf, manner(r#ref, priority))
    }

    /// Be told when its `send` was called, from whatever thread.
    #[pyo3(signature = (r#ref = true, priority = None))]
    fn async_<'py>(
        slf: &Bound<'py, Self>,
        r#ref: bool,
        priority: Option<i32>,
    ) -> PyResult<Bound<'py, AsyncWatcher>> {
        slf.get().check(slf.py())?;
        AsyncWatcher::create(slf, manner(r#ref, priority))
    }

    /// The same, from any thread; wakes the loop.
    #[pyo3(signature = (func, *args))]
    fn run_callback_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        func: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Callback>> {
        let callback = queue_callback(slf, func, args)?;
        slf.get().wake(slf.py());
        Ok(callback)
    }

    /// Drop the callbacks that wait.
    fn _clear_callbacks(&self, py: Python<'_>) {
        let ready = &self.core.bind(py).get().ready;
        let dropped = ready.with(py, |ready| ready.take_all());
        drop(dropped);
    }

    /// How many callbacks wait.
    #[getter]
    fn _callbackcnt(&self, py: Python<'_>) -> usize {
        self.core.bind(py).get().ready.with(py, |ready| ready.len())
    }

    /// The loop's time, in seconds: what time.monotonic() was when it last looked.
    #[pyo3(name = "now")]
    fn now_py(&self, py: Python<'_>) -> PyResult<f64> {
        self.check(py)?;
        Ok(self.now.get(py).as_secs_f64())
    }

    /// Look at the clock.
    fn update_now(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        self.update(py);
        Ok(())
    }

    /// Have the loop go on for one reason more.
    fn r#ref(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        self.count_active(py, 1);
        Ok(())
    }

    /// Have the loop go on for one reason less.
    fn unref(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        self.count_active(py, -1);
        Ok(())
    }

    /// End `run` after what is being done: the innermost (1), or all (2).
    #[pyo3(signature = (how = 1))]
    fn break_(&self, py: Python<'_>, how: i32) -> PyResult<()> {
        self.check(py)?;
        let how = match how {
            1 => Break::Innermost,
            2 => Break::All,
            _ => Break::None,
        };
        self.broken.set(py, how);
        Ok(())
    }

    /// For how many reasons the loop goes on: active watchers with `ref`, and callbacks.
    #[getter]
    fn activecnt(&self, py: Python<'_>) -> PyResult<i64> {
        self.check(py)?;
        Ok(self.count_alive(py))
    }

    /// How many watchers have fired and were not told yet.
    #[getter]
    fn pendingcnt(&self, py: Python<'_>) -> PyResult<usize> {
        self.check(py)?;
        Ok(self.pending.with(py, |pending| {
            pending
                .iter()
                .flatten()
                .filter(|watcher| watcher.get().is_pending(py))
                .count()
        }))
    }

    /// How many iterations have begun.
    #[getter]
    fn iteration(&self, py: Python<'_>) -> u64 {
        self.iteration.get(py)
    }

    /// How many `run` are under way, one in the other.
    #[getter]
    fn depth(&self, py: Python<'_>) -> u32 {
        self.depth.get(py)
    }

    /// The lowest priority.
    #[getter(MINPRI)]
    fn lowest(&self) -> i32 {
        LOWEST
    }

    /// The highest priority.
    #[getter(MAXPRI)]
    fn highest(&self) -> i32 {
        HIGHEST
    }

    /// Whether a timer that is started looks at the clock first.
    #[getter]
    fn starting_timer_may_update_loop_time(&self, py: Python<'_>) -> bool {
        self.timers_update.get(py)
    }

    /// The number of the poller's descriptor; None once destroyed.
    fn fileno(&self, py: Python<'_>) -> Option<i32> {
        let kernel = self.core.bind(py).get().kernel(py)?;
        Some(kernel.poller.fd().as_raw_fd())
    }

    /// Say that a descriptor is about to be closed: its active watchers fire. Whether any did that had not before.
    fn closing_fd(&self, py: Python<'_>, fd: i32) -> PyResult<bool> {
        self.check(py)?;
        let core = self.core.bind(py).get();
        let watchers: Vec<Py<Watcher>> = core.registry.with(py, |registry| {
            let keys = registry.watchers(fd);
            keys.filter_map(|key| match registry.get(key) {
                Some(Entry::Green(watcher)) => Some(watcher.clone_ref(py)),
                _ => None,
            })
            .collect()
        });
        let mut fired = false;
        for watcher in &watchers {
            let watcher = watcher.bind(py);
            if let Kind::Io(io) = watcher.get().kind()
                && watcher.get().is_active(py)
            {
                fired |= !watcher.get().is_pending(py);
                Watcher::pend(watcher, io.events(py));
            }
        }
        if !watchers.is_empty() {
            core.change_watchers(py, |registry, poller| registry.release(poller, fd))
                .map_err(crate::error::os_error)?;
        }
        Ok(fired)
    }

    /// Say that the process has forked: fork watchers fire in the next iteration.
    fn reinit(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        self.forked.set(py, true);
        Ok(())
    }

    /// The active watchers that the loop holds, in no order: not those of async.
    fn _active_watchers(&self, py: Python<'_>) -> Vec<Py<Watcher>> {
        let mut all: Vec<Py<Watcher>> = Vec::new();
        let core = self.core.bind(py).get();
        core.registry.with(py, |registry| {
            all.extend(registry.iter().filter_map(|(_, entry)| match entry {
                Entry::Green(watcher) => Some(watcher.clone_ref(py)),
                _ => None,
            }));
        });
        core.timers.with(py, |timers| {
            all.extend(timers.iter().filter_map(|timer| match timer {
                Timer::Green(watcher) => Some(watcher.clone_ref(py)),
                _ => None,
            }));
        });
        self.turns.with(py, |turns| {
            all.extend(turns.iter().flatten().map(|one| one.clone_ref(py)));
        });
        self.always_ready.with(py, |always| {
            all.extend(always.iter().map(|one| one.clone_ref(py)));
        });
        self.signals.with(py, |signals| {
            let watchers = signals.values().flat_map(super::signal::Watched::watchers);
            all.extend(watchers.map(|one| one.clone_ref(py)));
        });
        self.children.with(py, |children| {
            let watchers = children.values().flat_map(super::child::Watched::watchers);
            all.extend(watchers.map(|one| one.clone_ref(py)));
        });
        all.retain(|watcher| watcher.get().is_active(py));
        all
    }

    /// Whether it is destroyed.
    #[getter]
    fn _destroyed(&self, py: Python<'_>) -> bool {
        self.destroyed.get(py)
    }

    /// Give everything back, and drop what waits. False if that was done before.
    fn _destroy(&self, py: Python<'_>) -> PyResult<bool> {
        if self.destroyed.replace(py, true) {
            return Ok(false);
        }
        self.broken.set(py, Break::All);
        self.empty(py);
        self.core.bind(py).call_method0(intern!(py, "_close"))?;
        Ok(true)
    }
}

/// Has `func(*args)` called in the hub, soon.
#[inline]
fn queue_callback<'py>(
    slf: &Bound<'py, GreenLoop>,
    func: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, Callback>> {
    let py = slf.py();
    let this = slf.get();
    this.check(py)?;
    let callback = Bound::new(py, Callback::new(slf.clone().unbind(), func, args))?;
    let work = Work::Green(callback.clone().unbind());
    this.core(py).get().ready.with(py, |ready| ready.push(work));
    Ok(callback)
}

/// `run_callback(func, *args)`.
pub struct RunCallback;

impl FastMethod for RunCallback {
    type Class = GreenLoop;
    const NAME: &'static str = "run_callback";
    const C_NAME: &'static CStr = c"run_callback";
    const DOC: &'static CStr = c"run_callback($self, func, *args)\n--\n\n\
        Call func(*args) in the hub, soon: in the batch that is run, or the next one.\n\n\
        Returns what can stop it. Raises ValueError when the loop is destroyed.";

    fn call<'py>(
        slf: &Bound<'py, GreenLoop>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (func, args) = call.function_and_arguments("func")?;
        queue_callback(slf, func.to_owned(), args).map(Bound::into_any)
    }
}
