//! Steps of a task as Python objects: for loops that are not ours, and futures that are not.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::Task;
use crate::interop;

/// A step of a task as a callable, for loops that are not ours and for `Context.run`.
#[pyclass(frozen, name = "TaskStepMethWrapper", module = "riata._native")]
pub struct TaskStep {
    pub(super) task: Py<Task>,
    pub(super) exception: Option<Py<PyAny>>,
    /// Whether the task is the current one already.
    pub(super) entered: bool,
}

impl TaskStep {
    /// The next step of `task`, which throws `exception` if there is one.
    pub fn new(task: Py<Task>, exception: Option<Py<PyAny>>) -> Self {
        Self {
            task,
            exception,
            entered: false,
        }
    }
}

/// Runs a step (already in the right context) with the task as the current one, on any loop.
fn step_entered(task: &Bound<'_, Task>, exception: Option<Py<PyAny>>) -> PyResult<()> {
    let py = task.py();
    let event_loop = task.as_super().get().loop_ref(py)?.object(py);
    interop::enter_task(&event_loop, task.as_any())?;
    let outcome = Task::step(task, exception);
    let left = interop::clear_current_task(&event_loop);
    outcome.and(left)
}

#[pymethods]
impl TaskStep {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let exception = self
            .exception
            .as_ref()
            .map(|exception| exception.clone_ref(py));
        match self.entered {
            true => Task::step(self.task.bind(py), exception),
            false => step_entered(self.task.bind(py), exception),
        }
    }

    #[getter]
    fn __self__(&self, py: Python<'_>) -> Py<Task> {
        self.task.clone_ref(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)?;
        visit.call(&self.exception)
    }
}

/// What wakes a task when a future that is not ours is done; also how a waiting task looks in `_callbacks`.
#[pyclass(frozen, name = "TaskWakeupMethWrapper", module = "riata._native")]
pub struct TaskWakeup {
    task: Py<Task>,
}

impl TaskWakeup {
    /// What wakes `task`.
    pub fn new(task: Py<Task>) -> Self {
        Self { task }
    }

    /// Whether `callback` is one of these for `task`.
    pub fn wakes(callback: &Bound<'_, PyAny>, task: &Py<Task>) -> bool {
        callback
            .cast::<Self>()
            .is_ok_and(|wakeup| wakeup.get().task.is(task))
    }
}

#[pymethods]
impl TaskWakeup {
    fn __call__(&self, py: Python<'_>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let task = self.task.bind(py);
        match Task::read_awaited(future) {
            Ok(exception) => step_entered(task, exception),
            Err(error) => step_entered(task, Some(error.into_value(py).into_any())),
        }
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        Self::wakes(other, &self.task)
    }

    fn __hash__(&self) -> usize {
        self.task.as_ptr() as usize
    }

    #[getter]
    fn __self__(&self, py: Python<'_>) -> Py<Task> {
        self.task.clone_ref(py)
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        "task_wakeup"
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "Task.task_wakeup"
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)
    }
}
