//! What freezes a loop is found while it is frozen.
//!
//! Each loop counts what it runs, in a number that any thread may read (`Pulse`). A thread of its own looks at the
//! numbers a few times within the limit; while all is well it takes no GIL and has no thread state, so that Python does
//! not know of it. A loop that is not waiting for the kernel and whose number stands still for longer is frozen: the
//! thread takes the GIL, as soon as whatever blocks lets go of it, and calls `report`, once for each freeze.
//!
//! While somebody watches, tasks note who made them: code and instruction of some frames, which is all that asyncio's
//! debug mode needs a whole traceback for.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use riata_engine::fork;

use crate::cell::GilCell;
use crate::error::os_error;
use crate::event_loop::EventLoop;
use crate::future::Future;

/// How many frames a task notes of who made it.
const CREATOR_DEPTH: usize = 8;

/// The longest and the shortest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// What a loop has run so far. Odd while it runs nothing.
#[derive(Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// Something begins to run. Called by the loop's own thread alone: hence no read-modify-write.
    #[inline(always)]
    pub fn beat(&self) {
        let count = self.0.load(Ordering::Relaxed);
        self.0.store((count | 1).wrapping_add(1), Ordering::Relaxed);
    }

    /// Nothing runs until the next beat.
    #[inline(always)]
    pub fn rest(&self) {
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count | 1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A loop that runs, and the thread that runs it, as `threading.get_ident` tells it.
struct Running {
    pulse: Arc<Pulse>,
    event_loop: Py<EventLoop>,
    thread: u64,
    /// The frame that runs it, below which nobody asks who made a task; noted at the first turn that is watched.
    frame: Option<Py<PyAny>>,
}

/// A loop as the watching thread knows it.
struct Watched {
    pulse: Arc<Pulse>,
    count: u64,
    /// When that count was seen first.
    since: Instant,
    reported: bool,
}

impl Watched {
    fn new(pulse: &Arc<Pulse>) -> Self {
        Self {
            pulse: pulse.clone(),
            count: pulse.count(),
            since: Instant::now(),
            reported: false,
        }
    }

    /// Whether it is frozen since `limit`, and that is news.
    fn is_news(&mut self, now: Instant, limit: Duration) -> bool {
        let count = self.pulse.count();
        if count != self.count {
            (self.count, self.since, self.reported) = (count, now, false);
        }
        let frozen = count.is_multiple_of(2) && now.duration_since(self.since) >= limit;
        frozen && !std::mem::replace(&mut self.reported, true)
    }
}

#[derive(Default)]
struct State {
    watched: Vec<Watched>,
    stopped: bool,
}

/// What the loops' threads and the watching thread share. It is locked for moments in which nobody calls Python.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stop: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watchdog {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// Which side of a fork it is on: threads stay behind.
    generation: u64,
}

/// The loops that run now, in whichever thread.
static RUNNING: GilCell<Vec<Running>> = GilCell::new(Vec::new());
static WATCHDOG: GilCell<Option<Watchdog>> = GilCell::new(None);
/// Whether tasks note who made them.
static WATCHING: AtomicBool = AtomicBool::new(false);

/// Whether tasks are to note who made them.
#[inline(always)]
pub fn is_watching() -> bool {
    WATCHING.load(Ordering::Relaxed)
}

fn shared(py: Python<'_>) -> Option<Arc<Shared>> {
    WATCHDOG.with(py, |watchdog| {
        let watchdog = watchdog.as_ref()?;
        // In a forked child nobody watches, and the lock may be held by nobody.
        (watchdog.generation == fork::generation()).then(|| watchdog.shared.clone())
    })
}

/// `event_loop` begins to run in this thread.
pub fn enter(event_loop: &Bound<'_, EventLoop>, pulse: &Arc<Pulse>, thread: u64) {
    let py = event_loop.py();
    pulse.beat();
    let running = Running {
        pulse: pulse.clone(),
        event_loop: event_loop.clone().unbind(),
        thread,
        frame: None,
    };
    RUNNING.with(py, |loops| loops.push(running));
    if let Some(shared) = shared(py) {
        shared.lock().watched.push(Watched::new(pulse));
    }
}

/// A turn begins, of a loop that has this pulse and runs in the current Python frame.
#[inline(always)]
pub fn note_turn(py: Python<'_>, pulse: &Arc<Pulse>) {
    if is_watching() {
        note_frame(py, pulse);
    }
}

#[cold]
fn note_frame(py: Python<'_>, pulse: &Arc<Pulse>) {
    let unknown = |one: &Running| one.frame.is_none() && Arc::ptr_eq(&one.pulse, pulse);
    if !RUNNING.with(py, |loops| loops.iter().any(unknown)) {
        return;
    }
    let frame = current_frame(py).map(Bound::unbind);
    RUNNING.with(py, |loops| {
        if let Some(running) = loops.iter_mut().find(|one| unknown(one)) {
            running.frame = frame; // where there was none
        }
    });
}

/// The loop with this pulse has ended its run.
pub fn leave(py: Python<'_>, pulse: &Arc<Pulse>) {
    pulse.rest();
    let gone = RUNNING.with(py, |loops| {
        let place = loops
            .iter()
            .rposition(|one| Arc::ptr_eq(&one.pulse, pulse))?;
        Some(loops.remove(place))
    });
    drop(gone);
    if let Some(shared) = shared(py) {
        let mut state = shared.lock();
        state.watched.retain(|one| !Arc::ptr_eq(&one.pulse, pulse));
    }
}

/// Have `report(loop, thread, seconds, over)` called, on a thread of its own, when one callback or step of a task holds
/// a loop for longer than `limit` seconds; `over` is True if it has ended meanwhile.
///
/// # Errors
/// ValueError when the limit is no positive number; RuntimeError when somebody watches already; OSError when there can be
/// no more threads.
#[pyfunction]
#[pyo3(name = "_watch", signature = (limit, report, /))]
pub fn watch(py: Python<'_>, limit: f64, report: Py<PyAny>) -> PyResult<()> {
    let limit = Duration::try_from_secs_f64(limit)
        .ok()
        .filter(|limit| !limit.is_zero())
        .ok_or_else(|| PyValueError::new_err("the limit must be a positive number of seconds"))?;
    fork::install().map_err(os_error)?;
    if shared(py).is_some() {
        return Err(PyRuntimeError::new_err("a watchdog is running already"));
    }
    let shared = Arc::new(Shared::default());
    let pulses = RUNNING.with(py, |loops| {
        let pulses = loops.iter().map(|one| Watched::new(&one.pulse));
        pulses.collect::<Vec<_>>()
    });
    shared.lock().watched = pulses;
    let theirs = shared.clone();
    let thread = std::thread::Builder::new()
        .name("riata-watchdog".to_owned())
        .spawn(move || keep_watch(&theirs, limit, &report))
        .map_err(|error| PyOSError::new_err(error.to_string()))?;
    let watchdog = Watchdog {
        shared,
        thread,
        generation: fork::generation(),
    };
    let before = WATCHDOG.replace(py, Some(watchdog));
    std::mem::forget(before); // a parent's, if any: its thread is not here to be waited for
    WATCHING.store(true, Ordering::Relaxed);
    Ok(())
}

/// Watch no more, and wait until the watching thread has ended. Does nothing when nobody watches.
#[pyfunction]
#[pyo3(name = "_unwatch")]
pub fn unwatch(py: Python<'_>) {
    WATCHING.store(false, Ordering::Relaxed);
    let Some(watchdog) = WATCHDOG.take(py) else {
        return;
    };
    if watchdog.generation != fork::generation() {
        std::mem::forget(watchdog);
        return;
    }
    watchdog.shared.lock().stopped = true;
    watchdog.shared.stop.notify_all();
    let own: ThreadId = std::thread::current().id();
    if watchdog.thread.thread().id() != own {
        // A report may be under way, which needs the GIL. A panic there was printed by its hook.
        let _ = py.detach(|| watchdog.thread.join());
    }
}

fn keep_watch(shared: &Shared, limit: Duration, report: &Py<PyAny>) {
    let pause = (limit / 4).clamp(PAUSES.0, PAUSES.1);
    let mut state = shared.lock();
    while !state.stopped {
        state = match shared.stop.wait_timeout(state, pause) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        };
        let now = Instant::now();
        let news: Vec<_> = state
            .watched
            .iter_mut()
            .filter_map(|one| {
                one.is_news(now, limit)
                    .then(|| (one.pulse.clone(), one.count, one.since))
            })
            .collect();
        if news.is_empty() || state.stopped {
            continue;
        }
        drop(state);
        // None when the interpreter is ending.
        let _ = Python::try_attach(|py| {
            for (pulse, count, since) in &news {
                tell(py, report, pulse, *count, *since);
            }
        });
        state = shared.lock();
    }
}

fn tell(py: Python<'_>, report: &Py<PyAny>, pulse: &Arc<Pulse>, count: u64, since: Instant) {
    let found = RUNNING.with(py, |loops| {
        let running = loops.iter().find(|one| Arc::ptr_eq(&one.pulse, pulse))?;
        Some((running.event_loop.clone_ref(py), running.thread))
    });
    let Some((event_loop, thread)) = found else {
        return; // it has ended since
    };
    let over = pulse.count() != count;
    let seconds = since.elapsed().as_secs_f64();
    if let Err(error) = report.call1(py, (event_loop, thread, seconds, over)) {
        error.write_unraisable(py, None);
    }
}

/// Where a task was made: code and byte offset of the instruction, the innermost frame first.
pub type Creator = Box<[(Py<PyAny>, i32)]>;

/// The Python frame that runs in this thread.
fn current_frame(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: B4: the GIL is held; a new reference or NULL.
    unsafe {
        let frame = ffi::PyThreadState_GetFrame(ffi::PyThreadState_Get());
        Bound::from_owned_ptr_or_opt(py, frame.cast())
    }
}

/// The frames that are making a task now, up to the one that runs the loop.
pub fn creator(py: Python<'_>) -> Creator {
    let runs_a_loop = |frame: &Bound<'_, PyAny>| {
        let is = |one: &Running| one.frame.as_ref().is_some_and(|known| known.is(frame));
        RUNNING.with(py, |loops| loops.iter().any(is))
    };
    let mut found = Vec::with_capacity(2);
    let mut next = current_frame(py);
    while let Some(frame) = next {
        if found.len() == CREATOR_DEPTH || runs_a_loop(&frame) {
            break;
        }
        let raw = frame.as_ptr().cast::<ffi::PyFrameObject>();
        // SAFETY: B4: the GIL is held and the frame is alive; code is a new reference, what called it one or NULL.
        unsafe {
            let code = Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(raw).cast());
            found.push((code.unbind(), ffi::PyFrame_GetLasti(raw)));
            next = Bound::from_owned_ptr_or_opt(py, ffi::PyFrame_GetBack(raw).cast());
        }
    }
    found.into()
}

/// The same for Python: code and line.
pub fn show<'py>(py: Python<'py>, creator: &[(Py<PyAny>, i32)]) -> Vec<(Bound<'py, PyAny>, i32)> {
    let line = |(code, offset): &(Py<PyAny>, i32)| {
        // SAFETY: B4: a code object, which is what a frame has; the offset is one of its own.
        let line = unsafe { ffi::PyCode_Addr2Line(code.as_ptr().cast(), *offset) };
        (code.bind(py).clone(), line)
    };
    creator.iter().map(line).collect()
}

/// Where `task` was made: code and line, the innermost frame first; empty where nobody noted it.
#[pyfunction]
#[pyo3(name = "_created_by", signature = (task, /))]
pub fn created_by<'py>(task: &Bound<'py, PyAny>) -> Vec<(Bound<'py, PyAny>, i32)> {
    match task.cast::<Future>() {
        Ok(task) => task.get().created_by(task.py()),
        Err(_) => Vec::new(),
    }
}
