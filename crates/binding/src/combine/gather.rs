//! `gather`, and the future that it returns.

use std::collections::HashMap;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::any_future::{self, Message};
use super::ensure_future;
use super::limit;
use super::observer::Observer;
use super::running;
use crate::cell::GilCell;
use crate::event_loop::work::LoopRef;
use crate::future::Future;
use crate::imports::imports;
use crate::task::Task;
use crate::unwritten::is_unwritten;
use crate::version::version;

/// The future that `gather` returns: `asyncio.tasks._GatheringFuture`. Cancelling it cancels its children.
#[pyclass(frozen, extends = Future, weakref, name = "_GatheringFuture", module = "riata._native")]
pub struct GatheringFuture {
    /// One for each argument: the same future twice if it was given twice.
    children: GilCell<Vec<Py<PyAny>>>,
    /// How many different children are not done.
    left: GilCell<usize>,
    /// Whether every child is there: until then nothing is decided.
    whole: GilCell<bool>,
    cancel_requested: GilCell<bool>,
    return_exceptions: bool,
    /// The task that called `gather`, for the call graph of Python 3.14.
    caller: GilCell<Option<Py<PyAny>>>,
}

impl GatheringFuture {
    fn create<'py>(
        py: Python<'py>,
        return_exceptions: bool,
        caller: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let this = Self {
            children: GilCell::new(Vec::new()),
            left: GilCell::new(0),
            whole: GilCell::new(false),
            cancel_requested: GilCell::new(false),
            return_exceptions,
            caller: GilCell::new(caller.map(Bound::unbind)),
        };
        Bound::new(
            py,
            PyClassInitializer::from(Future::unbound()).add_subclass(this),
        )
    }

    /// A child is done: `_done_callback` of asyncio's `gather`.
    ///
    /// # Errors
    /// What a future that is not ours raises.
    pub fn child_done(slf: &Bound<'_, Self>, child: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let outer = slf.as_super();
        let left = this.left.with(py, |left| {
            *left = left.saturating_sub(1);
            *left
        });
        let caller = this.caller.cloned(py);
        let caller = caller.as_ref().map(|caller| caller.bind(py));
        any_future::discard_awaited_by(child, caller)?;
        let cancelled = any_future::is_cancelled(child)?;
        if !this.whole.get(py) || outer.get().is_done(py) {
            if !cancelled {
                any_future::exception(child)?; // it counts as looked at
            }
            return Ok(());
        }
        if !this.return_exceptions {
            let error = match cancelled {
                true => Some(any_future::cancelled_error(child)?),
                false => any_future::exception(child)?,
            };
            if let Some(error) = error {
                if caller.is_some() && version(py)?.awaited_by {
                    for child in this.copied(py) {
                        any_future::discard_awaited_by(&child, caller)?;
                    }
                }
                return Future::fail(outer, &error);
            }
        }
        match left {
            0 => Self::conclude(slf),
            _ => Ok(()),
        }
    }

    fn copied<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        self.children.with(py, |children| {
            children
                .iter()
                .map(|child| child.bind(py).clone())
                .collect()
        })
    }

    /// All children are done: the list of their results.
    fn conclude(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let children = this.copied(py);
        let mut results = Vec::with_capacity(children.len());
        for child in &children {
            results.push(if any_future::is_cancelled(child)? {
                let message = child.getattr(intern!(py, "_cancel_message"))?;
                let class = imports(py)?.cancelled_error.bind(py);
                match message.is_none() {
                    true => class.call1(("",))?,
                    false => class.call1((message,))?,
                }
            } else {
                match any_future::exception(child)? {
                    Some(exception) => exception,
                    None => any_future::result(child)?,
                }
            });
        }
        if this.cancel_requested.get(py)
            && let Some(last) = children.last()
        {
            let error = any_future::cancelled_error(last)?;
            return Future::fail(slf.as_super(), &error);
        }
        let results = PyList::new(py, results)?;
        Future::finish(slf.as_super(), results.into_any().unbind())
    }

    /// `cancel`: asks every child; the future itself ends when they have.
    ///
    /// # Errors
    /// What the `cancel` of a child that is not ours raises.
    pub fn request_cancel(
        slf: &Bound<'_, Self>,
        message: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let py = slf.py();
        if slf.as_super().get().is_done(py) {
            return Ok(false);
        }
        let mut any = false;
        for child in slf.get().copied(py) {
            any |= any_future::cancel(&child, Message::Given(message))?;
        }
        if any {
            slf.get().cancel_requested.set(py, true);
        }
        Ok(any)
    }
}

#[pymethods]
impl GatheringFuture {
    /// `asyncio.tasks._GatheringFuture`.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports(py)?.gathering_future.clone_ref(py))
    }

    /// Cancel all children that are not done; False when there is none.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Self::request_cancel(slf, msg)
    }

    #[getter]
    fn _children<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.copied(py))
    }

    #[getter]
    fn _cancel_requested(&self, py: Python<'_>) -> bool {
        self.cancel_requested.get(py)
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        // SAFETY: B3: called by the collector.
        unsafe {
            for child in self.children.traverse() {
                visit.call(child)?;
            }
            visit.call(self.caller.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            drop(self.children.take(py));
            self.caller.set(py, None);
        });
    }
}

/// Which arguments came before. Coroutines and native futures are compared by identity, and need no dictionary.
enum Seen<'py> {
    Few(Vec<*mut ffi::PyObject>),
    Many(HashMap<*mut ffi::PyObject, usize>),
    ByValue(Bound<'py, PyDict>),
}

impl<'py> Seen<'py> {
    /// Up to how many arguments each is compared with all before.
    const FEW: usize = 16;

    fn new(arguments: &Bound<'py, PyTuple>) -> Self {
        let by_identity = |argument: &Bound<'_, PyAny>| {
            crate::coroutine::is_exact(argument) || any_future::native(argument).is_some()
        };
        if !arguments.iter().all(|argument| by_identity(&argument)) {
            return Self::ByValue(PyDict::new(arguments.py()));
        }
        match arguments.len() <= Self::FEW {
            true => Self::Few(Vec::with_capacity(arguments.len())),
            false => Self::Many(HashMap::with_capacity(arguments.len())),
        }
    }

    /// At which place the same argument stood before.
    fn find(&self, argument: &Bound<'py, PyAny>) -> PyResult<Option<usize>> {
        match self {
            Self::Few(seen) => Ok(seen.iter().position(|before| *before == argument.as_ptr())),
            Self::Many(seen) => Ok(seen.get(&argument.as_ptr()).copied()),
            Self::ByValue(seen) => seen
                .get_item(argument)?
                .map(|place| place.extract())
                .transpose(),
        }
    }

    fn note(&mut self, argument: &Bound<'py, PyAny>, place: usize) -> PyResult<()> {
        match self {
            Self::Few(seen) => seen.push(argument.as_ptr()),
            Self::Many(seen) => {
                seen.entry(argument.as_ptr()).or_insert(place);
            }
            Self::ByValue(seen) => seen.set_item(argument, place)?,
        }
        Ok(())
    }
}

/// Run awaitables concurrently; return a future of the list of their results, in the order of the arguments.
///
/// The first exception is the future's at once, and the others run on; with return_exceptions=True exceptions are
/// results. Cancelling the future cancels all that are not done. With a limit no more coroutines than that run at a time; the
/// others begin, in their order, as those end. Futures that are given run anyway.
///
/// Raises TypeError for what is no awaitable, ValueError for futures of different loops and a limit below 1.
#[pyfunction]
#[pyo3(
    signature = (*coros_or_futures, return_exceptions = None, limit = None),
    text_signature = "(*coros_or_futures, return_exceptions=False, limit=None)"
)]
pub fn gather<'py>(
    coros_or_futures: &Bound<'py, PyTuple>,
    return_exceptions: Option<&Bound<'py, PyAny>>,
    limit: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coros_or_futures.py();
    let in_turn = match limit {
        None => None,
        Some(limit) => Some(limit::begun_in_turn(coros_or_futures, limit)?),
    };
    let coros_or_futures = in_turn.as_ref().unwrap_or(coros_or_futures);
    let return_exceptions = match return_exceptions {
        Some(value) => value.is_truthy()?,
        None => false,
    };
    if coros_or_futures.is_empty() {
        let event_loop = running::event_loop(py)?;
        let outer = LoopRef::new(&event_loop).create_future(py)?;
        outer.call_method1(intern!(py, "set_result"), (PyList::empty(py),))?;
        return Ok(outer);
    }
    let version = version(py)?;
    let caller = match version.awaited_by {
        true => running::task_if_any(py)?,
        false => None,
    };
    let mut event_loop = match version.awaited_by {
        true => running::loop_if_any(py)?, // 3.14 and later take it before they look at the first argument
        false => None,
    };
    let gathering = GatheringFuture::create(py, return_exceptions, caller)?;
    let this = gathering.get();
    let mut children: Vec<Bound<'py, PyAny>> = Vec::with_capacity(coros_or_futures.len());
    let mut seen = Seen::new(coros_or_futures);
    let mut done = Vec::new();
    for (place, argument) in coros_or_futures.iter().enumerate() {
        if let Some(before) = seen.find(&argument)? {
            seen.note(&argument, before)?;
            let again = children.get(before).cloned();
            children.push(again.ok_or_else(|| PyRuntimeError::new_err("gather: lost child"))?);
            continue;
        }
        let child = ensure_future::ensure(&argument, event_loop.as_ref())?;
        if event_loop.is_none() {
            event_loop = Some(any_future::event_loop(&child)?);
        }
        if !child.is(&argument) {
            forget_pending(&child)?;
        }
        this.left.with(py, |left| *left += 1);
        seen.note(&argument, place)?;
        if version.done_children_at_once && any_future::is_done(&child)? {
            done.push(child.clone());
        } else {
            let caller = this.caller.cloned(py);
            any_future::add_awaited_by(&child, caller.as_ref().map(|caller| caller.bind(py)))?;
            any_future::observe(&child, Observer::Gather(gathering.clone().unbind()))?;
        }
        children.push(child);
    }
    Future::bind(gathering.as_super(), event_loop.as_ref())?;
    let children = children.into_iter().map(Bound::unbind).collect();
    this.children.set(py, children);
    this.whole.set(py, true);
    for child in done {
        GatheringFuture::child_done(&gathering, &child)?;
    }
    Ok(gathering.into_any())
}

/// The child is ours alone, so nobody could have kept it: no "Task was destroyed" for it.
fn forget_pending(child: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = child.py();
    match child.cast_exact::<Task>() {
        Ok(task) => {
            task.get().forget_destroy_pending(py);
            Ok(())
        }
        Err(_) => child.setattr(intern!(py, "_log_destroy_pending"), false),
    }
}
