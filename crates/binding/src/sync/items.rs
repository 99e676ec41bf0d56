//! What is in a queue, and in which order it comes out.

use std::collections::VecDeque;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::GilCell;
use crate::imports::imports;

/// Which of asyncio's queues it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `Queue`: first in, first out.
    Fifo,
    /// `LifoQueue`: last in, first out.
    Lifo,
    /// `PriorityQueue`: least first.
    Priority,
}

/// The items. The object that asyncio has in `_queue`, from when Python first looks at it; a PriorityQueue's always.
pub struct Items(GilCell<Held>);

enum Held {
    Native(VecDeque<Py<PyAny>>),
    Object(Py<PyAny>),
}

impl Default for Items {
    fn default() -> Self {
        Self(GilCell::new(Held::Native(VecDeque::new())))
    }
}

impl Items {
    fn object<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.0.with(py, |held| match held {
            Held::Native(_) => None,
            Held::Object(object) => Some(object.bind(py).clone()),
        })
    }

    /// How many there are.
    ///
    /// # Errors
    /// What the object in `_queue` raises; so for all that follow.
    #[inline]
    pub fn len(&self, py: Python<'_>) -> PyResult<usize> {
        let native = self.0.with(py, |held| match held {
            Held::Native(items) => Ok(items.len()),
            Held::Object(object) => Err(object.clone_ref(py)),
        });
        native.or_else(|object| object.bind(py).len())
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self, py: Python<'_>) -> PyResult<bool> {
        match self.object(py) {
            Some(object) => Ok(!object.is_truthy()?),
            None => Ok(self.len(py)? == 0),
        }
    }

    /// Begins anew, with none.
    pub fn reset(&self, py: Python<'_>, order: Order) {
        let held = match order {
            Order::Priority => Held::Object(PyList::empty(py).into_any().unbind()),
            Order::Fifo | Order::Lifo => Held::Native(VecDeque::new()),
        };
        drop(self.0.replace(py, held));
    }

    /// Puts one in.
    pub fn put(&self, order: Order, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = item.py();
        if let Some(object) = self.object(py) {
            return match order {
                Order::Fifo | Order::Lifo => object.call_method1(intern!(py, "append"), (item,)),
                Order::Priority => imports(py)?.heappush.bind(py).call1((object, item)),
            }
            .map(drop);
        }
        let added = item.clone().unbind();
        self.0.with(py, |held| match held {
            Held::Native(items) => items.push_back(added),
            Held::Object(_) => {}
        });
        Ok(())
    }

    /// Takes the next one out.
    ///
    /// # Errors
    /// IndexError when there is none.
    pub fn get<'py>(&self, py: Python<'py>, order: Order) -> PyResult<Bound<'py, PyAny>> {
        if self.object(py).is_none() {
            let taken = self.0.with(py, |held| match (held, order) {
                (Held::Native(items), Order::Lifo) => items.pop_back(),
                (Held::Native(items), _) => items.pop_front(),
                (Held::Object(_), _) => None,
            });
            if let Some(item) = taken {
                return Ok(item.into_bound(py));
            }
        }
        let object = self.show(py, order)?;
        match order {
            Order::Fifo => object.call_method0(intern!(py, "popleft")),
            Order::Lifo => object.call_method0(intern!(py, "pop")),
            Order::Priority => imports(py)?.heappop.bind(py).call1((object,)),
        }
    }

    /// `_queue`: a `collections.deque`, or a list; what is done to it from now on counts.
    pub fn show<'py>(&self, py: Python<'py>, order: Order) -> PyResult<Bound<'py, PyAny>> {
        if let Some(object) = self.object(py) {
            return Ok(object);
        }
        let object = match order {
            Order::Fifo => imports(py)?.deque.bind(py).call0()?,
            Order::Lifo | Order::Priority => PyList::empty(py).into_any(),
        };
        if let Held::Native(items) = self.0.replace(py, Held::Object(object.clone().unbind())) {
            for item in items {
                object.call_method1(intern!(py, "append"), (item,))?;
            }
        }
        Ok(object)
    }

    /// What Python puts in its place.
    pub fn set(&self, py: Python<'_>, object: Py<PyAny>) {
        drop(self.0.replace(py, Held::Object(object)));
    }

    /// Drops everything, for the collector.
    pub fn clear(&self, py: Python<'_>) {
        drop(self.0.replace(py, Held::Native(VecDeque::new())));
    }

    /// Shows the collector what is inside.
    ///
    /// # Safety
    /// Called from `__traverse__`.
    #[allow(unsafe_code)]
    pub unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        match unsafe { self.0.traverse() } {
            Held::Native(items) => items.iter().try_for_each(|item| visit.call(item)),
            Held::Object(object) => visit.call(object),
        }
    }
}
