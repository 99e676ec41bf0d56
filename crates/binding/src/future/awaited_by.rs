//! Who awaits a future: what Python 3.14's call graph is drawn from.
//!
//! A task that waits notes nothing on the future: that it is to be woken says it already. What is noted are the waits
//! that asyncio's own code tells of (`gather`, `wait`, `shield`, task groups), by `future_add_to_awaited_by`. asyncio's
//! function of that name knows its own futures alone, so `riata._interop` puts the ones here in its place.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFrozenSet, PySet};

use super::Future;
use super::waiters::Waiter;
use crate::imports::imports;

impl Future {
    /// The tasks and futures that await it: those that it will wake, and those that were noted.
    pub(super) fn awaited_by<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<Option<Bound<'py, PyFrozenSet>>> {
        let py = slf.py();
        let this = slf.get();
        let mut found: Vec<Bound<'py, PyAny>> = match this.rare_field(py, |rare| &rare.awaited_by) {
            Some(noted) => noted.bind(py).try_iter()?.collect::<PyResult<_>>()?,
            None => Vec::new(),
        };
        let woken: Vec<Py<PyAny>> = this.waiters.with(py, |waiters| {
            let waiter = |waiter: &Waiter| match waiter {
                Waiter::Task(task) => Some(task.clone_ref(py).into_any()),
                Waiter::Call(callback, _) => Some(callback.clone_ref(py)),
                Waiter::Observer(_) | Waiter::Watch(_) => None,
            };
            waiters.as_slice().iter().filter_map(waiter).collect()
        });
        for waiter in woken {
            let waiter = waiter.into_bound(py);
            // CPython's own tasks leave a built-in method behind.
            let task = match waiter.cast::<PyCFunction>() {
                Ok(wakeup) => wakeup.getattr(intern!(py, "__self__"))?,
                Err(_) => waiter,
            };
            // One that was cancelled is to be woken still, but waits for something else by now.
            if task.is_instance(imports(py)?.asyncio_task.bind(py))?
                && task.getattr(intern!(py, "_fut_waiter"))?.is(slf)
            {
                found.push(task);
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        PyFrozenSet::new(py, found).map(Some)
    }

    fn note_awaited_by(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        let noted = match self.rare_field(py, |rare| &rare.awaited_by) {
            Some(noted) => noted.into_bound(py),
            None => {
                let noted = PySet::empty(py)?.into_any();
                let kept = Some(noted.clone().unbind());
                drop(self.rare.with(py, |rare| {
                    std::mem::replace(&mut rare.get_or_insert_default().awaited_by, kept)
                }));
                noted
            }
        };
        noted.cast::<PySet>()?.add(waiter)
    }
}

/// asyncio's function `name`, for futures that are not native.
fn call_asyncio(
    name: &Bound<'_, pyo3::types::PyString>,
    fut: &Bound<'_, PyAny>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let module = fut.py().import(intern!(fut.py(), "_asyncio"))?;
    module.call_method1(name, (fut, waiter)).map(drop)
}

/// Note that `waiter` awaits `fut`, for the call graph. What is no future of asyncio's or riata's is passed over.
#[pyfunction]
#[pyo3(name = "_future_add_to_awaited_by", signature = (fut, waiter, /))]
pub fn future_add_to_awaited_by(fut: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = fut.py();
    match fut.cast::<Future>() {
        Err(_) => call_asyncio(intern!(py, "future_add_to_awaited_by"), fut, waiter),
        Ok(native) if waiter.is_instance(imports(py)?.asyncio_future.bind(py))? => {
            native.get().note_awaited_by(waiter)
        }
        Ok(_) => Ok(()),
    }
}

/// Take back what `_future_add_to_awaited_by` noted.
#[pyfunction]
#[pyo3(name = "_future_discard_from_awaited_by", signature = (fut, waiter, /))]
pub fn future_discard_from_awaited_by(
    fut: &Bound<'_, PyAny>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = fut.py();
    let Ok(native) = fut.cast::<Future>() else {
        return call_asyncio(intern!(py, "future_discard_from_awaited_by"), fut, waiter);
    };
    if let Some(noted) = native.get().rare_field(py, |rare| &rare.awaited_by) {
        noted.bind(py).cast::<PySet>()?.discard(waiter)?;
    }
    Ok(())
}
