//! What can be ready, and how it reaches a loop: ours directly, another's through its `call_soon`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::{Readiness, WatchKey};

use super::EventLoop;
use crate::combine::{Alarm, AlarmBell, Observation, Observer};
use crate::future::Future;
use crate::gevent::callback as green;
use crate::handle::Handle;
use crate::imports::imports;
use crate::task::{Task, TaskStep, TaskWakeup};
use crate::transport::{Signal, StreamTransport};

/// One thing that can run now. Not a Python object around each: that is where the speed comes from.
pub enum Work {
    /// A native handle (or timer handle) to run.
    Handle(Py<Handle>),
    /// A handle made by asyncio's own code: it has `_cancelled` and `_run()`.
    ForeignHandle(Py<PyAny>),
    /// A task's first step, or its next after a bare `yield`.
    Step(Py<Task>),
    /// A task's next step, which throws an exception into the coroutine.
    Throw(Py<Task>, Py<PyAny>),
    /// A task whose awaited future is done.
    Wake(Py<Task>, Py<PyAny>),
    /// A transport's step.
    Stream(Py<StreamTransport>, Signal),
    /// A native party hears that a future is done.
    Observe(Observer, Py<PyAny>),
    /// A native party's time has come.
    Ring(Alarm),
    /// Something has happened to a descriptor: whoever watches it still is told.
    Event(WatchKey, Readiness),
    /// A callback of a gevent loop.
    Green(Py<green::Callback>),
    /// A done callback.
    Callback {
        /// What to call with the future
        callback: Py<PyAny>,
        /// The future that is done
        future: Py<PyAny>,
        /// The `contextvars.Context` to call it in
        context: Py<PyAny>,
    },
}

/// Callback, arguments and context.
pub type Call = (Py<PyAny>, Vec<Py<PyAny>>, Option<Py<PyAny>>);

impl Work {
    /// The same as a call: callback, arguments and context, for a loop that is not ours, or one whose `call_soon`
    /// is overridden.
    fn into_call(self, py: Python<'_>) -> PyResult<Call> {
        Ok(match self {
            Self::Handle(handle) => (handle.getattr(py, intern!(py, "_run"))?, vec![], None),
            Self::ForeignHandle(handle) => (handle.getattr(py, intern!(py, "_run"))?, vec![], None),
            Self::Step(task) => {
                let context = task.get().context(py);
                (
                    Py::new(py, TaskStep::new(task, None))?.into_any(),
                    vec![],
                    context,
                )
            }
            Self::Throw(task, exception) => {
                let context = task.get().context(py);
                (
                    Py::new(py, TaskStep::new(task, Some(exception)))?.into_any(),
                    vec![],
                    context,
                )
            }
            Self::Wake(task, future) => {
                let context = task.get().context(py);
                (
                    Py::new(py, TaskWakeup::new(task))?.into_any(),
                    vec![future],
                    context,
                )
            }
            Self::Stream(transport, signal) => signal.into_call(transport.bind(py))?,
            Self::Observe(observer, future) => (
                Py::new(py, Observation::new(observer))?.into_any(),
                vec![future],
                None,
            ),
            Self::Ring(alarm) => (Py::new(py, AlarmBell::new(alarm))?.into_any(), vec![], None),
            Self::Green(callback) => (callback.getattr(py, intern!(py, "callback"))?, vec![], None),
            Self::Event(..) => {
                return Err(PyRuntimeError::new_err("an event never leaves its loop"));
            }
            Self::Callback {
                callback,
                future,
                context,
            } => (callback, vec![future], Some(context)),
        })
    }

    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Handle(handle) => Self::Handle(handle.clone_ref(py)),
            Self::ForeignHandle(handle) => Self::ForeignHandle(handle.clone_ref(py)),
            Self::Step(task) => Self::Step(task.clone_ref(py)),
            Self::Throw(task, exception) => {
                Self::Throw(task.clone_ref(py), exception.clone_ref(py))
            }
            Self::Wake(task, future) => Self::Wake(task.clone_ref(py), future.clone_ref(py)),
            Self::Stream(transport, signal) => Self::Stream(transport.clone_ref(py), *signal),
            Self::Observe(observer, future) => {
                Self::Observe(observer.clone_ref(py), future.clone_ref(py))
            }
            Self::Ring(alarm) => Self::Ring(alarm.clone_ref(py)),
            Self::Event(key, readiness) => Self::Event(*key, *readiness),
            Self::Green(callback) => Self::Green(callback.clone_ref(py)),
            Self::Callback {
                callback,
                future,
                context,
            } => Self::Callback {
                callback: callback.clone_ref(py),
                future: future.clone_ref(py),
                context: context.clone_ref(py),
            },
        }
    }

    /// A handle that looks like the one asyncio would have made: for reports.
    pub fn to_handle<'py>(
        &self,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        match self {
            Self::Handle(handle) => return Ok(handle.bind(py).clone().into_any()),
            Self::ForeignHandle(handle) => return Ok(handle.bind(py).clone()),
            _ => {}
        }
        let (callback, args, context) = match self {
            // asyncio's name for who tells of events.
            Self::Event(..) => (
                event_loop.getattr(intern!(py, "_process_events"))?.unbind(),
                vec![],
                None,
            ),
            _ => self.clone_ref(py).into_call(py)?,
        };
        let args = PyTuple::new(py, args)?;
        let handle = Handle::new(
            LoopRef::of(event_loop),
            callback.into_bound(py),
            args,
            context.map(|c| c.into_bound(py)),
        )?;
        Ok(Bound::new(py, handle)?.into_any())
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle) => visit.call(handle),
            Self::ForeignHandle(handle) => visit.call(handle),
            Self::Step(task) => visit.call(task),
            Self::Throw(task, exception) => visit.call(task).and_then(|()| visit.call(exception)),
            Self::Wake(task, future) => visit.call(task).and_then(|()| visit.call(future)),
            Self::Stream(transport, _) => visit.call(transport),
            Self::Observe(observer, future) => {
                observer.traverse(visit)?;
                visit.call(future)
            }
            Self::Ring(alarm) => alarm.traverse(visit),
            Self::Event(..) => Ok(()),
            Self::Green(callback) => visit.call(callback),
            Self::Callback {
                callback,
                future,
                context,
            } => {
                visit.call(callback)?;
                visit.call(future)?;
                visit.call(context)
            }
        }
    }
}

/// The loop that a future belongs to.
pub enum LoopRef {
    /// `__init__` never ran.
    None,
    /// A loop of ours.
    Native(Py<EventLoop>),
    /// Any other loop.
    Foreign(Py<PyAny>),
}

impl LoopRef {
    /// A reference to `event_loop`.
    #[inline]
    pub fn new(event_loop: &Bound<'_, PyAny>) -> Self {
        match event_loop.cast::<EventLoop>() {
            Ok(native) => Self::Native(native.clone().unbind()),
            Err(_) => Self::Foreign(event_loop.clone().unbind()),
        }
    }

    /// A reference to a loop of ours.
    #[inline]
    pub fn of(event_loop: &Bound<'_, EventLoop>) -> Self {
        Self::Native(event_loop.clone().unbind())
    }

    /// Another reference to the same loop.
    #[inline]
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::None => Self::None,
            Self::Native(native) => Self::Native(native.clone_ref(py)),
            Self::Foreign(foreign) => Self::Foreign(foreign.clone_ref(py)),
        }
    }

    /// The loop's identity.
    #[inline]
    pub fn as_ptr(&self) -> *mut pyo3::ffi::PyObject {
        match self {
            Self::None => std::ptr::null_mut(),
            Self::Native(native) => native.as_ptr(),
            Self::Foreign(foreign) => foreign.as_ptr(),
        }
    }

    /// The loop as Python sees it; None for no loop.
    pub fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Self::None => py.None().into_bound(py),
            Self::Native(native) => native.bind(py).clone().into_any(),
            Self::Foreign(foreign) => foreign.bind(py).clone(),
        }
    }

    /// `loop.get_debug()`.
    #[inline]
    pub fn debug(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            Self::None => Ok(false),
            Self::Native(native) => Ok(native.get().debug(py)),
            Self::Foreign(foreign) => foreign
                .bind(py)
                .call_method0(intern!(py, "get_debug"))?
                .is_truthy(),
        }
    }

    /// `loop.create_future()`.
    ///
    /// # Errors
    /// What it raises.
    #[inline]
    pub fn create_future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Native(native) if native.get().makes_native_futures(py)? => {
                Ok(Bound::new(py, Future::on(self.clone_ref(py)))?.into_any())
            }
            _ => self.object(py).call_method0(intern!(py, "create_future")),
        }
    }

    /// Makes `work` ready.
    ///
    /// # Errors
    /// RuntimeError when the loop is closed, and in debug mode when called from another thread; whatever an
    /// overridden or foreign `call_soon` raises.
    #[inline]
    pub fn push(&self, py: Python<'_>, work: Work) -> PyResult<()> {
        match self {
            Self::Native(native) if !native.get().overrides_call_soon(py) => {
                native.get().push_checked(py, work)
            }
            Self::None => Ok(()),
            _ => {
                let (callback, args, context) = work.into_call(py)?;
                let mut all = vec![callback];
                all.extend(args);
                let options = PyDict::new(py);
                if let Some(context) = context {
                    options.set_item(intern!(py, "context"), context)?;
                }
                let call_soon = self.object(py).getattr(intern!(py, "call_soon"))?;
                call_soon
                    .call(PyTuple::new(py, all)?, Some(&options))
                    .map(drop)
            }
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::None => Ok(()),
            Self::Native(native) => visit.call(native),
            Self::Foreign(foreign) => visit.call(foreign),
        }
    }
}

/// In debug mode, tells of work that took long, in asyncio's words.
pub fn warn_slow(event_loop: &Bound<'_, EventLoop>, work: &Work, seconds: f64) -> PyResult<()> {
    let py = event_loop.py();
    let imports = imports(py)?;
    let handle = work.to_handle(event_loop)?;
    let text = imports.format_handle.bind(py).call1((handle,))?;
    let format = "Executing %s took %.3f seconds";
    let logger = imports
        .base_events
        .bind(py)
        .getattr(intern!(py, "logger"))?;
    logger
        .call_method1(intern!(py, "warning"), (format, text, seconds))
        .map(drop)
}
