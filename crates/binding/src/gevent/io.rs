//! Descriptors: level-triggered, any number of watchers each.
//!
//! A watcher that is stopped stays in the kernel's set until the next poll: a greenlet that reads what has come and waits
//! again makes no system call. What epoll refuses (a regular file) can always be read and written, as libev has it.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use riata_engine::driver::{Interest, Readiness, WatchKey};

use super::events::{IOFDSET, READ, WRITE};
use super::watcher::{Kind, Manner, Watcher};
use super::{GreenLoop, placeholder};
use crate::cell::GilCell;
use crate::error::os_error;
use crate::event_loop::watch::Watcher as Entry;

/// What only an io watcher has.
pub struct IoState {
    fd: GilCell<i32>,
    events: GilCell<u32>,
    /// Its entry in the registry, which outlives a stop until the next poll.
    key: GilCell<Option<WatchKey>>,
}

impl IoState {
    /// What it waits for, by libev's bits.
    pub fn events(&self, py: Python<'_>) -> u32 {
        self.events.get(py) & (READ | WRITE)
    }

    fn interest(&self, py: Python<'_>) -> Interest {
        let events = self.events(py);
        let mut interest = Interest::NONE;
        if events & READ != 0 {
            interest = interest.union(Interest::READABLE);
        }
        if events & WRITE != 0 {
            interest = interest.union(Interest::WRITABLE);
        }
        interest
    }

    /// Begins to watch the descriptor.
    ///
    /// # Errors
    /// What epoll_ctl says, but EBADF, of which whoever waits is told by its own next call, and EPERM.
    pub fn start(&self, watcher: &Bound<'_, Watcher>) -> PyResult<()> {
        let py = watcher.py();
        let event_loop = watcher.get().event_loop(py).get();
        let core = event_loop.core(py);
        if let Some(key) = self.key.get(py) {
            // Stopped since the last poll. The number may serve another file only if that was announced.
            if !core
                .get()
                .registry
                .with(py, |registry| registry.is_orphaned(key))
            {
                return Ok(());
            }
            self.close(watcher);
        }
        let (fd, interest) = (self.fd.get(py), self.interest(py));
        let entry = Entry::Green(watcher.clone().unbind());
        let added = core.get().change_watchers(py, |registry, poller| {
            registry.add(poller, fd, interest, entry)
        });
        match added.map_err(os_error)? {
            None => Ok(()),
            Some(Ok(key)) => {
                self.key.set(py, Some(key));
                Ok(())
            }
            Some(Err(rejected)) if rejected.error.errno == libc::EPERM => {
                event_loop.add_always_ready(watcher);
                Ok(())
            }
            Some(Err(rejected)) if rejected.error.errno == libc::EBADF => {
                watcher.get().set_active(py, false);
                Watcher::pend(watcher, self.events(py));
                Ok(())
            }
            Some(Err(rejected)) => Err(os_error(rejected.error)),
        }
    }

    /// Notes that it is stopped: before the next poll the kernel is told.
    pub fn stop(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        let event_loop = watcher.get().event_loop(py).get();
        match self.key.get(py) {
            Some(key) => event_loop.add_stopped(py, key),
            None => event_loop.remove_always_ready(watcher),
        }
    }

    /// Takes it out of the registry.
    pub fn close(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        if let Some(key) = self.key.take(py) {
            let core = watcher.get().event_loop(py).get().core(py);
            // In a forked child that has no room for an epoll instance of its own, there is nothing to remove from.
            let removed = core
                .get()
                .change_watchers(py, |registry, poller| registry.remove(poller, key));
            drop(removed);
        }
    }

    /// Something has happened to the descriptor.
    pub fn fire(&self, watcher: &Bound<'_, Watcher>, readiness: Readiness) {
        let py = watcher.py();
        if !watcher.get().is_active(py) {
            return;
        }
        let mut revents = 0;
        if readiness.wakes_reader() {
            revents |= READ;
        }
        if readiness.wakes_writer() {
            revents |= WRITE;
        }
        let revents = revents & self.events(py);
        if revents != 0 {
            Watcher::pend(watcher, revents);
        }
    }

    /// For `repr`.
    pub fn describe(&self, py: Python<'_>) -> String {
        format!(
            " fd={} events={}",
            self.fd.get(py),
            events_str(self.events(py))
        )
    }
}

fn events_str(events: u32) -> String {
    let names: Vec<&str> = [(READ, "READ"), (WRITE, "WRITE")]
        .into_iter()
        .filter_map(|(bit, name)| (events & bit != 0).then_some(name))
        .collect();
    names.join("|")
}

fn check_fd(fd: i32) -> PyResult<()> {
    if fd < 0 {
        return Err(PyValueError::new_err(format!(
            "fd must be non-negative: {fd}"
        )));
    }
    match riata_engine::driver::check_open(fd) {
        Ok(()) => Ok(()),
        Err(_) => Err(PyOSError::new_err((
            libc::EBADF,
            format!("Invalid file descriptor {fd}"),
        ))),
    }
}

fn check_events(events: i64) -> PyResult<u32> {
    match u32::try_from(events) {
        Ok(bits) if bits & !(READ | WRITE | IOFDSET) == 0 => Ok(bits),
        _ => Err(PyValueError::new_err(format!(
            "illegal event mask: {events}"
        ))),
    }
}

/// A descriptor's watcher: what `loop.io` returns.
#[pyclass(frozen, extends = Watcher, name = "io", module = "riata.gevent.core")]
pub struct IoWatcher;

impl IoWatcher {
    /// A watcher of `fd`.
    ///
    /// # Errors
    /// ValueError for a negative number or unknown events, OSError (EBADF) for a number that is not open.
    pub fn create<'py>(
        event_loop: &Bound<'py, GreenLoop>,
        fd: i32,
        events: i64,
        manner: Manner,
    ) -> PyResult<Bound<'py, Self>> {
        let events = check_events(events)?;
        check_fd(fd)?;
        let kind = Kind::Io(IoState {
            fd: GilCell::new(fd),
            events: GilCell::new(events),
            key: GilCell::new(None),
        });
        let watcher = Watcher::new(event_loop, kind, manner);
        Bound::new(
            event_loop.py(),
            PyClassInitializer::from(watcher).add_subclass(Self),
        )
    }

    fn state<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a IoState> {
        match slf.as_super().get().kind() {
            Kind::Io(state) => Ok(state),
            _ => Err(PyValueError::new_err("not an io watcher")),
        }
    }

    /// The state, for a change of what is watched.
    fn stopped<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a IoState> {
        let state = Self::state(slf)?;
        if slf.as_super().get().is_active(slf.py()) {
            return Err(PyValueError::new_err("not while active"));
        }
        state.close(slf.as_super());
        Ok(state)
    }
}

#[pymethods]
impl IoWatcher {
    /// Begin to watch: `callback(*args)` is called, in the hub, as long as the descriptor is ready; with `pass_events`
    /// what it is ready for comes before `args`.
    ///
    /// Raises TypeError for what cannot be called, ValueError when the loop is destroyed.
    #[pyo3(signature = (callback, *args, pass_events = false))]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        pass_events: bool,
    ) -> PyResult<()> {
        if !pass_events {
            return Watcher::begin(slf.as_super(), callback, args);
        }
        let py = slf.py();
        let mut all = vec![placeholder(py)?.bind(py).clone().into_any()];
        all.extend(args.iter());
        Watcher::begin(slf.as_super(), callback, &PyTuple::new(py, all)?)
    }

    /// The descriptor. Cannot be set while it is started.
    #[getter]
    fn fd(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Ok(Self::state(slf)?.fd.get(slf.py()))
    }

    #[setter]
    fn set_fd(slf: &Bound<'_, Self>, value: i32) -> PyResult<()> {
        check_fd(value)?;
        Self::stopped(slf)?.fd.set(slf.py(), value);
        Ok(())
    }

    /// What is watched for: READ, WRITE or both. Cannot be set while it is started.
    #[getter]
    fn events(slf: &Bound<'_, Self>) -> PyResult<u32> {
        Ok(Self::state(slf)?.events.get(slf.py()))
    }

    #[setter]
    fn set_events(slf: &Bound<'_, Self>, value: i64) -> PyResult<()> {
        let value = check_events(value)?;
        Self::stopped(slf)?.events.set(slf.py(), value);
        Ok(())
    }

    /// The same in words.
    #[getter]
    fn events_str(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(events_str(Self::state(slf)?.events(slf.py())))
    }
}
