//! Futures of those who wait, first come first.

use std::collections::VecDeque;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::bound::LoopBound;
use crate::cell::GilCell;
use crate::combine::any_future;
use crate::combine::place::Place;
use crate::imports::imports;

/// A line of waiters. A `collections.deque`, as asyncio's `_waiters` is, from when Python first looks at it.
pub struct Line(GilCell<Waiters>);

enum Waiters {
    Native(VecDeque<Py<PyAny>>),
    Shown(Py<PyAny>),
}

impl Default for Line {
    fn default() -> Self {
        Self(GilCell::new(Waiters::Native(VecDeque::new())))
    }
}

impl Line {
    fn shown<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.0.with(py, |waiters| match waiters {
            Waiters::Native(_) => None,
            Waiters::Shown(deque) => Some(deque.bind(py).clone()),
        })
    }

    /// How many wait.
    ///
    /// # Errors
    /// What the deque raises; so for all that follow.
    #[inline]
    pub fn len(&self, py: Python<'_>) -> PyResult<usize> {
        let native = self.0.with(py, |waiters| match waiters {
            Waiters::Native(waiters) => Ok(waiters.len()),
            Waiters::Shown(deque) => Err(deque.clone_ref(py)),
        });
        native.or_else(|deque| deque.bind(py).len())
    }

    /// The one at `index`.
    pub fn get<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let native = self.0.with(py, |waiters| match waiters {
            Waiters::Native(waiters) => {
                Ok(waiters.get(index).map(|waiter| waiter.bind(py).clone()))
            }
            Waiters::Shown(deque) => Err(deque.bind(py).clone()),
        });
        match native {
            Ok(waiter) => Ok(waiter),
            Err(deque) if index < deque.len()? => deque.get_item(index).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The first that is not done.
    pub fn first_pending<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut index = 0;
        while let Some(waiter) = self.get(py, index)? {
            if !any_future::is_done(&waiter)? {
                return Ok(Some(waiter));
            }
            index += 1;
        }
        Ok(None)
    }

    /// Whether any has not been cancelled.
    pub fn any_not_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        let mut index = 0;
        while let Some(waiter) = self.get(py, index)? {
            if !any_future::is_cancelled(&waiter)? {
                return Ok(true);
            }
            index += 1;
        }
        Ok(false)
    }

    /// A place at the end, for a coroutine of `owner`'s.
    ///
    /// # Errors
    /// RuntimeError when `owner` belongs to another loop.
    pub fn join(&self, owner: &Bound<'_, PyAny>, bound: &LoopBound) -> PyResult<Place> {
        let future = bound.create_future(owner)?;
        self.push(&future)?;
        Place::of(future)
    }

    /// Adds one at the end.
    pub fn push(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        match self.shown(py) {
            Some(deque) => deque
                .call_method1(intern!(py, "append"), (waiter,))
                .map(drop),
            None => {
                let added = waiter.clone().unbind();
                self.0.with(py, |waiters| match waiters {
                    Waiters::Native(waiters) => waiters.push_back(added),
                    Waiters::Shown(_) => {}
                });
                Ok(())
            }
        }
    }

    /// Takes out the first.
    pub fn pop<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.shown(py) {
            Some(deque) if deque.is_truthy()? => {
                deque.call_method0(intern!(py, "popleft")).map(Some)
            }
            Some(_) => Ok(None),
            None => Ok(self.0.with(py, |waiters| match waiters {
                Waiters::Native(waiters) => waiters.pop_front().map(|waiter| waiter.into_bound(py)),
                Waiters::Shown(_) => None,
            })),
        }
    }

    /// Takes `waiter` out, if it is there still.
    pub fn remove(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        if let Some(deque) = self.shown(py) {
            return match deque.call_method1(intern!(py, "remove"), (waiter,)) {
                Err(error) if error.is_instance_of::<PyValueError>(py) => Ok(()),
                removed => removed.map(drop),
            };
        }
        let removed = self.0.with(py, |waiters| match waiters {
            Waiters::Native(waiters) => {
                let place = waiters
                    .iter()
                    .position(|other| other.as_ptr() == waiter.as_ptr());
                place.and_then(|place| waiters.remove(place))
            }
            Waiters::Shown(_) => None,
        });
        drop(removed);
        Ok(())
    }

    /// Tells the first that is not done that it can go on, and takes out those before it, as `Queue._wakeup_next` does.
    pub fn wake_next(&self, py: Python<'_>) -> PyResult<()> {
        while let Some(waiter) = self.pop(py)? {
            if !any_future::is_done(&waiter)? {
                return any_future::set_result(&waiter, py.None().into_bound(py));
            }
        }
        Ok(())
    }

    /// The same for all of them.
    pub fn wake_all(&self, py: Python<'_>) -> PyResult<()> {
        while let Some(waiter) = self.pop(py)? {
            if !any_future::is_done(&waiter)? {
                any_future::set_result(&waiter, py.None().into_bound(py))?;
            }
        }
        Ok(())
    }

    /// As a `collections.deque`, which it is from now on.
    pub fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(deque) = self.shown(py) {
            return Ok(deque);
        }
        let deque = imports(py)?.deque.bind(py).call0()?;
        let shown = Waiters::Shown(deque.clone().unbind());
        if let Waiters::Native(waiters) = self.0.replace(py, shown) {
            for waiter in waiters {
                deque.call_method1(intern!(py, "append"), (waiter,))?;
            }
        }
        Ok(deque)
    }

    /// The same; None while nobody waits and Python has not seen it, as where asyncio has not made one yet.
    pub fn show_unless_empty<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let untouched = self.0.with(
            py,
            |waiters| matches!(waiters, Waiters::Native(waiters) if waiters.is_empty()),
        );
        match untouched {
            true => Ok(None),
            false => self.show(py).map(Some),
        }
    }

    /// What Python puts in its place; None for an empty line.
    pub fn set(&self, py: Python<'_>, deque: Option<Py<PyAny>>) {
        let waiters = deque.map_or_else(|| Waiters::Native(VecDeque::new()), Waiters::Shown);
        self.0.set(py, waiters);
    }

    /// Shows the collector what is inside.
    ///
    /// # Safety
    /// Called from `__traverse__`.
    #[allow(unsafe_code)]
    pub unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        match unsafe { self.0.traverse() } {
            Waiters::Native(waiters) => waiters.iter().try_for_each(|waiter| visit.call(waiter)),
            Waiters::Shown(deque) => visit.call(deque),
        }
    }
}
