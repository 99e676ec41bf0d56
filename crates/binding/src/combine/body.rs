//! What native coroutines do: one variant for each function of asyncio that is one.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::as_completed::Next;
use super::delegate::Delegate;
use super::sleep::Sleep;
use super::task_group::TaskGroup;
use super::task_group_exit::GroupExit;
use super::timeout::Timeout;
use super::wait::Wait;
use super::wait_for::WaitFor;
use crate::imports::imports;
use crate::streams;
use crate::sync::method::Method;
use crate::sync::step::Step;

/// What a coroutine has still to do.
#[derive(Default)]
pub enum Body {
    /// Nothing: it has ended, or its step is running.
    #[default]
    Done,
    /// `sleep`
    Sleep(Sleep),
    /// `wait`
    Wait(Wait),
    /// `wait_for`
    WaitFor(WaitFor),
    /// The next of `as_completed`
    Next(Next),
    /// `TaskGroup.__aenter__`
    GroupEnter(Py<TaskGroup>),
    /// `TaskGroup.__aexit__`
    GroupExit(GroupExit),
    /// `Timeout.__aenter__`
    TimeoutEnter(Py<Timeout>),
    /// `Timeout.__aexit__`, and what the body raised
    TimeoutExit(Py<Timeout>, Option<Py<PyAny>>),
    /// A method of a lock or a queue
    Sync(Step),
    /// A method of a stream
    Stream(streams::method::Step),
}

/// What came of one step.
pub enum Stepped {
    /// It waits: what it will do then, and what it yields to the loop.
    Yield(Body, Py<PyAny>),
    /// It returned.
    Return(Py<PyAny>),
    /// It raised.
    Raise(PyErr),
}

impl Body {
    /// One step, which throws an exception where it waits if there is one.
    #[inline]
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match self {
            Self::Sleep(sleep) => sleep.step(py, thrown),
            Self::Wait(wait) => wait.step(py, thrown),
            Self::WaitFor(wait_for) => wait_for.step(py, thrown),
            Self::Next(next) => next.step(py, thrown),
            Self::GroupEnter(group) => match TaskGroup::enter(group.bind(py)) {
                Ok(()) => Stepped::Return(group.into_any()),
                Err(error) => Stepped::Raise(error),
            },
            Self::GroupExit(exit) => exit.step(py, thrown),
            Self::TimeoutEnter(timeout) => match Timeout::enter(timeout.bind(py)) {
                Ok(()) => Stepped::Return(timeout.into_any()),
                Err(error) => Stepped::Raise(error),
            },
            Self::TimeoutExit(timeout, raised) => {
                let raised = raised.as_ref().map(|raised| raised.bind(py));
                match Timeout::leave(timeout.bind(py), raised) {
                    Ok(()) => Stepped::Return(py.None()),
                    Err(error) => Stepped::Raise(error),
                }
            }
            Self::Sync(step) => step.step(py, thrown),
            Self::Stream(step) => step.step(py, thrown),
            Self::Done => Stepped::Return(py.None()),
        }
    }

    /// What it awaits.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Sleep(sleep) => sleep.awaited(py),
            Self::Wait(wait) => wait.awaited(py),
            Self::WaitFor(wait_for) => wait_for.awaited(py),
            Self::Sync(step) => step.awaited(py),
            Self::Next(next) => next.awaited(py),
            Self::GroupExit(exit) => exit.awaited(py),
            Self::GroupEnter(_) | Self::TimeoutEnter(_) | Self::TimeoutExit(..) | Self::Done => {
                None
            }
            Self::Stream(step) => step.awaited(py),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Sleep(sleep) => sleep.traverse(visit),
            Self::Wait(wait) => wait.traverse(visit),
            Self::WaitFor(wait_for) => wait_for.traverse(visit),
            Self::Next(next) => next.traverse(visit),
            Self::GroupEnter(group) => visit.call(group),
            Self::GroupExit(exit) => exit.traverse(visit),
            Self::TimeoutEnter(timeout) => visit.call(timeout),
            Self::TimeoutExit(timeout, raised) => {
                visit.call(timeout)?;
                visit.call(raised)
            }
            Self::Sync(step) => step.traverse(visit),
            Self::Stream(step) => step.traverse(visit),
            Self::Done => Ok(()),
        }
    }
}

/// Which coroutine function of asyncio's a coroutine came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `asyncio.sleep`
    Sleep,
    /// `asyncio.wait`
    Wait,
    /// `asyncio.wait_for`
    WaitFor,
    /// `_wait_for_one` of `as_completed`
    WaitForOne,
    /// `__anext__` of `as_completed`, since 3.13
    NextCompleted,
    /// `asyncio.TaskGroup.__aenter__`
    GroupEnter,
    /// `asyncio.TaskGroup.__aexit__`
    GroupExit,
    /// `asyncio.Timeout.__aenter__`
    TimeoutEnter,
    /// `asyncio.Timeout.__aexit__`
    TimeoutExit,
    /// A method of a lock or a queue
    Method(Method),
    /// A method of a stream
    Stream(streams::method::Method),
}

impl Kind {
    /// The function's `__qualname__`.
    pub fn qualname(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Wait => "wait",
            Self::WaitFor => "wait_for",
            Self::WaitForOne => "_AsCompletedIterator._wait_for_one",
            Self::NextCompleted => "_AsCompletedIterator.__anext__",
            Self::GroupEnter => "TaskGroup.__aenter__",
            Self::GroupExit => "TaskGroup.__aexit__",
            Self::TimeoutEnter => "Timeout.__aenter__",
            Self::TimeoutExit => "Timeout.__aexit__",
            Self::Method(method) => method.qualname(),
            Self::Stream(method) => method.qualname(),
        }
    }

    /// How many arguments the function needs, `self` among them.
    fn parameters(self) -> usize {
        match self {
            Self::Sleep
            | Self::Wait
            | Self::WaitForOne
            | Self::NextCompleted
            | Self::GroupEnter
            | Self::TimeoutEnter => 1,
            Self::WaitFor => 2,
            Self::GroupExit | Self::TimeoutExit => 4,
            Self::Method(method) => method.parameters(),
            Self::Stream(method) => method.parameters(),
        }
    }

    /// A coroutine of asyncio's own function, not begun: its code and its frame stand for ours. None where this Python's
    /// asyncio has no such function.
    ///
    /// # Errors
    /// None but MemoryError: calling a coroutine function runs nothing of it.
    pub fn stand_in(self, py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
        let originals = imports(py)?.originals.bind(py);
        let Some(function) = originals.get_item(self.qualname())? else {
            return Ok(None);
        };
        if !function.hasattr(intern!(py, "__code__"))? {
            return Ok(None);
        }
        let nothing = (0..self.parameters()).map(|_| py.None());
        function.call1(PyTuple::new(py, nothing)?).map(Some)
    }
}
