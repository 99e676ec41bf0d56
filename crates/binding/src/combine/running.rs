//! Which loop and which task are running.

use pyo3::prelude::*;

use crate::imports::imports;
use crate::interop;

/// `asyncio.get_running_loop()`.
///
/// # Errors
/// RuntimeError when there is none.
#[inline]
pub fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    imports(py)?.get_running_loop.bind(py).call0()
}

/// The running loop, or None.
///
/// # Errors
/// None of its own.
#[inline]
pub fn loop_if_any(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let event_loop = imports(py)?.maybe_running_loop.bind(py).call0()?;
    Ok((!event_loop.is_none()).then_some(event_loop))
}

/// `asyncio.get_event_loop()`: the running loop, else what the policy has.
///
/// # Errors
/// RuntimeError when there is none.
pub fn event_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match loop_if_any(py)? {
        Some(event_loop) => Ok(event_loop),
        None => imports(py)?.get_event_loop.bind(py).call0(),
    }
}

/// `asyncio.current_task(event_loop)`.
///
/// # Errors
/// What asking for it raises.
#[inline]
pub fn task<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    interop::current_task(event_loop)
}

/// The current task of the running loop; None when no loop is running.
///
/// # Errors
/// What asking for it raises.
pub fn task_if_any(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    match loop_if_any(py)? {
        Some(event_loop) => task(&event_loop),
        None => Ok(None),
    }
}
