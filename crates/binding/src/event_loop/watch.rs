//! `add_reader`, `add_writer` and their removers, and what the registry holds for whom.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, Poller, Registry, WatchKey};
use riata_engine::error::Error;

use super::EventLoop;
use super::serve::Listener;
use super::sock::{Idle, Waiting};
use super::work::LoopRef;
use crate::error::os_error;
use crate::gevent::{GreenLoop, Wakeup, watcher as green};
use crate::handle::Handle;
use crate::transport::{DatagramTransport, ReadPipeTransport, StreamTransport, WritePipeTransport};

/// Who is told about a descriptor.
pub enum Watcher {
    /// The loop itself: another thread sent something.
    Remote,
    /// `add_reader`'s callback.
    Reader(Callback),
    /// `add_writer`'s callback.
    Writer(Callback),
    /// A transport that waits for something.
    Stream(Py<StreamTransport>),
    /// A datagram socket's transport that waits for something.
    Datagram(Py<DatagramTransport>),
    /// The reading end of a pipe that waits for something.
    ReadPipe(Py<ReadPipeTransport>),
    /// The writing end of a pipe that waits for something.
    WritePipe(Py<WritePipeTransport>),
    /// A transport that waits for nothing: its owners' alone, who may drop it any time.
    Parked(Unowned),
    /// A listening socket.
    Listener(Arc<Listener>),
    /// A socket call that waits until it can be done.
    Waiting(Arc<Waiting>),
    /// What is left of one that was done: nobody is told.
    Idle(Idle),
    /// A gevent io watcher.
    Green(Py<green::Watcher>),
    /// A child process, by its id, that a gevent loop waits for.
    GreenChild(Py<GreenLoop>, i32),
    /// The poller of a loop that is this one's guest.
    Guest(Py<EventLoop>),
    /// A pipe by which signals end a poll.
    Wakeup(Arc<Wakeup>),
}

/// A callback, its arguments and its context; None for a copy of the current one.
type Given<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyTuple>,
    Option<Bound<'py, PyAny>>,
);

/// What `add_reader` or `add_writer` was given.
pub struct Callback {
    handle: Py<Handle>,
    /// The object whose descriptor is watched, unless that was given as a number. By it the callback is found when the
    /// object is closed and has no descriptor any more.
    file: Option<Py<PyAny>>,
}

impl Callback {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            handle: self.handle.clone_ref(py),
            file: self.file.as_ref().map(|file| file.clone_ref(py)),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.handle)?;
        visit.call(&self.file)
    }

    /// What is to be called.
    pub fn into_handle(self) -> Py<Handle> {
        self.handle
    }

    fn is_for(&self, object: &Bound<'_, PyAny>) -> bool {
        self.file.as_ref().is_some_and(|file| file.is(object))
    }
}

/// A transport that the loop knows and does not hold. It takes itself out of the table when it dies.
#[derive(Clone, Copy)]
pub struct Unowned(*mut ffi::PyObject);

// SAFETY: B10: the pointer is used under the GIL alone.
#[allow(unsafe_code)]
unsafe impl Send for Unowned {}

impl Unowned {
    /// Remembers `object`, which is a transport.
    pub fn new(object: &Bound<'_, PyAny>) -> Self {
        Self(object.as_ptr())
    }

    /// The transport, unless it is being deallocated at this moment.
    #[allow(unsafe_code)]
    fn get<'py>(self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: B10: in the table, so not deallocated; with a count of nought it is about to be, and must not be
        // brought back.
        unsafe { (ffi::Py_REFCNT(self.0) > 0).then(|| Bound::from_borrowed_ptr(py, self.0)) }
    }
}

impl Watcher {
    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Remote => Self::Remote,
            Self::Reader(callback) => Self::Reader(callback.clone_ref(py)),
            Self::Writer(callback) => Self::Writer(callback.clone_ref(py)),
            Self::Stream(transport) => Self::Stream(transport.clone_ref(py)),
            Self::Datagram(transport) => Self::Datagram(transport.clone_ref(py)),
            Self::ReadPipe(transport) => Self::ReadPipe(transport.clone_ref(py)),
            Self::WritePipe(transport) => Self::WritePipe(transport.clone_ref(py)),
            Self::Parked(transport) => Self::Parked(*transport),
            Self::Listener(listener) => Self::Listener(listener.clone()),
            Self::Waiting(waiting) => Self::Waiting(waiting.clone()),
            Self::Idle(idle) => Self::Idle(idle.clone_ref(py)),
            Self::Green(watcher) => Self::Green(watcher.clone_ref(py)),
            Self::GreenChild(event_loop, pid) => Self::GreenChild(event_loop.clone_ref(py), *pid),
            Self::Guest(guest) => Self::Guest(guest.clone_ref(py)),
            Self::Wakeup(wakeup) => Self::Wakeup(Arc::clone(wakeup)),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Remote | Self::Parked(_) | Self::Wakeup(_) => Ok(()),
            Self::Reader(callback) | Self::Writer(callback) => callback.traverse(visit),
            Self::Stream(transport) => visit.call(transport),
            Self::Datagram(transport) => visit.call(transport),
            Self::ReadPipe(transport) => visit.call(transport),
            Self::WritePipe(transport) => visit.call(transport),
            Self::Listener(listener) => listener.traverse(visit),
            Self::Waiting(waiting) => waiting.traverse(visit),
            Self::Idle(idle) => idle.traverse(visit),
            Self::Green(watcher) => visit.call(watcher),
            Self::GreenChild(event_loop, _) => visit.call(event_loop),
            Self::Guest(guest) => visit.call(guest),
        }
    }
}

/// Which of the two callbacks of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `add_reader`'s
    Reader,
    /// `add_writer`'s
    Writer,
}

impl Side {
    /// What it waits for.
    pub fn interest(self) -> Interest {
        match self {
            Self::Reader => Interest::READABLE,
            Self::Writer => Interest::WRITABLE,
        }
    }
}

/// The descriptor of an int or of an object with `fileno()`, as `selectors._fileobj_to_fd` finds it.
///
/// # Errors
/// ValueError when there is none, or a negative one.
pub fn descriptor(object: &Bound<'_, PyAny>) -> PyResult<i32> {
    let py = object.py();
    let fd: i64 = match object.extract::<i64>() {
        Ok(fd) => fd,
        Err(_) => object
            .call_method0(intern!(py, "fileno"))
            .and_then(|fd| fd.extract())
            .map_err(|error| {
                let text = object
                    .repr()
                    .map(|text| text.to_string_lossy().into_owned())
                    .unwrap_or_default();
                let wrong = PyValueError::new_err(format!("Invalid file object: {text}"));
                wrong.set_cause(py, Some(error));
                wrong
            })?,
    };
    match i32::try_from(fd) {
        Ok(fd) if fd >= 0 => Ok(fd),
        _ => Err(PyValueError::new_err(format!(
            "Invalid file descriptor: {fd}"
        ))),
    }
}

impl EventLoop {
    pub(super) fn find_side(&self, py: Python<'_>, fd: i32, side: Side) -> Option<WatchKey> {
        self.registry.with(py, |registry| {
            let is_side = |key: &WatchKey| match registry.get(*key) {
                Some(Watcher::Reader(_) | Watcher::Listener(_)) => side == Side::Reader,
                Some(Watcher::Writer(_)) => side == Side::Writer,
                Some(Watcher::Waiting(waiting)) => side == waiting.side(),
                _ => false,
            };
            registry.watchers(fd).find(is_side)
        })
    }

    /// The watcher on one side of `object`; one that is closed is found by what it is, as `selectors` finds it.
    ///
    /// # Errors
    /// ValueError when it has no descriptor and is not watched.
    fn find_watched(&self, object: &Bound<'_, PyAny>, side: Side) -> PyResult<Option<WatchKey>> {
        let py = object.py();
        let error = match descriptor(object) {
            Ok(fd) => return Ok(self.find_side(py, fd, side)),
            Err(error) => error,
        };
        let mut known = false;
        let found = self.registry.with(py, |registry| {
            registry.iter().find_map(|(key, watcher)| {
                let (callback, its_side) = match watcher {
                    Watcher::Reader(callback) => (callback, Side::Reader),
                    Watcher::Writer(callback) => (callback, Side::Writer),
                    _ => return None,
                };
                let is_its = callback.is_for(object);
                known |= is_its;
                (is_its && its_side == side).then_some(key)
            })
        });
        if known { Ok(found) } else { Err(error) }
    }

    fn watch<'py>(
        slf: &Bound<'py, Self>,
        object: &Bound<'py, PyAny>,
        (callback, args, context): Given<'py>,
        side: Side,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        let fd = descriptor(object)?;
        let handle = Bound::new(py, Handle::new(LoopRef::of(slf), callback, args, context)?)?;
        this.unwatch(py, this.find_side(py, fd, side))?;
        let Some(kernel) = this.own_kernel(py).map_err(os_error)? else {
            return Ok(handle);
        };
        let callback = Callback {
            handle: handle.clone().unbind(),
            file: (!object.is_instance_of::<PyInt>()).then(|| object.clone().unbind()),
        };
        let watcher = match side {
            Side::Reader => Watcher::Reader(callback),
            Side::Writer => Watcher::Writer(callback),
        };
        let added = this.registry.with(py, |registry| {
            registry.add(&kernel.poller, fd, side.interest(), watcher)
        });
        added.map_err(|rejected| os_error(rejected.error))?;
        Ok(handle)
    }

    /// Ends a callback; false when there was none.
    pub(super) fn unwatch(&self, py: Python<'_>, key: Option<WatchKey>) -> PyResult<bool> {
        let Some(key) = key else {
            return Ok(false);
        };
        let Some(kernel) = self.own_kernel(py).map_err(os_error)? else {
            return Ok(false);
        };
        let watcher = self
            .registry
            .with(py, |registry| registry.remove(&kernel.poller, key));
        match watcher {
            Some(Watcher::Reader(callback) | Watcher::Writer(callback)) => {
                callback.handle.call_method0(py, intern!(py, "cancel"))?;
                Ok(true)
            }
            Some(Watcher::Listener(_) | Watcher::Waiting(_)) => Ok(true),
            _ => Ok(false),
        }
    }

    /// Changes the table of what is watched, and the kernel's set with it; None once closed.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, in a forked child that needs a set of its own.
    pub fn change_watchers<R>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut Registry<Watcher>, &Poller) -> R,
    ) -> Result<Option<R>, Error> {
        let Some(kernel) = self.own_kernel(py)? else {
            return Ok(None);
        };
        let changed = self
            .registry
            .with(py, |registry| change(registry, &kernel.poller));
        Ok(Some(changed))
    }

    /// The transport that has `fd` to itself, if one does.
    pub fn occupant<'py>(&self, py: Python<'py>, fd: i32) -> Option<Bound<'py, PyAny>> {
        let transport = self.registry.with(py, |registry| {
            registry
                .watchers(fd)
                .find_map(|key| match registry.get(key)? {
                    Watcher::Stream(transport) => Some(transport.bind(py).clone().into_any()),
                    Watcher::Datagram(transport) => Some(transport.bind(py).clone().into_any()),
                    Watcher::Parked(transport) => transport.get(py),
                    _ => None,
                })
        })?;
        let occupies = if let Ok(stream) = transport.cast::<StreamTransport>() {
            stream.get().occupies_descriptor(py)
        } else if let Ok(datagram) = transport.cast::<DatagramTransport>() {
            datagram.get().occupies_descriptor(py)
        } else {
            false // a pipe's end, which asyncio lets be watched beside
        };
        occupies.then_some(transport)
    }
}

#[pymethods]
impl EventLoop {
    #[pyo3(signature = (fd, callback, *args, context = None))]
    fn _add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        Self::watch(slf, fd, (callback, args, context), Side::Reader)
    }

    #[pyo3(signature = (fd, callback, *args, context = None))]
    fn _add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        Self::watch(slf, fd, (callback, args, context), Side::Writer)
    }

    pub(super) fn _remove_reader(&self, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self.closed.get(fd.py()) {
            true => Ok(false),
            false => self.unwatch(fd.py(), self.find_watched(fd, Side::Reader)?),
        }
    }

    fn _remove_writer(&self, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self.closed.get(fd.py()) {
            true => Ok(false),
            false => self.unwatch(fd.py(), self.find_watched(fd, Side::Writer)?),
        }
    }

    /// What add_reader and add_writer watch `fd` for, as `selectors` numbers it: EVENT_READ 1, EVENT_WRITE 2.
    fn _watched(&self, fd: &Bound<'_, PyAny>) -> PyResult<u8> {
        let reader = self.find_watched(fd, Side::Reader)?.is_some();
        let writer = self.find_watched(fd, Side::Writer)?.is_some();
        Ok(u8::from(reader) | u8::from(writer) << 1)
    }

    /// Call `callback(*args)` whenever `fd` (a number or an object with fileno()) can be read; replaces the one before.
    ///
    /// Level-triggered. Raises OSError as the kernel gives it: PermissionError for a regular file, EBADF for a closed
    /// descriptor; RuntimeError for one that a transport uses.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        slf.call_method1(intern!(slf.py(), "_ensure_fd_no_transport"), (fd,))?;
        Self::watch(slf, fd, (callback, args, None), Side::Reader).map(drop)
    }

    /// Call `callback(*args)` whenever `fd` (a number or an object with fileno()) can be written; as add_reader.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        slf.call_method1(intern!(slf.py(), "_ensure_fd_no_transport"), (fd,))?;
        Self::watch(slf, fd, (callback, args, None), Side::Writer).map(drop)
    }

    /// Stop watching `fd` for reading; False when nothing was.
    fn remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        slf.call_method1(intern!(slf.py(), "_ensure_fd_no_transport"), (fd,))?;
        slf.get()._remove_reader(fd)
    }

    /// Stop watching `fd` for writing; False when nothing was.
    fn remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        slf.call_method1(intern!(slf.py(), "_ensure_fd_no_transport"), (fd,))?;
        slf.get()._remove_writer(fd)
    }
}
