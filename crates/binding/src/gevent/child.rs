//! Child processes: the end of each is told by a descriptor of its own, and each is reaped by itself.
//!
//! libev reaps whatever child ends, anybody's, when SIGCHLD comes. Here only children that are watched are reaped. A
//! watcher of the process id 0 hears of any child: SIGCHLD tells, and then one that has ended is looked for.

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::child::{Child, Ended, any_ended};
use riata_engine::driver::{Interest, WatchKey};

use super::GreenLoop;
use super::events::CHILD;
use super::watcher::{Kind, Manner, Watcher};
use crate::cell::GilCell;
use crate::error::os_error;
use crate::event_loop::watch::Watcher as Entry;

/// The exit code of a child that somebody else has reaped: what asyncio says of one.
const UNKNOWN: i32 = 255;

/// A child, and who watches it.
pub struct Watched {
    child: Arc<Child>,
    key: Option<WatchKey>,
    watchers: Vec<Py<Watcher>>,
}

/// By the children's process ids.
pub type Children = HashMap<i32, Watched>;

impl Watched {
    /// Who watches.
    pub fn watchers(&self) -> impl Iterator<Item = &Py<Watcher>> {
        self.watchers.iter()
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.watchers.iter().try_for_each(|one| visit.call(one))
    }
}

/// What only a child's watcher has.
pub struct ChildState {
    pid: i32,
    rpid: GilCell<i32>,
    rstatus: GilCell<i32>,
}

impl ChildState {
    /// Begins to watch the child.
    ///
    /// # Errors
    /// OSError when the kernel has no descriptor left; ValueError for any child outside of the main thread.
    pub fn start(&self, watcher: &Bound<'_, Watcher>) -> PyResult<()> {
        let py = watcher.py();
        let event_loop = watcher.get().event_loop(py);
        if self.pid == 0 {
            super::signal::start(watcher, libc::SIGCHLD)?;
            look_for_any(event_loop); // one may have ended already
            return Ok(());
        }
        let this = event_loop.get();
        let known = this.children.with(py, |children| {
            let watched = children.get_mut(&self.pid)?;
            watched.watchers.push(watcher.clone().unbind());
            Some(())
        });
        if known.is_some() {
            return Ok(());
        }
        let child = match Child::watch(self.pid) {
            Ok(child) => Arc::new(child),
            Err(error) if error.errno == libc::ESRCH => {
                self.tell(watcher, self.pid, UNKNOWN << 8);
                return Ok(());
            }
            Err(error) => return Err(os_error(error)),
        };
        let fd = child.fd().as_raw_fd();
        let entry = Entry::GreenChild(event_loop.clone().unbind(), self.pid);
        let added = this
            .core(py)
            .get()
            .change_watchers(py, |registry, poller| {
                registry.add(poller, fd, Interest::READABLE, entry)
            })
            .map_err(os_error)?;
        let key = added
            .transpose()
            .map_err(|rejected| os_error(rejected.error))?;
        let watched = Watched {
            child,
            key,
            watchers: vec![watcher.clone().unbind()],
        };
        let other = this
            .children
            .with(py, |children| children.insert(self.pid, watched));
        drop(other);
        Ok(())
    }

    /// Watches no more; after the last watcher the child is left alone.
    pub fn stop(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        if self.pid == 0 {
            return super::signal::stop(watcher, libc::SIGCHLD);
        }
        let event_loop = watcher.get().event_loop(py).get();
        let (gone, last) = event_loop.children.with(py, |children| {
            let Some(watched) = children.get_mut(&self.pid) else {
                return (None, None);
            };
            let place = watched.watchers.iter().position(|other| other.is(watcher));
            let gone = place.map(|place| watched.watchers.swap_remove(place));
            let last = watched
                .watchers
                .is_empty()
                .then(|| children.remove(&self.pid));
            (gone, last.flatten())
        });
        drop(gone);
        if let Some(last) = last {
            forget(py, event_loop, last);
        }
    }

    fn tell(&self, watcher: &Bound<'_, Watcher>, pid: i32, status: i32) {
        let py = watcher.py();
        self.rpid.set(py, pid);
        self.rstatus.set(py, status);
        Watcher::pend(watcher, CHILD);
    }

    /// For `repr`.
    pub fn describe(&self, py: Python<'_>) -> String {
        format!(" pid={} rstatus={}", self.pid, self.rstatus.get(py))
    }
}

/// Ends the watch of a child's descriptor, which is closed.
fn forget(py: Python<'_>, event_loop: &GreenLoop, watched: Watched) {
    if let Some(key) = watched.key {
        // In a forked child without room for an epoll instance of its own there is nothing to remove from.
        let entry = event_loop
            .core(py)
            .get()
            .change_watchers(py, |registry, poller| registry.remove(poller, key));
        drop(entry);
    }
    drop(watched);
}

/// How `wait(2)` tells it.
fn status(ended: Ended) -> i32 {
    match ended {
        Ended::Exited(code) => code << 8,
        Ended::Killed(signal) => signal,
        Ended::Dumped(signal) => signal | 0x80,
        Ended::Unknown => UNKNOWN << 8,
    }
}

/// The child's descriptor has become readable: it is reaped, and all who watch it are told.
pub fn ended(event_loop: &Bound<'_, GreenLoop>, pid: i32) {
    let py = event_loop.py();
    let this = event_loop.get();
    let child = this.children.with(py, |children| {
        children.get(&pid).map(|watched| Arc::clone(&watched.child))
    });
    let Some(child) = child else {
        return;
    };
    let ended = match child.reap() {
        Ok(None) => return,
        Ok(Some(ended)) => ended,
        Err(error) => return GreenLoop::handle(event_loop, None, os_error(error)),
    };
    let Some(mut watched) = this.children.with(py, |children| children.remove(&pid)) else {
        return;
    };
    let watchers = std::mem::take(&mut watched.watchers);
    forget(py, this, watched);
    tell_all(py, &watchers, pid, status(ended));
    tell_all(py, &watchers_of_any(event_loop), pid, status(ended));
}

fn tell_all(py: Python<'_>, watchers: &[Py<Watcher>], pid: i32, status: i32) {
    for watcher in watchers {
        let watcher = watcher.bind(py);
        if let Kind::Child(state) = watcher.get().kind() {
            state.tell(watcher, pid, status);
        }
    }
}

/// Those with the process id 0.
fn watchers_of_any(event_loop: &Bound<'_, GreenLoop>) -> Vec<Py<Watcher>> {
    let py = event_loop.py();
    let all = super::signal::watchers(event_loop, libc::SIGCHLD);
    let is_child = |one: &Py<Watcher>| matches!(one.bind(py).get().kind(), Kind::Child(_));
    all.into_iter().filter(is_child).collect()
}

/// Looks for a child that has ended, for those who watch any; the others hear of it by its own descriptor.
pub fn look_for_any(event_loop: &Bound<'_, GreenLoop>) {
    let py = event_loop.py();
    let this = event_loop.get();
    loop {
        let watchers = watchers_of_any(event_loop);
        if watchers.iter().all(|one| one.bind(py).get().is_pending(py)) {
            return; // there is nobody, or everybody has one to look at
        }
        let pid = match any_ended() {
            Ok(Some(pid)) => pid,
            Ok(None) => return,
            Err(error) => return GreenLoop::handle(event_loop, None, os_error(error)),
        };
        if this
            .children
            .with(py, |children| children.contains_key(&pid))
        {
            ended(event_loop, pid);
            continue;
        }
        let reaped = Child::watch(pid).and_then(|child| child.reap());
        match reaped {
            Ok(Some(ended)) => tell_all(py, &watchers, pid, status(ended)),
            Ok(None) => return,
            Err(error) => return GreenLoop::handle(event_loop, None, os_error(error)),
        }
    }
}

/// A child's watcher: what `loop.child` returns.
#[pyclass(frozen, extends = Watcher, name = "child", module = "riata.gevent.core")]
pub struct ChildWatcher;

impl ChildWatcher {
    /// A watcher of the child `pid`, or of any child if that is 0.
    ///
    /// # Errors
    /// TypeError on a loop that is not the default one, ValueError for a negative `pid`, or if stops are to be told.
    pub fn create<'py>(
        event_loop: &Bound<'py, GreenLoop>,
        pid: i32,
        trace: bool,
        manner: Manner,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        if !event_loop.get().is_default(py) {
            return Err(PyTypeError::new_err(
                "child watchers are only available on the default loop",
            ));
        }
        if pid < 0 {
            return Err(PyValueError::new_err(format!("illegal process id: {pid}")));
        }
        if trace {
            return Err(PyValueError::new_err(
                "riata's loop tells of the end of a child, not of stops: trace must be false",
            ));
        }
        let kind = Kind::Child(ChildState {
            pid,
            rpid: GilCell::new(0),
            rstatus: GilCell::new(0),
        });
        let watcher = Watcher::new(event_loop, kind, manner);
        Bound::new(py, PyClassInitializer::from(watcher).add_subclass(Self))
    }

    fn state<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a ChildState> {
        match slf.as_super().get().kind() {
            Kind::Child(state) => Ok(state),
            _ => Err(PyValueError::new_err("not a child's watcher")),
        }
    }
}

#[pymethods]
impl ChildWatcher {
    /// Whom it watches; 0 for any child.
    #[getter]
    fn pid(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Ok(Self::state(slf)?.pid)
    }

    /// Who has ended; 0 as long as nobody has.
    #[getter]
    fn rpid(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Ok(Self::state(slf)?.rpid.get(slf.py()))
    }

    #[setter]
    fn set_rpid(slf: &Bound<'_, Self>, value: i32) -> PyResult<()> {
        Self::state(slf)?.rpid.set(slf.py(), value);
        Ok(())
    }

    /// How, as `os.waitpid` tells it: for `os.waitstatus_to_exitcode`.
    #[getter]
    fn rstatus(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Ok(Self::state(slf)?.rstatus.get(slf.py()))
    }

    #[setter]
    fn set_rstatus(slf: &Bound<'_, Self>, value: i32) -> PyResult<()> {
        Self::state(slf)?.rstatus.set(slf.py(), value);
        Ok(())
    }
}
