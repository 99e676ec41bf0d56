//! What CPython's own `_asyncio` must be told, and what it would refuse or raise in our place.
//!
//! - The current task: a dictionary `asyncio.tasks._current_tasks` on 3.11 to 3.13, the thread state (through
//!   `_asyncio._swap_current_task`) from 3.14 on.
//! - All tasks: a list of our own, which asyncio's hidden sets are made to see (see `riata._interop`).
//! - Exceptions: which a future takes, and what `throw` makes of its arguments.
//! - What 3.15 refuses: to make a future twice, and contexts that are no contexts.

#![allow(unsafe_code)]

use pyo3::exceptions::{PyBaseException, PyKeyError, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTraceback, PyType};

use crate::cell::GilCell;
use crate::context;
use crate::future::Future;
use crate::imports::imports;
use crate::task::Task;
use crate::version::version;

enum CurrentTask {
    Dict(Py<PyDict>),
    /// `_swap_current_task`, which refuses a loop that is not the running one of `set_running_loop`.
    Swap {
        swap: Py<PyAny>,
        set_running_loop: Py<PyAny>,
        /// `_current_tasks`, where from 3.14 on only asyncio's Python tasks are.
        python_tasks: Py<PyDict>,
    },
}

static CURRENT: PyOnceLock<CurrentTask> = PyOnceLock::new();

/// Where this Python keeps the current task.
///
/// # Errors
/// ImportError or AttributeError, the first time, when asyncio is not as expected.
#[inline]
fn current(py: Python<'_>) -> PyResult<&'static CurrentTask> {
    CURRENT.get_or_try_init(py, || {
        version(py)?; // early, before a program changes what it is read off
        let entries = py
            .import("asyncio.tasks")?
            .getattr("_current_tasks")?
            .cast_into::<PyDict>()?
            .unbind();
        if py.version_info() < (3, 14) {
            return Ok(CurrentTask::Dict(entries));
        }
        let c = py.import("_asyncio")?;
        Ok(CurrentTask::Swap {
            swap: c.getattr("_swap_current_task")?.unbind(),
            set_running_loop: c.getattr("_set_running_loop")?.unbind(),
            python_tasks: entries,
        })
    })
}

/// Makes `event_loop` (or none) the one that runs in this thread.
///
/// `asyncio.events._set_running_loop` may be replaced while a program runs, so it is asked by name. From 3.14 on the
/// thread state must know as well, whoever stands at that name: it holds the current task, of the loop that runs.
pub fn set_running_loop(py: Python<'_>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let set = imports(py)?
        .events
        .bind(py)
        .getattr(intern!(py, "_set_running_loop"))?;
    if let CurrentTask::Swap {
        set_running_loop, ..
    } = current(py)?
        && !set.is(set_running_loop)
    {
        set_running_loop.bind(py).call1((event_loop,))?;
    }
    set.call1((event_loop,)).map(drop)
}

/// The current task of `event_loop`; also one of asyncio's Python tasks, which its C functions do not see from 3.14 on.
///
/// # Errors
/// What asyncio raises.
#[inline]
pub fn current_task<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    match current(py)? {
        CurrentTask::Dict(entries) => entries.bind(py).get_item(event_loop),
        CurrentTask::Swap { python_tasks, .. } => {
            let task = imports(py)?.current_task.bind(py).call1((event_loop,))?;
            match task.is_none() {
                true => python_tasks.bind(py).get_item(event_loop),
                false => Ok(Some(task)),
            }
        }
    }
}

/// Makes `task` the current one of `event_loop`, whatever was.
#[inline]
pub fn set_current_task(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    match current(event_loop.py())? {
        CurrentTask::Dict(entries) => entries.bind(event_loop.py()).set_item(event_loop, task),
        CurrentTask::Swap { swap, .. } => swap
            .bind(event_loop.py())
            .call1((event_loop, task))
            .map(drop),
    }
}

/// No task is the current one of `event_loop` any more.
#[inline]
pub fn clear_current_task(event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    match current(py)? {
        CurrentTask::Dict(entries) => {
            // There, unless somebody has meddled.
            match entries.bind(py).del_item(event_loop) {
                Err(error) if error.is_instance_of::<PyKeyError>(py) => Ok(()),
                deleted => deleted,
            }
        }
        CurrentTask::Swap { swap, .. } => swap.bind(py).call1((event_loop, py.None())).map(drop),
    }
}

/// Makes `task` (or none) the current one of `event_loop` and gives back which one was.
pub fn swap_current_task<'py>(
    event_loop: &Bound<'py, PyAny>,
    task: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    match current(py)? {
        CurrentTask::Dict(entries) => {
            let entries = entries.bind(py);
            let before = entries.get_item(event_loop)?;
            match task {
                Some(task) => entries.set_item(event_loop, task)?,
                None if before.is_some() => entries.del_item(event_loop)?,
                None => {}
            }
            Ok(before)
        }
        CurrentTask::Swap { swap, .. } => {
            let before = swap.bind(py).call1((event_loop, task))?;
            Ok((!before.is_none()).then_some(before))
        }
    }
}

/// Makes `task` the current one.
///
/// # Errors
/// RuntimeError when another task is, as `asyncio.tasks._enter_task` raises.
pub fn enter_task<'py>(event_loop: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    if let CurrentTask::Dict(entries) = current(py)? {
        let entries = entries.bind(py);
        let others = entries.len();
        // SAFETY: B4: live objects; what stands there then is borrowed, or NULL with an exception set.
        let current = unsafe {
            let current =
                ffi::PyDict_SetDefault(entries.as_ptr(), event_loop.as_ptr(), task.as_ptr());
            Bound::from_borrowed_ptr_or_err(py, current)?
        };
        return match entries.len() == others {
            true => Err(PyRuntimeError::new_err(cannot_enter(task, &current)?)),
            false => Ok(()),
        };
    }
    match swap_current_task(event_loop, Some(task))? {
        None => Ok(()),
        Some(before) => {
            let text = cannot_enter(task, &before)?;
            swap_current_task(event_loop, Some(&before))?;
            Err(PyRuntimeError::new_err(text))
        }
    }
}

fn cannot_enter(task: &Bound<'_, PyAny>, before: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(format!(
        "Cannot enter into task {} while another task {} is being executed.",
        task.repr()?.to_string_lossy(),
        before.repr()?.to_string_lossy()
    ))
}

/// What a second `__init__` of a future raises from 3.15 on.
#[cold]
pub fn initialized_already(future: &Bound<'_, PyAny>) -> PyErr {
    let class = future.get_type();
    let name = match class.is(class.py().get_type::<Task>()) {
        true => Ok("_asyncio.Task".to_owned()),
        false if class.is(class.py().get_type::<Future>()) => Ok("_asyncio.Future".to_owned()),
        false => class.fully_qualified_name().map(|name| name.to_string()),
    };
    match name {
        Ok(name) => PyRuntimeError::new_err(format!("{name} object is already initialized")),
        Err(error) => error,
    }
}

/// Whether `context` will do for a task.
///
/// # Errors
/// TypeError for anything but a `contextvars.Context`, from 3.15 on; before, whatever has a `run` did.
#[inline]
pub fn check_context(context: &Bound<'_, PyAny>) -> PyResult<()> {
    if !context::is_exact(context) && version(context.py())?.checks_context {
        return Err(PyTypeError::new_err(format!(
            "a contextvars.Context was expected, got {}",
            context.get_type().name()?
        )));
    }
    Ok(())
}

/// What `set_exception` keeps for `exception`: a StopIteration cannot be raised into a coroutine.
///
/// # Errors
/// TypeError for a StopIteration before Python 3.13; from then on it is wrapped in a RuntimeError.
pub fn storable_exception<'py>(exception: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    const TEXT: &str =
        "StopIteration interacts badly with generators and cannot be raised into a Future";
    let py = exception.py();
    if !exception.is_instance_of::<PyStopIteration>() {
        return Ok(exception.clone());
    }
    if version(py)?.stop_iteration_becomes_error {
        return stop_iteration_error(exception);
    }
    match exception.get_type().is(py.get_type::<PyStopIteration>()) {
        true => Err(PyTypeError::new_err(TEXT)),
        false => Ok(exception.clone()),
    }
}

/// RuntimeError from a StopIteration that was raised where a future was to take it.
pub fn stop_iteration_error<'py>(exception: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = exception.py();
    let text = "StopIteration interacts badly with generators and cannot be raised into a Future";
    let error = PyRuntimeError::new_err(text)
        .into_value(py)
        .into_bound(py)
        .into_any();
    error.setattr(intern!(py, "__cause__"), exception)?;
    error.setattr(intern!(py, "__context__"), exception)?;
    Ok(error)
}

/// The exception that `throw(type, value, traceback)` raises, by the rules of generators.
///
/// # Errors
/// TypeError for arguments that name no exception.
pub fn thrown(
    py: Python<'_>,
    r#type: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    traceback: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyErr> {
    if version(py)?.throw_deprecated && (value.is_some() || traceback.is_some()) {
        let text = c"the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.";
        PyErr::warn(
            py,
            &py.get_type::<pyo3::exceptions::PyDeprecationWarning>(),
            text,
            1,
        )?;
    }
    let value = value.filter(|value| !value.is_none());
    let traceback = match traceback.filter(|traceback| !traceback.is_none()) {
        None => None,
        Some(traceback) => match traceback.cast::<PyTraceback>() {
            Ok(traceback) => Some(traceback.clone()),
            Err(_) => {
                return Err(PyTypeError::new_err(
                    "throw() third argument must be a traceback",
                ));
            }
        },
    };
    let exception = if let Ok(class) = r#type.cast::<PyType>()
        && class.is_subclass_of::<PyBaseException>()?
    {
        match value {
            Some(value) if value.is_instance(class)? => value.clone(),
            Some(value) => match value.cast::<pyo3::types::PyTuple>() {
                Ok(args) => class.call1(args.clone())?,
                Err(_) => class.call1((value,))?,
            },
            None => class.call0()?,
        }
    } else if r#type.is_instance_of::<PyBaseException>() {
        if value.is_some() {
            return Err(PyTypeError::new_err(
                "instance exception may not have a separate value",
            ));
        }
        r#type.clone()
    } else {
        let text = "exceptions must be classes deriving BaseException or instances of such a class";
        return Err(PyTypeError::new_err(text));
    };
    if let Some(traceback) = traceback {
        exception.setattr(intern!(py, "__traceback__"), traceback)?;
    }
    Ok(PyErr::from_value(exception))
}

/// The class that an instance of a Python subclass shows as its `__class__`: see `riata._interop.face`.
pub fn face<'py>(
    class: &Bound<'py, PyType>,
    asyncio_class: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    static FACE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    FACE.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("riata._interop")?.getattr("face")?.unbind())
    })?
    .bind(py)
    .call1((class, asyncio_class))
}

/// The native tasks that are not done, unowned: a task leaves when it is done or dies.
struct Live(Vec<*mut ffi::PyObject>);

// SAFETY: B5: the pointers are used under the GIL alone.
unsafe impl Send for Live {}

static LIVE: GilCell<Live> = GilCell::new(Live(Vec::new()));

/// A task's place among the live ones when it has none.
pub const UNREGISTERED: usize = usize::MAX;

/// Enters `task` among the live ones; gives its place.
#[inline]
pub fn register_task(py: Python<'_>, task: *mut ffi::PyObject) -> usize {
    LIVE.with(py, |live| {
        live.0.push(task);
        live.0.len() - 1
    })
}

/// Takes the task at `place` out. Another may move to that place.
#[inline]
pub fn unregister_task(py: Python<'_>, place: usize) {
    let moved = LIVE.with(py, |live| {
        live.0.swap_remove(place);
        live.0.get(place).copied()
    });
    if let Some(moved) = moved {
        // SAFETY: B5: whoever is in the list is a task that has not been deallocated.
        unsafe { Task::move_live(py, moved, place) };
    }
}

/// The native tasks that are not done, of every loop and thread. asyncio filters them by loop.
#[pyfunction]
#[pyo3(name = "_live_tasks")]
pub fn live_tasks(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let owned: Vec<Py<PyAny>> = LIVE.with(py, |live| {
        let is_alive = |task: &&*mut ffi::PyObject| {
            // SAFETY: B5: in the list, so not deallocated. A count of nought means that it is about to be, and
            // that a weak reference's callback called us: such a task must not be brought back. One of a Python
            // subclass may wait in the interpreter's trashcan, which takes it from the collector first, and from
            // 3.14 on keeps a pointer where the count was.
            unsafe { ffi::PyObject_GC_IsTracked(**task) != 0 && ffi::Py_REFCNT(**task) > 0 }
        };
        let own = |task: &*mut ffi::PyObject| {
            // SAFETY: B5, as above. All are owned before anything is allocated, which may run the collector.
            unsafe { Bound::from_borrowed_ptr(py, *task).unbind() }
        };
        live.0.iter().filter(is_alive).map(own).collect()
    });
    PyList::new(py, owned)
}

/// Puts `value` into the dictionary of `class` as `name`; None takes away what is there.
///
/// Setting the attribute is refused by classes made in C, and `__class__` would change the class of the class.
///
/// # Errors
/// TypeError for a class whose dictionary is the interpreter's own (`int`).
#[pyfunction]
#[pyo3(name = "_put_into_class", signature = (class, name, value, /))]
#[allow(unsafe_code)]
pub fn put_into_class(
    class: &Bound<'_, PyType>,
    name: &Bound<'_, PyString>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = class.py();
    let raw = class.as_type_ptr();
    // SAFETY: B4: a live type, whose dictionary is its own or null. The type cache is told.
    unsafe {
        let Some(entries) = Bound::from_borrowed_ptr_or_opt(py, (*raw).tp_dict) else {
            return Err(PyTypeError::new_err(
                "the interpreter's own classes stay as they are",
            ));
        };
        let entries = entries.cast_into::<PyDict>()?;
        match value {
            Some(value) => entries.set_item(name, value)?,
            None if entries.contains(name)? => entries.del_item(name)?,
            None => {}
        }
        ffi::PyType_Modified(raw);
    }
    Ok(())
}
