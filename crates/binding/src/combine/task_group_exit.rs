//! `TaskGroup.__aexit__`: waits for the tasks, and decides what is raised.

use pyo3::exceptions::PyGeneratorExit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use pyo3::{PyTraverseError, PyVisit};

use super::any_future::{self, Message};
use super::body::{Body, Stepped};
use super::delegate::Delegate;
use super::task_group::TaskGroup;
use crate::event_loop::work::LoopRef;
use crate::future::Sent;
use crate::imports::imports;
use crate::task::Task;
use crate::version::version;

/// What `__aexit__` does.
pub enum GroupExit {
    /// Not begun: the group, and what its body raised.
    Created(Py<TaskGroup>, Option<Py<PyAny>>),
    /// Until its tasks are done.
    Waiting(Box<Leaving>),
}

/// A group that is being left.
pub struct Leaving {
    group: Py<TaskGroup>,
    /// What the body raised.
    raised: Option<Py<PyAny>>,
    /// A CancelledError that is not the group's own doing.
    propagated: Option<Py<PyAny>>,
    /// The last CancelledError that came while tasks were waited for.
    pending: Option<Py<PyAny>>,
    awaited: Option<Delegate>,
}

impl GroupExit {
    /// One step.
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        let (group, stepped) = match (self, thrown) {
            (Self::Created(_, _), Some(error)) => return Stepped::Raise(error),
            (Self::Created(group, raised), None) => {
                let again = group.clone_ref(py);
                let leaving = Leaving::begin(py, group, raised);
                (again, leaving.and_then(|leaving| leaving.wait(py)))
            }
            (Self::Waiting(leaving), thrown) => {
                (leaving.group.clone_ref(py), leaving.go_on(py, thrown))
            }
        };
        let stepped = stepped.unwrap_or_else(Stepped::Raise);
        if !matches!(stepped, Stepped::Yield(..)) {
            // What is over keeps nobody alive: exceptions hold frames, and those hold the group.
            let group = group.get();
            group.parent.set(py, None);
            group.errors.set(py, None);
            group.base_error.set(py, None);
        }
        stepped
    }

    /// What `cr_await` shows.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Created(..) => None,
            Self::Waiting(leaving) => leaving
                .awaited
                .as_ref()
                .map(|awaited| awaited.clone_ref(py)),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Created(group, raised) => {
                visit.call(group)?;
                visit.call(raised)
            }
            Self::Waiting(leaving) => {
                visit.call(&leaving.group)?;
                visit.call(&leaving.raised)?;
                visit.call(&leaving.propagated)?;
                visit.call(&leaving.pending)?;
                match &leaving.awaited {
                    Some(awaited) => awaited.traverse(visit),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Leaving {
    fn begin(
        py: Python<'_>,
        group: Py<TaskGroup>,
        raised: Option<Py<PyAny>>,
    ) -> PyResult<Box<Self>> {
        let this = group.get();
        this.exiting.set(py, true);
        let rules = &version(py)?.task_groups;
        let cancelled = imports(py)?.cancelled_error.bind(py);
        let mut propagated = None;
        if let Some(raised) = &raised {
            let raised = raised.bind(py);
            TaskGroup::note_base_error(group.bind(py), raised)?;
            let is_cancelled = match rules.uncancels_late {
                true => raised.is_instance(cancelled)?,
                false => raised.get_type().is(cancelled),
            };
            propagated = is_cancelled.then(|| raised.clone().unbind());
        }
        if !rules.uncancels_late
            && this.parent_cancel_requested.get(py)
            && uncancel_parent(py, this)? == 0
        {
            propagated = None;
        }
        if raised.is_some() && !this.aborting.get(py) {
            TaskGroup::abort(group.bind(py))?;
        }
        Ok(Box::new(Self {
            group,
            raised,
            propagated,
            pending: None,
            awaited: None,
        }))
    }

    /// Waits while there are tasks, and then concludes.
    fn wait(mut self: Box<Self>, py: Python<'_>) -> PyResult<Stepped> {
        let group = self.group.clone_ref(py);
        let this = group.get();
        loop {
            if this.is_empty(py) {
                return self.conclude(py);
            }
            let event_loop = match this.event_loop.cloned(py) {
                Some(event_loop) => LoopRef::new(event_loop.bind(py)),
                None => LoopRef::None,
            };
            let completed = event_loop.create_future(py)?;
            this.completed.set(py, Some(completed.clone().unbind()));
            let awaited = Delegate::new(&completed)?;
            let sent = awaited.send(py);
            self.awaited = Some(awaited);
            match self.heard(py, sent)? {
                Some(yielded) => {
                    let body = Body::GroupExit(GroupExit::Waiting(self));
                    return Ok(Stepped::Yield(body, yielded));
                }
                None => continue,
            }
        }
    }

    fn go_on(mut self: Box<Self>, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Stepped> {
        let sent = match (&self.awaited, thrown) {
            (Some(awaited), None) => awaited.send(py),
            (Some(awaited), Some(error)) => awaited.throw(py, error),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Sent::Return(py.None())),
        };
        match self.heard(py, sent)? {
            Some(yielded) => {
                let body = Body::GroupExit(GroupExit::Waiting(self));
                Ok(Stepped::Yield(body, yielded))
            }
            None => self.wait(py),
        }
    }

    /// What awaiting the tasks came to: something to yield, or None when it is over.
    fn heard(&mut self, py: Python<'_>, sent: PyResult<Sent>) -> PyResult<Option<Py<PyAny>>> {
        let group = self.group.clone_ref(py);
        let this = group.get();
        match sent {
            Ok(Sent::Yield(yielded)) => return Ok(Some(yielded)),
            Ok(Sent::Return(_)) => {}
            Err(error) if error.is_instance(py, imports(py)?.cancelled_error.bind(py)) => {
                let error = error.into_value(py).into_any();
                self.pending = Some(error.clone_ref(py));
                if !this.aborting.get(py) {
                    self.propagated = Some(error);
                    TaskGroup::abort(group.bind(py))?;
                }
            }
            Err(error) => return Err(error),
        }
        this.completed.set(py, None);
        self.awaited = None;
        Ok(None)
    }

    /// All tasks are done: what is raised, if anything.
    fn conclude(self, py: Python<'_>) -> PyResult<Stepped> {
        let this = self.group.get();
        let rules = &version(py)?.task_groups;
        if let Some(error) = this.base_error.cloned(py) {
            return Err(PyErr::from_value(error.into_bound(py)));
        }
        let mut propagated = self.propagated;
        let owed = this.parent_cancel_requested.get(py)
            && (rules.uncancels_late || this.cancelled_by_method.get(py));
        if owed {
            if uncancel_parent(py, this)? == 0 {
                propagated = None;
            } else if rules.keeps_pending_cancellation && propagated.is_none() {
                propagated = self.pending;
            }
        }
        let has_errors = this.has_errors(py);
        if let Some(error) = propagated
            && !has_errors
        {
            return Err(PyErr::from_value(error.into_bound(py)));
        }
        let raised = self.raised.as_ref().map(|raised| raised.bind(py));
        if let Some(raised) = raised
            && !raised.is_instance(imports(py)?.cancelled_error.bind(py))?
        {
            this.note_error(raised)?;
        }
        let errors = this.errors.take(py);
        let Some(errors) = errors.filter(|errors| !errors.bind(py).is_empty()) else {
            return Ok(Stepped::Return(match raised {
                Some(_) => PyBool::new(py, true).to_owned().into_any().unbind(),
                None => py.None(),
            }));
        };
        if rules.keeps_cancel_count {
            renew_cancel(py, this)?;
        }
        if rules.lets_generator_exit_pass
            && errors.bind(py).len() == 1
            && let Some(raised) = raised
            && raised.is_instance_of::<PyGeneratorExit>()
        {
            return Err(PyErr::from_value(raised.clone()));
        }
        let class = py
            .import(intern!(py, "builtins"))?
            .getattr(intern!(py, "BaseExceptionGroup"))?;
        let text = "unhandled errors in a TaskGroup";
        let error = PyErr::from_value(class.call1((text, errors))?);
        error.set_context(py, raised.map(|raised| PyErr::from_value(raised.clone())));
        error.set_cause(py, None); // `from None`
        Err(error)
    }
}

/// `parent.uncancel()`: how many requests are left.
fn uncancel_parent(py: Python<'_>, group: &TaskGroup) -> PyResult<i64> {
    let Some(parent) = group.parent.cloned(py) else {
        return Ok(0);
    };
    group.cancelled_by_method.set(py, false);
    let parent = parent.bind(py);
    match parent.cast_exact::<Task>() {
        Ok(native) => Ok(i64::from(native.get().uncancel(py))),
        Err(_) => parent.call_method0(intern!(py, "uncancel"))?.extract(),
    }
}

/// A parent that is being cancelled from outside is cancelled again, so that the count of requests stays as it is.
fn renew_cancel(py: Python<'_>, group: &TaskGroup) -> PyResult<()> {
    let Some(parent) = group.parent.cloned(py) else {
        return Ok(());
    };
    let parent = parent.bind(py);
    if parent
        .call_method0(intern!(py, "cancelling"))?
        .is_truthy()?
    {
        parent.call_method0(intern!(py, "uncancel"))?;
        any_future::cancel(parent, Message::None)?;
    }
    Ok(())
}
