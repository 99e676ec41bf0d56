//! The methods and attributes of `Future` that Python sees, with asyncio's names.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use super::waiters::Waiter;
use super::{Future, FutureIter, Outcome, Reading, State};
use crate::combine::Observation;
use crate::context;
use crate::imports::imports;
use crate::interop;
use crate::task::{Task, TaskWakeup};
use crate::unwritten::is_unwritten;

#[pymethods]
impl Future {
    #[new]
    #[pyo3(signature = (*_args, **_options), text_signature = "(*, loop=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self::unbound()
    }

    /// A pending future of `loop`, by default the current event loop.
    #[pyo3(signature = (*, r#loop = None))]
    fn __init__(slf: &Bound<'_, Self>, r#loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        Self::bind(slf, r#loop)
    }

    /// asyncio.Future (or Task): so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let imports = imports(py)?;
        if slf.is_exact_instance_of::<Self>() {
            return Ok(imports.asyncio_future.bind(py).clone());
        }
        if slf.is_exact_instance_of::<Task>() {
            return Ok(imports.asyncio_task.bind(py).clone());
        }
        let is_task = slf.is_instance_of::<Task>();
        let asyncio_class = if is_task {
            &imports.asyncio_task
        } else {
            &imports.asyncio_future
        };
        interop::face(&slf.get_type(), asyncio_class.bind(py))
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports(class.py())?
            .generic_alias
            .bind(class.py())
            .call1((class, item))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().check_initialized(slf.py())?;
        imports(slf.py())?.future_repr.bind(slf.py()).call1((slf,))
    }

    /// Return the result this future represents, or raise its exception.
    ///
    /// Raises CancelledError when cancelled and InvalidStateError while pending.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.read(py)? {
            Reading::Result(result) => Ok(result),
            Reading::Exception(exception) => Err(PyErr::from_value(exception.into_bound(py))),
        }
    }

    /// Return the exception that was set, or None.
    ///
    /// Raises CancelledError when cancelled and InvalidStateError while pending.
    #[pyo3(name = "exception")]
    fn exception_py(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.exception(py)
    }

    /// Mark the future done and set its result. Raises InvalidStateError when it is done already.
    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Self::finish(slf, result)
    }

    /// Mark the future done and set an exception. Raises InvalidStateError when it is done already.
    fn set_exception(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::fail(slf, exception)
    }

    /// Cancel the future and schedule its callbacks; False when it is done already.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        slf.get().check_initialized(slf.py())?;
        Self::cancel_with(slf, msg)
    }

    /// Return True if the future was cancelled.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.state.get(py) == State::Cancelled
    }

    /// Return True if the future is done: has a result or an exception, or was cancelled.
    fn done(&self, py: Python<'_>) -> bool {
        self.is_done(py)
    }

    /// Call `fn(future)` in `context` (a copy of the current one) through the loop once the future is done.
    #[pyo3(signature = (r#fn, /, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        r#fn: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.get().check_initialized(py)?;
        let context = match context {
            Some(context) => context,
            None => context::copy_current(py)?,
        };
        Self::add_waiter(slf, Waiter::Call(r#fn, context))
    }

    /// Remove all instances of a callback; return how many there were.
    #[pyo3(signature = (r#fn, /))]
    fn remove_done_callback(slf: &Bound<'_, Self>, r#fn: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = slf.py();
        let this = slf.get();
        this.check_initialized(py)?;
        // Comparing calls Python, which may finish this very future or add to its callbacks: the list stays in place.
        let callbacks: Vec<Py<PyAny>> = this.waiters.with(py, |waiters| {
            let calls = waiters.as_slice().iter().filter_map(|waiter| match waiter {
                Waiter::Call(callback, _) => Some(callback.clone_ref(py)),
                Waiter::Task(_) | Waiter::Observer(_) | Waiter::Watch(_) => None,
            });
            calls.collect()
        });
        let mut equal = Vec::new();
        for callback in callbacks {
            if callback.bind(py).eq(r#fn)? {
                equal.push(callback);
            }
        }
        let removed: Vec<Waiter> =
            this.waiters.with(py, |waiters| {
                let (removed, kept) = std::mem::take(waiters).into_vec().into_iter().partition(
                    |waiter| match waiter {
                        Waiter::Call(callback, _) => equal.iter().any(|equal| equal.is(callback)),
                        Waiter::Task(task) => TaskWakeup::wakes(r#fn, task),
                        Waiter::Observer(observer) => Observation::stands_for(r#fn, observer),
                        Waiter::Watch(_) => false,
                    },
                );
                let kept: Vec<Waiter> = kept;
                kept.into_iter().for_each(|waiter| waiters.push(waiter));
                removed
            });
        Ok(removed.len())
    }

    /// Return the event loop the future is bound to.
    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.loop_ref(py)?.object(py))
    }

    fn _make_cancelled_error(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.cancelled_error(py)?.into_value(py).into_any())
    }

    fn __await__(slf: &Bound<'_, Self>) -> PyResult<FutureIter> {
        slf.get().check_initialized(slf.py())?;
        Ok(FutureIter::new(slf.clone().unbind()))
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<FutureIter> {
        slf.get().check_initialized(slf.py())?;
        Ok(FutureIter::new(slf.clone().unbind()))
    }

    #[getter]
    fn _asyncio_future_blocking(&self, py: Python<'_>) -> bool {
        self.blocking.get(py)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_asyncio_future_blocking(&self, py: Python<'_>, value: bool) {
        self.blocking.set(py, value);
    }

    #[getter]
    fn _log_traceback(&self, py: Python<'_>) -> bool {
        self.log_traceback.get(py)
    }

    #[setter(_log_traceback)]
    fn set_log_traceback(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.is_truthy()? {
            return Err(PyValueError::new_err(
                "_log_traceback can only be set to False",
            ));
        }
        self.log_traceback.set(py, false);
        Ok(())
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.loop_ref(py)
            .ok()
            .map(|event_loop| event_loop.object(py))
    }

    #[getter]
    fn _state(&self, py: Python<'_>) -> &'static str {
        match self.state.get(py) {
            State::Pending => "PENDING",
            State::Cancelled => "CANCELLED",
            State::Finished => "FINISHED",
        }
    }

    #[getter]
    fn _result(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.outcome.with(py, |outcome| match outcome {
            Outcome::Result(result) => Some(result.clone_ref(py)),
            _ => None,
        })
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.outcome.with(py, |outcome| match outcome {
            Outcome::Exception(exception, _) => Some(exception.clone_ref(py)),
            _ => None,
        })
    }

    #[getter]
    fn _callbacks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let all: Vec<Waiter> = self.waiters.with(py, |waiters| {
            let all = waiters.as_slice().iter();
            let shown = all.filter(|waiter| !matches!(waiter, Waiter::Watch(_)));
            shown.map(|waiter| waiter.clone_ref(py)).collect()
        });
        if all.is_empty() {
            return Ok(None);
        }
        let list = PyList::empty(py);
        for entry in all {
            match entry {
                Waiter::Task(task) => {
                    let context = task.get().context(py);
                    list.append((TaskWakeup::new(task), context))?;
                }
                Waiter::Call(callback, context) => list.append((callback, context))?,
                Waiter::Observer(observer) => {
                    list.append((Observation::new(observer), context::copy_current(py)?))?;
                }
                Waiter::Watch(_) => {} // not among them
            }
        }
        Ok(Some(list))
    }

    #[getter]
    fn _cancel_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.cancel_message(py)
    }

    #[setter(_cancel_message)]
    fn assign_cancel_message(&self, py: Python<'_>, message: Option<Py<PyAny>>) {
        self.set_cancel_message(py, message);
    }

    #[getter]
    fn _cancelled_exc(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.rare_field(py, |rare| &rare.cancelled_exc)
    }

    #[getter]
    fn _source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.source_traceback(py)
    }

    #[getter]
    fn _asyncio_awaited_by<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<Option<Bound<'py, pyo3::types::PyFrozenSet>>> {
        Self::awaited_by(slf)
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if is_unwritten(self) {
            return Ok(());
        }
        // SAFETY: B3: called by the collector.
        unsafe {
            self.event_loop.traverse().traverse(&visit)?;
            match self.outcome.traverse() {
                Outcome::None => {}
                Outcome::Result(result) => visit.call(result)?,
                Outcome::Exception(exception, traceback) => {
                    visit.call(exception)?;
                    visit.call(traceback)?;
                }
            }
            for waiter in self.waiters.traverse().as_slice() {
                match waiter {
                    Waiter::Task(task) => visit.call(task)?,
                    Waiter::Call(callback, context) => {
                        visit.call(callback)?;
                        visit.call(context)?;
                    }
                    Waiter::Observer(observer) => observer.traverse(&visit)?,
                    Waiter::Watch(_) => {}
                }
            }
            if let Some(rare) = self.rare.traverse() {
                visit.call(&rare.cancel_message)?;
                visit.call(&rare.cancelled_exc)?;
                visit.call(&rare.source_traceback)?;
                visit.call(&rare.awaited_by)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        Python::attach(|py| self.clear(py));
    }
}
