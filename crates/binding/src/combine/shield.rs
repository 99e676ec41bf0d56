//! `shield`.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::any_future::{self, Message};
use super::ensure_future;
use super::observer::Observer;
use super::running;
use crate::event_loop::work::LoopRef;
use crate::version::version;

/// What ties a shielded future to the one that its caller awaits.
#[pyclass(frozen, name = "Shield", module = "riata._native")]
pub struct Shield {
    inner: Py<PyAny>,
    outer: Py<PyAny>,
    /// The task that called `shield`, for the call graph of Python 3.14.
    caller: Option<Py<PyAny>>,
}

impl Shield {
    /// The shielded future is done: asyncio's `_inner_done_callback`.
    ///
    /// # Errors
    /// What a future that is not ours raises; so for those that follow.
    pub fn inner_done(&self, inner: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = inner.py();
        let outer = self.outer.bind(py);
        let inner_cancelled = any_future::is_cancelled(inner)?;
        if any_future::is_cancelled(outer)? {
            if !inner_cancelled && !version(py)?.shield_leaves_exceptions {
                any_future::exception(inner)?; // it counts as looked at
            }
            return Ok(());
        }
        if inner_cancelled {
            return any_future::cancel(outer, Message::None).map(drop);
        }
        match any_future::exception(inner)? {
            Some(error) => any_future::set_exception(outer, &error),
            None => any_future::set_result(outer, any_future::result(inner)?),
        }
    }

    /// The future that the caller awaits is done: `_outer_done_callback`.
    pub fn outer_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let inner = slf.get().inner.bind(py);
        if any_future::is_done(inner)? {
            return Ok(());
        }
        any_future::unobserve(inner, Observer::ShieldInner(slf.clone().unbind()))?;
        if slf.get().caller.is_some() {
            any_future::unobserve(inner, Observer::ShieldEdge(slf.clone().unbind()))?;
            slf.get().clear_edge(inner)?;
        }
        Ok(())
    }

    /// `_clear_awaited_by_callback`.
    pub fn clear_edge(&self, inner: &Bound<'_, PyAny>) -> PyResult<()> {
        let caller = self.caller.as_ref().map(|caller| caller.bind(inner.py()));
        any_future::discard_awaited_by(inner, caller)
    }
}

#[pymethods]
impl Shield {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.inner)?;
        visit.call(&self.outer)?;
        visit.call(&self.caller)
    }
}

/// Wait for a future, shielding it from cancellation: when the returned future is cancelled, the one inside runs on.
///
/// Keep a reference to the task that is shielded: the loop has only a weak one.
///
/// Raises TypeError for what is no awaitable.
#[pyfunction]
pub fn shield<'py>(arg: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = arg.py();
    let inner = ensure_future::ensure(arg, None)?;
    if any_future::is_done(&inner)? {
        return Ok(inner);
    }
    let event_loop = any_future::event_loop(&inner)?;
    let outer = LoopRef::new(&event_loop).create_future(py)?;
    let caller = match version(py)?.awaited_by {
        true => running::task(&event_loop)?,
        false => None,
    };
    any_future::add_awaited_by(&inner, caller.as_ref())?;
    let has_caller = caller.is_some();
    let shield = Py::new(
        py,
        Shield {
            inner: inner.clone().unbind(),
            outer: outer.clone().unbind(),
            caller: caller.map(Bound::unbind),
        },
    )?;
    if has_caller {
        any_future::observe(&inner, Observer::ShieldEdge(shield.clone_ref(py)))?;
    }
    any_future::observe(&inner, Observer::ShieldInner(shield.clone_ref(py)))?;
    any_future::observe(&outer, Observer::ShieldOuter(shield))?;
    Ok(outer)
}
