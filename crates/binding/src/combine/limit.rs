//! The limit of `gather` and `as_completed`, which asyncio's have not.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

/// The same awaitables, with futures of which no more than `limit` have begun in the place of coroutines.
///
/// # Errors
/// RuntimeError when no loop runs in this thread, TypeError or ValueError for a limit that is no number from 1 on, and
/// what iterating over `awaitables` raises.
pub fn begun_in_turn<'py>(
    awaitables: &Bound<'py, PyAny>,
    limit: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    static BEGUN_IN_TURN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = awaitables.py();
    let begun_in_turn = BEGUN_IN_TURN.get_or_try_init(py, || {
        let module = py.import(intern!(py, "riata._limit"))?;
        module.getattr("begun_in_turn").map(Bound::unbind)
    })?;
    let futures = begun_in_turn.bind(py).call1((awaitables, limit))?;
    Ok(futures.cast_into()?)
}
