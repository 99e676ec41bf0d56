//! Requests for cancellation.

use pyo3::exceptions::PyRecursionError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Task;
use crate::cell::GilCell;
use crate::future::Future;

impl Task {
    /// `Task.cancel`: down a chain of tasks that await each other, to the first that waits for something else.
    ///
    /// CPython does this by recursion, which ends at its limit for C frames. Ours are larger, so a chain is walked.
    ///
    /// # Errors
    /// RecursionError for tasks that await each other in a circle; whatever the `cancel` of a foreign future raises.
    pub fn request_cancel(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let again = || message.as_ref().map(|message| message.clone_ref(py));
        let mut task = slf.clone();
        let mut above: Option<Bound<'_, Self>> = None;
        // Brent's way to notice a circle: an earlier task is kept, a later one each time the distance doubles.
        let (mut earlier, mut distance, mut limit) = (slf.clone(), 0_usize, 1_usize);
        loop {
            let future = task.as_super().get();
            future.forget_traceback(py);
            if future.is_done(py) {
                // It is done, but who awaits it has not heard: that one's next step is told.
                return Ok(above.is_some_and(|above| Self::cancel_next_step(&above, again())));
            }
            task.get()
                .cancels_requested
                .with(py, |count| *count = count.saturating_add(1));
            let Some(awaited) = task.get().fut_waiter.cloned(py) else {
                return Ok(Self::cancel_next_step(&task, again()));
            };
            let awaited = awaited.into_bound(py);
            if let Some(next) = Self::with_own_cancel(&awaited)? {
                if next.is(&earlier) {
                    return Err(too_deep("tasks that await each other in a circle"));
                }
                distance += 1;
                if distance == limit {
                    (earlier, distance, limit) = (next.clone(), 0, limit.saturating_mul(2));
                }
                above = Some(std::mem::replace(&mut task, next));
                continue;
            }
            let cancelled = match awaited.cast_exact::<Future>() {
                Ok(native) => Future::cancel_with(native, again())?,
                Err(_) => cancel_foreign(&awaited, again())?,
            };
            return Ok(cancelled || Self::cancel_next_step(&task, again()));
        }
    }

    /// The next step throws CancelledError into the coroutine. Always `true`, which is what `cancel` returns then.
    fn cancel_next_step(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> bool {
        let py = slf.py();
        slf.get().must_cancel.set(py, true);
        slf.as_super().get().set_cancel_message(py, message);
        true
    }

    /// `object` as a native task, unless its class has a `cancel` of its own.
    fn with_own_cancel<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Self>>> {
        let py = object.py();
        if let Ok(task) = object.cast_exact::<Self>() {
            return Ok(Some(task.clone()));
        }
        let Ok(task) = object.cast::<Self>() else {
            return Ok(None);
        };
        let name = intern!(py, "cancel");
        let own = py.get_type::<Self>().getattr(name)?;
        let class = task.get_type().getattr(name)?;
        let instance = task.getattr(intern!(py, "__dict__"))?.contains(name)?;
        Ok((!instance && class.is(&own)).then(|| task.clone()))
    }
}

/// How many `cancel_foreign` are under way, one inside the other.
static FOREIGN_CANCELS: GilCell<usize> = GilCell::new(0);

/// How deep they may get: Python's own default for calls.
const DEEPEST_FOREIGN_CANCEL: usize = 1000;

/// `awaited.cancel(msg=message)`, by asyncio's rules for what is not our own.
///
/// # Errors
/// What it raises; RecursionError before a chain that alternates with native tasks uses up the stack.
pub(super) fn cancel_foreign(
    awaited: &Bound<'_, PyAny>,
    message: Option<Py<PyAny>>,
) -> PyResult<bool> {
    let py = awaited.py();
    if FOREIGN_CANCELS.get(py) >= DEEPEST_FOREIGN_CANCEL {
        return Err(too_deep("a chain of tasks"));
    }
    let options = PyDict::new(py);
    options.set_item(intern!(py, "msg"), message)?;
    let cancel = awaited.getattr(intern!(py, "cancel"))?;
    FOREIGN_CANCELS.with(py, |depth| *depth += 1);
    let cancelled = cancel.call((), Some(&options));
    FOREIGN_CANCELS.with(py, |depth| *depth -= 1);
    cancelled?.is_truthy()
}

fn too_deep(what: &str) -> PyErr {
    PyRecursionError::new_err(format!(
        "maximum recursion depth exceeded while cancelling {what}"
    ))
}
