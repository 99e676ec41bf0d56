//! Where Python versions differ, found out once: by the version's number, or, where releases of one minor version differ,
//! read off asyncio's own code and signatures.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::imports::imports;

/// What was found out about this Python, once.
pub struct Version {
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
    pub checks_context: bool,
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
    /// A stream's protocol is told of everything in one context, that in which the connection was made (3.15).
    pub streams_keep_context: bool,
    /// An accept loop takes one connection more than the backlog.
    pub accepts_one_more: bool,
    /// A TLS transport is closing when the one below is.
    pub tls_closes_with_lower: bool,
    /// The shutdown timeout goes on until the connection is lost.
    pub tls_shutdown_timeout_covers_close: bool,
    /// Aborting a TLS connection hands the reason on.
    pub tls_abort_tells: bool,
    /// A StopIteration set as an exception becomes a RuntimeError.
    pub stop_iteration_becomes_error: bool,
    /// `throw(type, value, traceback)` is deprecated.
    pub throw_deprecated: bool,
    /// An exception that is set is an object.
    exceptions_at_once: bool,
}

static VERSION: PyOnceLock<Version> = PyOnceLock::new();

/// What was found out about this Python.
///
/// # Errors
/// ImportError or AttributeError, the first time, when asyncio is not as expected.
#[inline]
pub fn version(py: Python<'_>) -> PyResult<&'static Version> {
    VERSION.get_or_try_init(py, || {
        let tls = py.import("asyncio.sslproto")?.getattr("SSLProtocol")?;
        let info = py.version_info();
        Ok(Version {
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
            streams_keep_context: info >= (3, 15),
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

/// Whether setting an exception makes it, and not only when somebody asks for it.
#[inline]
pub fn makes_exceptions_at_once(py: Python<'_>) -> bool {
    version(py).is_ok_and(|version| version.exceptions_at_once)
}
