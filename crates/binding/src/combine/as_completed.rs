//! `as_completed`, and the iterator that it returns: plain, and asynchronous as asyncio's is since Python 3.13.

use std::collections::VecDeque;

use pyo3::exceptions::{PyStopAsyncIteration, PyTimeoutError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PySet;
use pyo3::{PyTraverseError, PyVisit};

use super::alarm::{Alarm, Set};
use super::any_future::{self, Message};
use super::body::{Body, Kind, Stepped};
use super::coroutine::Coroutine;
use super::delegate::Delegate;
use super::ensure_future;
use super::limit;
use super::observer::Observer;
use super::running;
use crate::cell::GilCell;
use crate::coroutine;
use crate::event_loop::work::LoopRef;
use crate::future::Sent;
use crate::imports::imports;
use crate::version::version;

/// Awaitables, seconds, and how many may run.
type Given = (Py<PyAny>, Option<Py<PyAny>>, Option<Py<PyAny>>);

/// Iterator of awaitables in the order in which they are done.
#[pyclass(
    frozen,
    weakref,
    name = "_AsCompletedIterator",
    module = "riata._native"
)]
pub struct AsCompleted {
    /// The awaitables and the timeout, until it begins: before Python 3.13 that is when it is first asked.
    given: GilCell<Option<Given>>,
    /// Those that are not done.
    todo: GilCell<Option<Py<PySet>>>,
    /// Those that are done and were not given out; None for each that the timeout came before.
    done: GilCell<VecDeque<Option<Py<PyAny>>>>,
    /// Futures of those who wait for the next.
    getters: GilCell<VecDeque<Py<PyAny>>>,
    /// How many are to be given out yet.
    left: GilCell<usize>,
    alarm: GilCell<Option<Set>>,
    /// The task that called, for the call graph of Python 3.14.
    caller: GilCell<Option<Py<PyAny>>>,
}

impl AsCompleted {
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some((awaitables, timeout, limit)) = this.given.take(py) else {
            return Ok(());
        };
        let awaitables = awaitables.bind(py);
        check(awaitables)?;
        let event_loop = running::event_loop(py)?;
        if version(py)?.awaited_by {
            let caller = running::task_if_any(py)?;
            this.caller.set(py, caller.map(Bound::unbind));
        }
        let in_turn = match limit {
            None => None,
            Some(limit) => Some(limit::begun_in_turn(awaitables, limit.bind(py))?.into_any()),
        };
        let awaitables = in_turn.as_ref().unwrap_or(awaitables);
        let todo = PySet::empty(py)?;
        for awaitable in py.get_type::<PySet>().call1((awaitables,))?.try_iter()? {
            todo.add(ensure_future::ensure(&awaitable?, Some(&event_loop))?)?;
        }
        let futures: Vec<Bound<'_, PyAny>> = todo.iter().collect();
        for future in &futures {
            any_future::observe(future, Observer::Completed(slf.clone().unbind()))?;
            this.note(future, any_future::add_awaited_by)?;
        }
        if let Some(timeout) = timeout.filter(|timeout| !timeout.is_none(py))
            && !futures.is_empty()
        {
            let alarm = Alarm::Completed(slf.clone().unbind());
            let event_loop = LoopRef::new(&event_loop);
            let set = Set::later(py, &event_loop, timeout.bind(py), alarm)?;
            this.alarm.set(py, Some(set));
        }
        this.left.set(py, futures.len());
        this.todo.set(py, Some(todo.unbind()));
        Ok(())
    }

    fn note(
        &self,
        future: &Bound<'_, PyAny>,
        how: fn(&Bound<'_, PyAny>, Option<&Bound<'_, PyAny>>) -> PyResult<()>,
    ) -> PyResult<()> {
        let caller = self.caller.cloned(future.py());
        how(
            future,
            caller.as_ref().map(|caller| caller.bind(future.py())),
        )
    }

    /// One of the futures is done: asyncio's `_handle_completion`.
    ///
    /// # Errors
    /// What a future that is not ours raises; so for the next.
    pub fn completed(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(todo) = this.todo.cloned(py) else {
            return Ok(());
        };
        let todo = todo.bind(py);
        if todo.is_empty() {
            return Ok(()); // the timeout was here first
        }
        todo.discard(future)?;
        this.note(future, any_future::discard_awaited_by)?;
        this.put(py, Some(future))?;
        if todo.is_empty()
            && let Some(set) = this.alarm.take(py)
        {
            set.cancel(py)?;
        }
        Ok(())
    }

    /// The time is over: `_handle_timeout`.
    pub fn time_out(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(todo) = this.todo.cloned(py) else {
            return Ok(());
        };
        let todo = todo.bind(py);
        let futures: Vec<Bound<'_, PyAny>> = todo.iter().collect();
        for future in &futures {
            any_future::unobserve(future, Observer::Completed(slf.clone().unbind()))?;
            this.note(future, any_future::discard_awaited_by)?;
            this.put(py, None)?;
        }
        todo.clear();
        Ok(())
    }

    fn put(&self, py: Python<'_>, future: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let future = future.map(|future| future.clone().unbind());
        self.done.with(py, |done| done.push_back(future));
        self.wake_next(py)
    }

    /// Wakes the first who waits and was not woken.
    fn wake_next(&self, py: Python<'_>) -> PyResult<()> {
        while let Some(getter) = self.getters.with(py, |getters| getters.pop_front()) {
            let getter = getter.bind(py);
            if !any_future::is_done(getter)? {
                return any_future::set_result(getter, py.None().into_bound(py));
            }
        }
        Ok(())
    }

    /// One fewer to be given out; false when there is none.
    fn take_turn(&self, py: Python<'_>) -> bool {
        self.left.with(py, |left| {
            let any = *left > 0;
            *left = left.saturating_sub(1);
            any
        })
    }
}

fn check(awaitables: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = awaitables.py();
    let name = || awaitables.get_type().name().map(|name| name.to_string());
    if version(py)?.as_completed_begins_at_once {
        let isawaitable = imports(py)?.isawaitable.bind(py);
        if isawaitable.call1((awaitables,))?.is_truthy()? {
            let text = format!("expects an iterable of awaitables, not {}", name()?);
            return Err(PyTypeError::new_err(text));
        }
    } else if any_future::is_future(awaitables)? || coroutine::is_coroutine(awaitables)? {
        let text = format!("expect an iterable of futures, not {}", name()?);
        return Err(PyTypeError::new_err(text));
    }
    Ok(())
}

#[pymethods]
impl AsCompleted {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, Coroutine>>> {
        let py = slf.py();
        Self::begin(slf)?;
        if !slf.get().take_turn(py) {
            return Ok(None);
        }
        let body = Next::Created(slf.clone().unbind(), Gives::Result);
        Coroutine::create(py, Kind::WaitForOne, Body::Next(body)).map(Some)
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let body = Next::Created(slf.clone().unbind(), Gives::Future);
        Coroutine::create(slf.py(), Kind::NextCompleted, Body::Next(body))
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            if let Some((awaitables, timeout, limit)) = self.given.traverse() {
                visit.call(awaitables)?;
                visit.call(timeout)?;
                visit.call(limit)?;
            }
            visit.call(self.todo.traverse())?;
            for future in self.done.traverse() {
                visit.call(future)?;
            }
            for getter in self.getters.traverse() {
                visit.call(getter)?;
            }
            visit.call(self.caller.traverse())?;
            match self.alarm.traverse() {
                Some(set) => set.traverse(&visit),
                None => Ok(()),
            }
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.given.set(py, None);
            self.todo.set(py, None);
            drop(self.done.take(py));
            drop(self.getters.take(py));
            self.caller.set(py, None);
            self.alarm.set(py, None);
        });
    }
}

/// What a coroutine of the iterator gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// The future that is done next.
    Future,
    /// Its result.
    Result,
}

/// What waits for the next future: asyncio's `_wait_for_one`.
pub enum Next {
    /// Not begun.
    Created(Py<AsCompleted>, Gives),
    /// Until one is done: the future by which to hear of it.
    Getting(Py<AsCompleted>, Gives, Py<PyAny>, Delegate),
}

impl Next {
    /// One step.
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        let stepped = match (self, thrown) {
            (Self::Created(_, _), Some(error)) => Err(error),
            (Self::Created(iterator, gives), None) => Self::begin(py, iterator, gives),
            (Self::Getting(iterator, gives, getter, awaited), thrown) => {
                let sent = match thrown {
                    None => awaited.send(py),
                    Some(error) => awaited.throw(py, error),
                };
                Self::got(py, iterator, gives, (getter, awaited), sent)
            }
        };
        stepped.unwrap_or_else(Stepped::Raise)
    }

    fn begin(py: Python<'_>, iterator: Py<AsCompleted>, gives: Gives) -> PyResult<Stepped> {
        if gives == Gives::Future {
            AsCompleted::begin(iterator.bind(py))?;
            if !iterator.get().take_turn(py) {
                return Err(PyStopAsyncIteration::new_err(()));
            }
        }
        Self::get(py, iterator, gives)
    }

    /// `Queue.get` of asyncio's queue.
    fn get(py: Python<'_>, iterator: Py<AsCompleted>, gives: Gives) -> PyResult<Stepped> {
        let this = iterator.get();
        if let Some(next) = this.done.with(py, |done| done.pop_front()) {
            let Some(future) = next else {
                return Err(PyTimeoutError::new_err(()));
            };
            return Ok(Stepped::Return(match gives {
                Gives::Future => future,
                Gives::Result => any_future::result(future.bind(py))?.unbind(),
            }));
        }
        let getter = LoopRef::new(&running::running_loop(py)?).create_future(py)?;
        let kept = getter.clone().unbind();
        this.getters.with(py, |getters| getters.push_back(kept));
        let awaited = Delegate::new(&getter)?;
        let sent = awaited.send(py);
        Self::got(py, iterator, gives, (getter.unbind(), awaited), sent)
    }

    fn got(
        py: Python<'_>,
        iterator: Py<AsCompleted>,
        gives: Gives,
        (getter, awaited): (Py<PyAny>, Delegate),
        sent: PyResult<Sent>,
    ) -> PyResult<Stepped> {
        match sent {
            Ok(Sent::Yield(yielded)) => {
                let body = Self::Getting(iterator, gives, getter, awaited);
                Ok(Stepped::Yield(Body::Next(body), yielded))
            }
            Ok(Sent::Return(_)) => Self::get(py, iterator, gives),
            Err(error) => {
                let this = iterator.get();
                let getter = getter.bind(py);
                any_future::cancel(getter, Message::None)?;
                let gone: VecDeque<Py<PyAny>> = this.getters.with(py, |getters| {
                    let all = std::mem::take(getters);
                    let (gone, kept) = all.into_iter().partition(|other| other.is(getter));
                    *getters = kept;
                    gone
                });
                drop(gone);
                let waiting = this.done.with(py, |done| !done.is_empty());
                if waiting && !any_future::is_cancelled(getter)? {
                    this.wake_next(py)?;
                }
                if version(py)?.as_completed_counts_again {
                    this.left.with(py, |left| *left += 1);
                }
                Err(error)
            }
        }
    }

    /// What `cr_await` shows.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Created(..) => None,
            Self::Getting(_, _, _, awaited) => Some(awaited.clone_ref(py)),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Created(iterator, _) => visit.call(iterator),
            Self::Getting(iterator, _, getter, awaited) => {
                visit.call(iterator)?;
                visit.call(getter)?;
                awaited.traverse(visit)
            }
        }
    }
}

/// Iterate over awaitables in the order in which they are done.
///
/// A plain `for` gives coroutines, each of the result of the next; `async for` gives the futures themselves. With a timeout
/// (seconds) those that come later raise TimeoutError. With a limit no more coroutines than that run at a time; the others
/// begin, in their order, as those end.
///
/// Raises TypeError for a single awaitable, ValueError for a limit below 1.
#[pyfunction]
#[pyo3(signature = (fs, *, timeout = None, limit = None))]
pub fn as_completed<'py>(
    py: Python<'py>,
    fs: Py<PyAny>,
    timeout: Option<Py<PyAny>>,
    limit: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, AsCompleted>> {
    let iterator = Bound::new(
        py,
        AsCompleted {
            given: GilCell::new(Some((fs, timeout, limit))),
            todo: GilCell::new(None),
            done: GilCell::default(),
            getters: GilCell::default(),
            left: GilCell::new(0),
            alarm: GilCell::new(None),
            caller: GilCell::new(None),
        },
    )?;
    if version(py)?.as_completed_begins_at_once {
        AsCompleted::begin(&iterator)?;
    }
    Ok(iterator)
}
