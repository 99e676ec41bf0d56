//! A file's attributes, looked at every few seconds.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::clock::Nanos;

use super::GreenLoop;
use super::alarm::Alarm;
use super::events::STAT;
use super::watcher::{Kind, Manner, Watcher};
use crate::cell::GilCell;

/// libev's shortest interval, in seconds.
const SHORTEST: f64 = 0.1074891;
/// libev's interval where none is given, in seconds.
const USUAL: f64 = 5.0074891;

/// What only a file's watcher has.
pub struct StatState {
    path: GilCell<Option<Py<PyAny>>>,
    encoded: Py<PyBytes>,
    interval: GilCell<f64>,
    /// `os.stat_result`s: as it is, and as it was before; None where there is no such file.
    attr: GilCell<Option<Py<PyAny>>>,
    prev: GilCell<Option<Py<PyAny>>>,
    alarm: Alarm,
}

impl StatState {
    /// Looks at the file, and sets the timer after which it is looked at again.
    ///
    /// # Errors
    /// What `lstat` raises beside OSError.
    pub fn start(&self, watcher: &Bound<'_, Watcher>) -> PyResult<()> {
        let py = watcher.py();
        let interval = self.interval.get(py);
        if interval < SHORTEST {
            let legal = if interval == 0.0 { USUAL } else { SHORTEST };
            self.interval.set(py, legal);
        }
        let found = self.look(py)?;
        self.attr.set(py, found);
        self.set_timer(watcher);
        Ok(())
    }

    fn set_timer(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        let event_loop = watcher.get().event_loop(py).get();
        let wait = Nanos::not_before_secs_f64(self.interval.get(py));
        let deadline = event_loop.now(py).saturating_add(wait);
        self.alarm.set(watcher, deadline);
    }

    /// Looks at the file no more.
    pub fn stop(&self, watcher: &Bound<'_, Watcher>) {
        self.alarm.stop(watcher);
    }

    /// It is time to look at the file.
    pub fn expire(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        self.alarm.note_rung(py);
        self.set_timer(watcher);
        let before = self.attr.cloned(py);
        let compared = self
            .look(py)
            .and_then(|now| Ok((differ(py, before.as_ref(), now.as_ref())?, now)));
        match compared {
            Ok((true, now)) => {
                self.prev.set(py, before);
                self.attr.set(py, now);
                Watcher::pend(watcher, STAT);
            }
            Ok((false, _)) => {}
            Err(error) => {
                let event_loop = watcher.get().event_loop(py);
                GreenLoop::handle(event_loop, Some(watcher.as_any()), error);
            }
        }
    }

    fn look(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let posix = py.import(intern!(py, "posix"))?;
        match posix.call_method1(intern!(py, "lstat"), (&self.encoded,)) {
            Ok(found) => Ok(Some(found.unbind())),
            Err(error) if error.is_instance_of::<PyOSError>(py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Shows the collector what is inside.
    ///
    /// # Safety
    /// As `GilCell::traverse`.
    #[allow(unsafe_code)]
    pub unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: the caller's promise.
        unsafe {
            visit.call(self.path.traverse())?;
            visit.call(self.attr.traverse())?;
            visit.call(self.prev.traverse())
        }
    }

    /// Drops what the collector was shown.
    pub fn clear(&self, py: Python<'_>) {
        self.path.set(py, None);
        self.attr.set(py, None);
        self.prev.set(py, None);
    }
}

/// Whether the attributes differ, in the nanoseconds of their times too, which the tuple leaves out.
fn differ(py: Python<'_>, one: Option<&Py<PyAny>>, other: Option<&Py<PyAny>>) -> PyResult<bool> {
    let (Some(one), Some(other)) = (one, other) else {
        return Ok(one.is_some() != other.is_some());
    };
    let (one, other) = (one.bind(py), other.bind(py));
    if !one.eq(other)? {
        return Ok(true);
    }
    for name in [
        intern!(py, "st_mtime_ns"),
        intern!(py, "st_ctime_ns"),
        intern!(py, "st_atime_ns"),
    ] {
        if !one.getattr(name)?.eq(other.getattr(name)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file's watcher: what `loop.stat` returns.
#[pyclass(frozen, extends = Watcher, name = "stat", module = "riata.gevent.core")]
pub struct StatWatcher;

impl StatWatcher {
    /// A watcher of what `path` names, which need not exist.
    ///
    /// # Errors
    /// TypeError for what is no path.
    pub fn create<'py>(
        event_loop: &Bound<'py, GreenLoop>,
        path: &Bound<'py, PyAny>,
        interval: f64,
        manner: Manner,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let encoded = py
            .import(intern!(py, "os"))?
            .call_method1(intern!(py, "fsencode"), (path,))?
            .cast_into::<PyBytes>()?;
        let kind = Kind::Stat(StatState {
            path: GilCell::new(Some(path.clone().unbind())),
            encoded: encoded.unbind(),
            interval: GilCell::new(interval),
            attr: GilCell::new(None),
            prev: GilCell::new(None),
            alarm: Alarm::default(),
        });
        let watcher = Watcher::new(event_loop, kind, manner);
        Bound::new(py, PyClassInitializer::from(watcher).add_subclass(Self))
    }

    fn state<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a StatState> {
        match slf.as_super().get().kind() {
            Kind::Stat(state) => Ok(state),
            _ => Err(PyValueError::new_err("not a file's watcher")),
        }
    }
}

#[pymethods]
impl StatWatcher {
    /// What was given.
    #[getter]
    fn path(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        Ok(Self::state(slf)?.path.cloned(slf.py()))
    }

    /// The same, as bytes.
    #[getter]
    fn _paths(slf: &Bound<'_, Self>) -> PyResult<Py<PyBytes>> {
        Ok(Self::state(slf)?.encoded.clone_ref(slf.py()))
    }

    /// Every how many seconds the file is looked at.
    #[getter]
    fn interval(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Self::state(slf)?.interval.get(slf.py()))
    }

    /// The file's attributes, an os.stat_result; None when there is no such file.
    #[getter]
    fn attr(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        Ok(Self::state(slf)?.attr.cloned(slf.py()))
    }

    /// What they were before the last change.
    #[getter]
    fn prev(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        Ok(Self::state(slf)?.prev.cloned(slf.py()))
    }
}
