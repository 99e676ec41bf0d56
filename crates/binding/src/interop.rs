//! What CPython's own `_asyncio` must be told, and where Python versions differ: one file.
//!
//! - The current task: a dictionary `asyncio.tasks._current_tasks` on 3.11 to 3.13, the thread state (through
//!   `_asyncio._swap_current_task`) from 3.14 on.
//! - All tasks: a list of our own, which asyncio's hidden sets are made to see (see `riata._interop`).
//! - `create_task`: which keywords it takes, read off asyncio's own signature.
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

/// What was found out about this Python, once.
pub struct Version {
    current: CurrentTask,
    /// `create_task` takes any keywords and hands them to the task (3.13.3 and later).
    pub create_task_is_open: bool,
    /// Futures note who awaits them.
    pub awaited_by: bool,
    /// `gather` and task groups hear at once of children that are done already.
    pub done_children_at_once: bool,
    /// An exception that nobody awaits behind a cancelled `shield` is not marked as looked at.
    pub shield_leaves_exceptions: bool,
    /// A timeout finds its CancelledError in the contexts of another exception.
    pub timeout_looks_into_contexts: bool,
    /// `wait_for` makes a task of what it waits for (3.11).
    pub wait_for_makes_a_task: bool,
    /// `as_completed` makes its tasks when it is called, and not when it is first asked (3.13).
    pub as_completed_begins_at_once: bool,
    /// Who was cancelled while waiting for the next of `as_completed` has not used it up (3.14).
    pub as_completed_counts_again: bool,
    /// A wrapped future whose other is done on the loop's own thread is done at once (3.14).
    pub chains_at_once: bool,
    /// What task groups do.
    pub task_groups: TaskGroups,
    /// `sleep(nan)` raises.
    pub sleep_refuses_nan: bool,
    /// A future is made once: `__init__` refuses to do it again.
    pub initialized_once: bool,
    /// A task's context must be one of contextvars' own.
    checks_context: bool,
    /// `Server._attach` and `_detach` are given the transport (3.13 and later).
    pub server_takes_transport: bool,
    /// `writelines` is `write` of all joined.
    pub writelines_joins: bool,
    /// `sendto` sends a datagram without bytes, and does not ignore it.
    pub sends_empty_datagrams: bool,
    /// What a datagram counts besides its bytes while it waits to be sent.
    pub datagram_header: usize,
    /// How a transport calls what it takes.
    pub bytes_like_text: &'static str,
    /// An accept loop takes one connection more than the backlog.
    pub accepts_one_more: bool,
    /// A TLS transport is closing when the one below is.
    pub tls_closes_with_lower: bool,
    /// The shutdown timeout goes on until the connection is lost.
    pub tls_shutdown_timeout_covers_close: bool,
    /// Aborting a TLS connection hands the reason on.
    pub tls_abort_tells: bool,
    /// A StopIteration set as an exception becomes a RuntimeError.
    stop_iteration_becomes_error: bool,
    /// `throw(type, value, traceback)` is deprecated.
    throw_deprecated: bool,
    /// An exception that is set is an object.
    exceptions_at_once: bool,
}

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

static VERSION: PyOnceLock<Version> = PyOnceLock::new();

/// What was found out about this Python.
///
/// # Errors
/// ImportError or AttributeError, the first time, when asyncio is not as expected.
#[inline]
pub fn version(py: Python<'_>) -> PyResult<&'static Version> {
    VERSION.get_or_try_init(py, || {
        let tasks = py.import("asyncio.tasks")?;
        let tls = py.import("asyncio.sslproto")?.getattr("SSLProtocol")?;
        let info = py.version_info();
        let entries = tasks
            .getattr("_current_tasks")?
            .cast_into::<PyDict>()?
            .unbind();
        let current = if info >= (3, 14) {
            let c = py.import("_asyncio")?;
            CurrentTask::Swap {
                swap: c.getattr("_swap_current_task")?.unbind(),
                set_running_loop: c.getattr("_set_running_loop")?.unbind(),
                python_tasks: entries,
            }
        } else {
            CurrentTask::Dict(entries)
        };
        Ok(Version {
            current,
            create_task_is_open: takes_any_keyword(py, "create_task")?,
            awaited_by: info >= (3, 14),
            done_children_at_once: info >= (3, 12),
            shield_leaves_exceptions: info >= (3, 14),
            timeout_looks_into_contexts: info >= (3, 13),
            wait_for_makes_a_task: info < (3, 12),
            as_completed_begins_at_once: info >= (3, 13),
            as_completed_counts_again: counts_again(py)?,
            chains_at_once: info >= (3, 14),
            task_groups: TaskGroups::read(py)?,
            sleep_refuses_nan: info >= (3, 13),
            initialized_once: info >= (3, 15),
            checks_context: info >= (3, 15),
            server_takes_transport: takes_transport(py)?,
            writelines_joins: info < (3, 12),
            sends_empty_datagrams: info >= (3, 13),
            datagram_header: if info >= (3, 13) { 8 } else { 0 },
            bytes_like_text: match info >= (3, 14) {
                true => "bytes, bytearray, or memoryview object",
                false => "bytes-like object",
            },
            accepts_one_more: info >= (3, 14),
            tls_closes_with_lower: tls.hasattr("_is_transport_closing")?,
            tls_shutdown_timeout_covers_close: code(&tls, "_on_shutdown_complete")?
                .getattr("co_names")?
                .contains("call_later")?,
            tls_abort_tells: takes_argument(&tls, "_abort")?,
            stop_iteration_becomes_error: info >= (3, 13),
            throw_deprecated: info >= (3, 12),
            exceptions_at_once: info >= (3, 12),
        })
    })
}

/// Whether asyncio's `_wait_for_one` takes back that a future was used up.
fn counts_again(py: Python<'_>) -> PyResult<bool> {
    let originals = imports(py)?.originals.bind(py);
    match originals.get_item("_AsCompletedIterator._wait_for_one")? {
        Some(function) => function
            .getattr("__code__")?
            .getattr("co_names")?
            .contains("_todo_left"),
        None => Ok(false),
    }
}

/// What task groups do in this Python. Releases of one minor version differ, so it is read off asyncio's own code.
pub struct TaskGroups {
    /// `create_task` closes a coroutine that it refuses (3.13).
    pub closes_refused: bool,
    /// `create_task` takes any keyword and hands it on (3.13.3).
    pub takes_any_keyword: bool,
    /// A task gets its name when it is made already (to 3.12).
    pub names_afterwards: bool,
    /// A task that is done when it is made is heard of at once (3.12 to 3.13.1).
    pub hears_at_once: bool,
    /// A task that has cancelled the group while it was made is cancelled too (3.15).
    pub cancels_late_joiners: bool,
    /// The parent's cancellation is taken back when the tasks are done (3.13), and not before.
    pub uncancels_late: bool,
    /// A parent that is cancelled from outside stays so (3.13).
    pub keeps_cancel_count: bool,
    /// A cancellation that came while the tasks were waited for is not lost (3.15).
    pub keeps_pending_cancellation: bool,
    /// GeneratorExit out of the body is raised as it is (3.15).
    pub lets_generator_exit_pass: bool,
}

impl TaskGroups {
    fn read(py: Python<'_>) -> PyResult<Self> {
        let class = imports(py)?.asyncio_task_group.bind(py);
        let create = class.getattr("create_task")?.getattr("__code__")?;
        let exit = match class.getattr_opt("_aexit")? {
            Some(exit) => exit,
            None => class.getattr("__aexit__")?,
        };
        let exit = exit.getattr("__code__")?;
        let names = |code: &Bound<'_, PyAny>, name: &str| code.getattr("co_names")?.contains(name);
        const CO_VARKEYWORDS: u32 = 0x8; // Include/cpython/code.h
        let flags: u32 = create.getattr("co_flags")?.extract()?;
        let cancels_late_joiners = names(&create, "cancel")?;
        let keeps_cancel_count = names(&exit, "cancelling")?;
        Ok(Self {
            closes_refused: names(&create, "close")?,
            takes_any_keyword: flags & CO_VARKEYWORDS != 0,
            names_afterwards: names(&create, "_set_task_name")?,
            hears_at_once: names(&create, "done")? && !cancels_late_joiners,
            cancels_late_joiners,
            uncancels_late: keeps_cancel_count,
            keeps_cancel_count,
            keeps_pending_cancellation: exit
                .getattr("co_varnames")?
                .contains("pending_cancellation_error")?,
            lets_generator_exit_pass: names(&exit, "GeneratorExit")?,
        })
    }
}

/// Whether asyncio's server wants to know which transport attaches.
fn takes_transport(py: Python<'_>) -> PyResult<bool> {
    takes_argument(
        &py.import("asyncio.base_events")?.getattr("Server")?,
        "_attach",
    )
}

/// The code of a method of one of asyncio's classes.
fn code<'py>(class: &Bound<'py, PyAny>, method: &str) -> PyResult<Bound<'py, PyAny>> {
    class.getattr(method)?.getattr("__code__")
}

/// Whether a method of one of asyncio's classes takes more than `self`.
fn takes_argument(class: &Bound<'_, PyAny>, method: &str) -> PyResult<bool> {
    Ok(code(class, method)?
        .getattr("co_argcount")?
        .extract::<usize>()?
        > 1)
}

/// Whether asyncio's loop method `name` takes `**kwargs` in this Python.
fn takes_any_keyword(py: Python<'_>, name: &str) -> PyResult<bool> {
    let inspect = py.import("inspect")?;
    let method = imports(py)?.base_event_loop.bind(py).getattr(name)?;
    let variable = inspect.getattr("Parameter")?.getattr("VAR_KEYWORD")?;
    let parameters = inspect
        .call_method1("signature", (method,))?
        .getattr("parameters")?
        .call_method0("values")?;
    for parameter in parameters.try_iter()? {
        if parameter?.getattr("kind")?.eq(&variable)? {
            return Ok(true);
        }
    }
    Ok(false)
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
    } = &version(py)?.current
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
    match &version(py)?.current {
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

/// Whether setting an exception makes it, and not only when somebody asks for it.
#[inline]
pub fn makes_exceptions_at_once(py: Python<'_>) -> bool {
    VERSION
        .get(py)
        .is_some_and(|version| version.exceptions_at_once)
}

/// Makes `task` the current one of `event_loop`, whatever was.
#[inline]
pub fn set_current_task(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    match &version(event_loop.py())?.current {
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
    match &version(py)?.current {
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
    match &version(py)?.current {
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
    if let CurrentTask::Dict(entries) = &version(py)?.current {
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
