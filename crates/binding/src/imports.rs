//! Python objects that the binding uses, looked up once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::future::Future;
use crate::task::Task;
use crate::{streams, sync};

/// What is imported from the standard library, by the names it has there.
pub struct Imports {
    /// `asyncio.CancelledError`
    pub cancelled_error: Py<PyType>,
    /// `asyncio.TimeoutError`
    pub timeout_error: Py<PyAny>,
    /// `asyncio.InvalidStateError`
    pub invalid_state_error: Py<PyType>,
    /// `asyncio.Future` as C or Python defines it
    pub asyncio_future: Py<PyAny>,
    /// `asyncio.Task`
    pub asyncio_task: Py<PyAny>,
    /// The names in `asyncio.futures`, where a program may put another `Future`
    pub futures_names: Py<PyDict>,
    /// The names in `asyncio.tasks`, where a program may put another `Task`
    pub tasks_names: Py<PyDict>,
    /// `asyncio.Handle`
    pub asyncio_handle: Py<PyAny>,
    /// `asyncio.events._ThreadSafeHandle`, from 3.14 on: its `cancel` waits for a callback that is running
    pub asyncio_threadsafe_handle: Option<Py<PyAny>>,
    /// `asyncio.TimerHandle`
    pub asyncio_timer_handle: Py<PyAny>,
    /// `asyncio.base_events.BaseEventLoop`
    pub base_event_loop: Py<PyAny>,
    /// `asyncio.events.get_event_loop`, with 3.11's name where it has another
    pub get_event_loop: Py<PyAny>,
    /// `asyncio.events`, whose `_get_running_loop` and `_set_running_loop` may be replaced while a program runs
    pub events: Py<PyAny>,
    /// `asyncio.coroutines.iscoroutine`
    pub iscoroutine: Py<PyAny>,
    /// `asyncio.events.get_running_loop`
    pub get_running_loop: Py<PyAny>,
    /// `asyncio.events._get_running_loop`: None instead of an error
    pub maybe_running_loop: Py<PyAny>,
    /// `asyncio.tasks.current_task`
    pub current_task: Py<PyAny>,
    /// `asyncio.futures.isfuture`
    pub isfuture: Py<PyAny>,
    /// `inspect.isawaitable`
    pub isawaitable: Py<PyAny>,
    /// `types.CoroutineType`
    pub coroutine_type: Py<PyAny>,
    /// `warnings._warn_unawaited_coroutine`
    pub warn_unawaited_coroutine: Py<PyAny>,
    /// `asyncio.tasks._GatheringFuture`
    pub gathering_future: Py<PyAny>,
    /// `concurrent.futures.Future`
    pub concurrent_future: Py<PyAny>,
    /// `asyncio.TaskGroup`
    pub asyncio_task_group: Py<PyAny>,
    /// `asyncio.Timeout`
    pub asyncio_timeout: Py<PyAny>,
    /// `collections.deque`
    pub deque: Py<PyAny>,
    /// `heapq.heappush`
    pub heappush: Py<PyAny>,
    /// `heapq.heappop`
    pub heappop: Py<PyAny>,
    /// `asyncio.IncompleteReadError`
    pub incomplete_read_error: Py<PyAny>,
    /// `asyncio.LimitOverrunError`
    pub limit_overrun_error: Py<PyAny>,
    /// `asyncio.streams.FlowControlMixin`
    pub flow_control_mixin: Py<PyAny>,
    /// `asyncio.QueueEmpty`
    pub queue_empty: Py<PyAny>,
    /// `asyncio.QueueFull`
    pub queue_full: Py<PyAny>,
    /// asyncio's own functions that native ones stand for, by their qualified names, from before any of them is replaced
    pub originals: Py<PyDict>,
    /// `asyncio.BaseTransport`
    pub base_transport: Py<PyAny>,
    /// Its `get_extra_info`, which a program may replace
    pub get_extra_info: Py<PyAny>,
    /// `asyncio.base_futures._future_repr`
    pub future_repr: Py<PyAny>,
    /// `asyncio.base_tasks._task_repr`
    pub task_repr: Py<PyAny>,
    /// `asyncio.base_tasks._task_get_stack`
    pub task_get_stack: Py<PyAny>,
    /// `asyncio.base_tasks._task_print_stack`
    pub task_print_stack: Py<PyAny>,
    /// `asyncio.format_helpers.extract_stack`
    pub extract_stack: Py<PyAny>,
    /// `asyncio.format_helpers._format_callback_source`
    pub format_callback_source: Py<PyAny>,
    /// Whether that function takes `debug=` (3.13 and later hide arguments unless it is true)
    pub format_takes_debug: bool,
    /// `asyncio.base_events._format_handle`
    pub format_handle: Py<PyAny>,
    /// `asyncio.base_events`, whose `logger` may be replaced while a program runs
    pub base_events: Py<PyAny>,
    /// `sys._getframe`
    pub getframe: Py<PyAny>,
    /// `sys.get_asyncgen_hooks`
    pub get_asyncgen_hooks: Py<PyAny>,
    /// `sys.set_asyncgen_hooks`
    pub set_asyncgen_hooks: Py<PyAny>,
    /// `warnings.warn`
    pub warn: Py<PyAny>,
    /// `types.GenericAlias`
    pub generic_alias: Py<PyAny>,
    /// `socket.socket`
    pub socket: Py<PyAny>,
    /// `asyncio.trsock.TransportSocket`
    pub transport_socket: Py<PyAny>,
    /// `asyncio.protocols.BufferedProtocol`
    pub buffered_protocol: Py<PyAny>,
    /// `asyncio.selector_events._SelectorSocketTransport`
    pub selector_socket_transport: Py<PyAny>,
    /// `asyncio.selector_events._SelectorDatagramTransport`
    pub selector_datagram_transport: Py<PyAny>,
    /// `asyncio.unix_events._UnixReadPipeTransport`
    pub unix_read_pipe_transport: Py<PyAny>,
    /// `asyncio.unix_events._UnixWritePipeTransport`
    pub unix_write_pipe_transport: Py<PyAny>,
    /// `asyncio.constants._SendfileMode.TRY_NATIVE`
    pub sendfile_try_native: Py<PyAny>,
    /// `asyncio.futures._set_result_unless_cancelled`
    pub set_result_unless_cancelled: Py<PyAny>,
}

static IMPORTS: PyOnceLock<Imports> = PyOnceLock::new();

/// The imported objects.
///
/// # Errors
/// ImportError or AttributeError, the first time, when the standard library is not as expected.
#[inline]
pub fn imports(py: Python<'_>) -> PyResult<&'static Imports> {
    IMPORTS.get_or_try_init(py, || load(py))
}

fn load(py: Python<'_>) -> PyResult<Imports> {
    let import = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
        Ok(py.import(module)?.getattr(name)?.unbind())
    };
    let import_type = |module: &str, name: &str| -> PyResult<Py<PyType>> {
        Ok(py
            .import(module)?
            .getattr(name)?
            .cast_into::<PyType>()?
            .unbind())
    };
    let events = py.import("asyncio.events")?;
    // 3.11 warns at another depth for `Future()` and `Task()` made outside a loop, through a private twin.
    let get_event_loop = match events.getattr("_get_event_loop") {
        Ok(function) => function,
        Err(_) => events.getattr("get_event_loop")?,
    };
    let format_callback_source = import("asyncio.format_helpers", "_format_callback_source")?;
    let format_takes_debug = py
        .import("inspect")?
        .getattr("signature")?
        .call1((&format_callback_source,))?
        .getattr("parameters")?
        .contains("debug")?;
    Ok(Imports {
        cancelled_error: import_type("asyncio", "CancelledError")?,
        timeout_error: import("asyncio.exceptions", "TimeoutError")?,
        invalid_state_error: import_type("asyncio", "InvalidStateError")?,
        asyncio_future: import("asyncio.futures", "Future")?,
        asyncio_task: import("asyncio.tasks", "Task")?,
        futures_names: py.import("asyncio.futures")?.dict().unbind(),
        tasks_names: py.import("asyncio.tasks")?.dict().unbind(),
        asyncio_handle: import("asyncio.events", "Handle")?,
        asyncio_threadsafe_handle: events.getattr_opt("_ThreadSafeHandle")?.map(Bound::unbind),
        asyncio_timer_handle: import("asyncio.events", "TimerHandle")?,
        base_event_loop: import("asyncio.base_events", "BaseEventLoop")?,
        get_event_loop: get_event_loop.unbind(),
        get_running_loop: events.getattr("get_running_loop")?.unbind(),
        maybe_running_loop: events.getattr("_get_running_loop")?.unbind(),
        current_task: import("asyncio.tasks", "current_task")?,
        isfuture: import("asyncio.futures", "isfuture")?,
        isawaitable: import("inspect", "isawaitable")?,
        coroutine_type: import("types", "CoroutineType")?,
        warn_unawaited_coroutine: import("warnings", "_warn_unawaited_coroutine")?,
        gathering_future: import("asyncio.tasks", "_GatheringFuture")?,
        concurrent_future: import("concurrent.futures", "Future")?,
        asyncio_task_group: import("asyncio.taskgroups", "TaskGroup")?,
        asyncio_timeout: import("asyncio.timeouts", "Timeout")?,
        deque: import("collections", "deque")?,
        heappush: import("heapq", "heappush")?,
        heappop: import("heapq", "heappop")?,
        incomplete_read_error: import("asyncio.exceptions", "IncompleteReadError")?,
        limit_overrun_error: import("asyncio.exceptions", "LimitOverrunError")?,
        flow_control_mixin: import("asyncio.streams", "FlowControlMixin")?,
        queue_empty: import("asyncio.queues", "QueueEmpty")?,
        queue_full: import("asyncio.queues", "QueueFull")?,
        originals: originals(py)?.unbind(),
        events: events.into_any().unbind(),
        iscoroutine: import("asyncio.coroutines", "iscoroutine")?,
        future_repr: import("asyncio.base_futures", "_future_repr")?,
        task_repr: import("asyncio.base_tasks", "_task_repr")?,
        task_get_stack: import("asyncio.base_tasks", "_task_get_stack")?,
        task_print_stack: import("asyncio.base_tasks", "_task_print_stack")?,
        extract_stack: import("asyncio.format_helpers", "extract_stack")?,
        format_callback_source,
        format_takes_debug,
        format_handle: import("asyncio.base_events", "_format_handle")?,
        base_events: py.import("asyncio.base_events")?.into_any().unbind(),
        getframe: import("sys", "_getframe")?,
        get_asyncgen_hooks: import("sys", "get_asyncgen_hooks")?,
        set_asyncgen_hooks: import("sys", "set_asyncgen_hooks")?,
        warn: import("warnings", "warn")?,
        generic_alias: import("types", "GenericAlias")?,
        socket: import("socket", "socket")?,
        transport_socket: import("asyncio.trsock", "TransportSocket")?,
        get_extra_info: import("asyncio.transports", "BaseTransport")?
            .getattr(py, intern!(py, "get_extra_info"))?,
        base_transport: import("asyncio.transports", "BaseTransport")?,
        buffered_protocol: import("asyncio.protocols", "BufferedProtocol")?,
        selector_socket_transport: import("asyncio.selector_events", "_SelectorSocketTransport")?,
        selector_datagram_transport: import(
            "asyncio.selector_events",
            "_SelectorDatagramTransport",
        )?,
        unix_read_pipe_transport: import("asyncio.unix_events", "_UnixReadPipeTransport")?,
        unix_write_pipe_transport: import("asyncio.unix_events", "_UnixWritePipeTransport")?,
        sendfile_try_native: py
            .import("asyncio.constants")?
            .getattr("_SendfileMode")?
            .getattr("TRY_NATIVE")?
            .unbind(),
        set_result_unless_cancelled: import("asyncio.futures", "_set_result_unless_cancelled")?,
    })
}

/// Whether `error` is asyncio's CancelledError.
///
/// # Errors
/// What importing raises.
pub fn is_cancelled_error(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    Ok(error.is_instance(py, imports(py)?.cancelled_error.bind(py)))
}

/// A class of `riata._sync`, which is made after this module.
///
/// # Errors
/// ImportError.
pub fn sync_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("riata._sync")?.getattr(name)
}

/// asyncio's own functions that native ones stand for.
fn originals(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = PyDict::new(py);
    let functions = [
        ("asyncio.tasks", "sleep"),
        ("asyncio.tasks", "wait"),
        ("asyncio.tasks", "wait_for"),
        ("asyncio.tasks", "_AsCompletedIterator._wait_for_one"),
        ("asyncio.tasks", "_AsCompletedIterator.__anext__"),
        ("asyncio.taskgroups", "TaskGroup.__aenter__"),
        ("asyncio.taskgroups", "TaskGroup.__aexit__"),
        ("asyncio.timeouts", "Timeout.__aenter__"),
        ("asyncio.timeouts", "Timeout.__aexit__"),
    ];
    for (module, name) in functions
        .into_iter()
        .chain(sync::method::METHODS.map(sync::method::Method::original))
        .chain(streams::method::METHODS.map(streams::method::Method::original))
    {
        let mut object = Some(py.import(module)?.into_any());
        for part in name.split('.') {
            object = match object {
                Some(object) => object.getattr_opt(part)?,
                None => None,
            };
        }
        let Some(object) = object else {
            continue; // before 3.13 `as_completed` has no iterator
        };
        found.set_item(name, object)?;
    }
    Ok(found)
}

impl Imports {
    /// Whether `asyncio.futures.Future` is what it was, so that a native future may stand for it.
    #[inline]
    pub fn makes_futures(&self, py: Python<'_>) -> PyResult<bool> {
        let now = self
            .futures_names
            .bind(py)
            .get_item(intern!(py, "Future"))?;
        Ok(now.is_some_and(|now| now.is(&self.asyncio_future) || now.is(py.get_type::<Future>())))
    }

    /// Whether `asyncio.tasks.Task` is what it was, so that a native task may stand for it.
    #[inline]
    pub fn makes_tasks(&self, py: Python<'_>) -> PyResult<bool> {
        let now = self.tasks_names.bind(py).get_item(intern!(py, "Task"))?;
        Ok(now.is_some_and(|now| now.is(&self.asyncio_task) || now.is(py.get_type::<Task>())))
    }
}

/// The stack of the calling Python code, as `asyncio.format_helpers.extract_stack` gives it: what debug mode
/// keeps as `_source_traceback`. None when no Python code is running.
pub fn extract_stack(py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
    let imports = imports(py)?;
    let Ok(frame) = imports.getframe.bind(py).call0() else {
        return Ok(None);
    };
    Ok(Some(
        imports.extract_stack.bind(py).call1((frame,))?.unbind(),
    ))
}

/// Sends `context` to `loop.call_exception_handler`.
pub fn call_exception_handler(
    event_loop: &Bound<'_, PyAny>,
    context: &Bound<'_, PyDict>,
) -> PyResult<()> {
    event_loop.call_method1(
        pyo3::intern!(event_loop.py(), "call_exception_handler"),
        (context,),
    )?;
    Ok(())
}
