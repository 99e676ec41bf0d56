//! `add_reader`, `add_writer` and their removers, and what the registry holds for whom.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Interest, WatchKey};

use super::EventLoop;
use super::work::LoopRef;
use crate::error::os_error;
use crate::handle::Handle;

/// Who is told about a descriptor.
pub enum Watcher {
    /// The loop itself: another thread sent something.
    Remote,
    /// `add_reader`'s callback.
    Reader(Py<Handle>),
    /// `add_writer`'s callback.
    Writer(Py<Handle>),
}

impl Watcher {
    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Remote => Self::Remote,
            Self::Reader(handle) => Self::Reader(handle.clone_ref(py)),
            Self::Writer(handle) => Self::Writer(handle.clone_ref(py)),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Remote => Ok(()),
            Self::Reader(handle) | Self::Writer(handle) => visit.call(handle),
        }
    }
}

/// Which of the two callbacks of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Reader,
    Writer,
}

impl Side {
    fn interest(self) -> Interest {
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
    fn find_side(&self, py: Python<'_>, fd: i32, side: Side) -> Option<WatchKey> {
        self.registry.with(py, |registry| {
            let is_side = |key: &WatchKey| match registry.get(*key) {
                Some(Watcher::Reader(_)) => side == Side::Reader,
                Some(Watcher::Writer(_)) => side == Side::Writer,
                _ => false,
            };
            registry.watchers(fd).find(is_side)
        })
    }

    fn watch<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        side: Side,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let this = slf.get();
        this.check_closed(py)?;
        let fd = descriptor(fd)?;
        let handle = Bound::new(py, Handle::new(LoopRef::of(slf), callback, args, None)?)?;
        this.unwatch(py, fd, side)?;
        let Some(kernel) = this.kernel(py) else {
            return Ok(handle);
        };
        let watcher = match side {
            Side::Reader => Watcher::Reader(handle.clone().unbind()),
            Side::Writer => Watcher::Writer(handle.clone().unbind()),
        };
        let added = this.registry.with(py, |registry| {
            registry.add(&kernel.poller, fd, side.interest(), watcher)
        });
        added.map_err(|rejected| os_error(rejected.error))?;
        Ok(handle)
    }

    /// Ends a callback; false when there was none.
    fn unwatch(&self, py: Python<'_>, fd: i32, side: Side) -> PyResult<bool> {
        let Some(key) = self.find_side(py, fd, side) else {
            return Ok(false);
        };
        let Some(kernel) = self.kernel(py) else {
            return Ok(false);
        };
        let watcher = self
            .registry
            .with(py, |registry| registry.remove(&kernel.poller, key));
        match watcher {
            Some(Watcher::Reader(handle) | Watcher::Writer(handle)) => {
                handle.call_method0(py, intern!(py, "cancel"))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

#[pymethods]
impl EventLoop {
    #[pyo3(signature = (fd, callback, *args))]
    fn _add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        Self::watch(slf, fd, callback, args, Side::Reader)
    }

    #[pyo3(signature = (fd, callback, *args))]
    fn _add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        Self::watch(slf, fd, callback, args, Side::Writer)
    }

    fn _remove_reader(&self, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self.closed.get(fd.py()) {
            true => Ok(false),
            false => self.unwatch(fd.py(), descriptor(fd)?, Side::Reader),
        }
    }

    fn _remove_writer(&self, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self.closed.get(fd.py()) {
            true => Ok(false),
            false => self.unwatch(fd.py(), descriptor(fd)?, Side::Writer),
        }
    }

    /// What add_reader and add_writer watch `fd` for, as `selectors` numbers it: EVENT_READ 1, EVENT_WRITE 2.
    fn _watched(&self, fd: &Bound<'_, PyAny>) -> PyResult<u8> {
        let (py, fd) = (fd.py(), descriptor(fd)?);
        let reader = self.find_side(py, fd, Side::Reader).is_some();
        let writer = self.find_side(py, fd, Side::Writer).is_some();
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
        Self::watch(slf, fd, callback, args, Side::Reader).map(drop)
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
        Self::watch(slf, fd, callback, args, Side::Writer).map(drop)
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
