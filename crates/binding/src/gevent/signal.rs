//! Signals, through Python's own handlers: they run in the main thread, and what they were before is put back.

use std::collections::HashMap;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::GreenLoop;
use super::events::SIGNAL;
use super::watcher::{Kind, Manner, Watcher};

/// Who watches a signal, and who handled it before.
pub struct Watched {
    watchers: Vec<Py<Watcher>>,
    bell: Py<SignalBell>,
    before: Py<PyAny>,
}

/// By the signals' numbers.
pub type Signals = HashMap<i32, Watched>;

impl Watched {
    /// Who watches.
    pub fn watchers(&self) -> impl Iterator<Item = &Py<Watcher>> {
        self.watchers.iter()
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for watcher in &self.watchers {
            visit.call(watcher)?;
        }
        visit.call(&self.bell)?;
        visit.call(&self.before)
    }
}

/// The handler that Python calls.
#[pyclass(frozen, name = "SignalBell", module = "riata._native")]
pub struct SignalBell {
    event_loop: Py<GreenLoop>,
    number: i32,
}

#[pymethods]
impl SignalBell {
    #[pyo3(signature = (*_args))]
    fn __call__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) {
        let event_loop = self.event_loop.bind(py);
        for watcher in watchers(event_loop, self.number) {
            let watcher = watcher.bind(py);
            match watcher.get().kind() {
                Kind::Child(_) => super::child::look_for_any(event_loop),
                _ => Watcher::pend(watcher, SIGNAL),
            }
        }
        event_loop.get().wake(py); // it may run in another thread
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)
    }
}

/// Who watches a signal.
pub fn watchers(event_loop: &Bound<'_, GreenLoop>, number: i32) -> Vec<Py<Watcher>> {
    let py = event_loop.py();
    event_loop.get().signals.with(py, |signals| {
        let watched = signals.get(&number).map(|watched| &watched.watchers);
        watched
            .into_iter()
            .flatten()
            .map(|one| one.clone_ref(py))
            .collect()
    })
}

/// `watcher` hears of the signal from now on.
///
/// # Errors
/// ValueError outside of the main thread, OSError for a signal that cannot be caught.
pub fn start(watcher: &Bound<'_, Watcher>, number: i32) -> PyResult<()> {
    let py = watcher.py();
    let event_loop = watcher.get().event_loop(py);
    let signals = &event_loop.get().signals;
    let known = signals.with(py, |signals| match signals.get_mut(&number) {
        Some(watched) => {
            watched.watchers.push(watcher.clone().unbind());
            true
        }
        None => false,
    });
    if known {
        return Ok(());
    }
    let bell = Bound::new(
        py,
        SignalBell {
            event_loop: event_loop.clone().unbind(),
            number,
        },
    )?;
    let before = module(py)?.call_method1(intern!(py, "signal"), (number, &bell))?;
    let watched = Watched {
        watchers: vec![watcher.clone().unbind()],
        bell: bell.unbind(),
        before: before.unbind(),
    };
    let other = signals.with(py, |signals| signals.insert(number, watched));
    drop(other);
    Ok(())
}

/// `watcher` hears of the signal no more; after the last one it is handled as before.
pub fn stop(watcher: &Bound<'_, Watcher>, number: i32) {
    let py = watcher.py();
    let event_loop = watcher.get().event_loop(py);
    let (gone, last) = event_loop.get().signals.with(py, |signals| {
        let Some(watched) = signals.get_mut(&number) else {
            return (None, None);
        };
        let place = watched.watchers.iter().position(|other| other.is(watcher));
        let gone = place.map(|place| watched.watchers.swap_remove(place));
        let last = watched.watchers.is_empty().then(|| signals.remove(&number));
        (gone, last.flatten())
    });
    drop(gone);
    if let Some(last) = last
        && let Err(error) = restore(py, number, &last)
    {
        GreenLoop::handle(event_loop, Some(watcher.as_any()), error);
    }
}

/// Has the signal handled as before, unless the program has set a handler since.
///
/// # Errors
/// ValueError outside of the main thread.
pub fn restore(py: Python<'_>, number: i32, watched: &Watched) -> PyResult<()> {
    let module = module(py)?;
    let current = module.call_method1(intern!(py, "getsignal"), (number,))?;
    if !current.is(&watched.bell) {
        return Ok(());
    }
    let before = watched.before.bind(py);
    let before = match before.is_none() {
        // Not set from Python: what it was cannot be told.
        true => module.getattr(intern!(py, "SIG_DFL"))?,
        false => before.clone(),
    };
    module
        .call_method1(intern!(py, "signal"), (number, before))
        .map(drop)
}

/// The module in C, which nobody patches.
fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "_signal"))
}

/// A signal's watcher: what `loop.signal` returns.
#[pyclass(frozen, extends = Watcher, name = "signal", module = "riata.gevent.core")]
pub struct SignalWatcher;

impl SignalWatcher {
    /// A watcher of the signal `number`.
    ///
    /// # Errors
    /// ValueError for what is no signal.
    pub fn create<'py>(
        event_loop: &Bound<'py, GreenLoop>,
        number: i32,
        manner: Manner,
    ) -> PyResult<Bound<'py, Self>> {
        if !(1..=libc::SIGRTMAX()).contains(&number) {
            return Err(PyValueError::new_err(format!(
                "illegal signal number: {number}"
            )));
        }
        let watcher = Watcher::new(event_loop, Kind::Signal(number), manner);
        Bound::new(
            event_loop.py(),
            PyClassInitializer::from(watcher).add_subclass(Self),
        )
    }
}

#[pymethods]
impl SignalWatcher {
    /// The signal's number.
    #[getter]
    fn signalnum(slf: &Bound<'_, Self>) -> i32 {
        match slf.as_super().get().kind() {
            Kind::Signal(number) => *number,
            _ => 0,
        }
    }
}
