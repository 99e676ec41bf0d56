//! `TaskGroup.create_task`: its call, and who makes the task.

use std::ffi::CStr;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::task_group::TaskGroup;
use crate::event_loop::EventLoop;
use crate::fastcall::{FastCall, FastMethod, is_named};
use crate::imports::imports;
use crate::task::{Options, Task};
use crate::version::version;

/// `create_task(coro, **options)`.
pub struct CreateTask;

/// What `create_task` was given.
struct Given<'a, 'py> {
    coro: Borrowed<'a, 'py, PyAny>,
    options: Options<'py>,
    /// All keywords, where the loop has to be asked.
    others: bool,
}

impl CreateTask {
    /// None for a call that does not fit this Python's signature.
    fn parse<'a, 'py>(
        call: &FastCall<'a, 'py>,
        py: Python<'py>,
    ) -> PyResult<Option<Given<'a, 'py>>> {
        let version = version(py)?;
        let mut coro = call.positional().next();
        let mut options = Options::default();
        let mut others = false;
        if call.positional().len() > 1 {
            return Ok(None);
        }
        for (keyword, value) in call.keywords() {
            if is_named(&keyword, intern!(py, "name"))? {
                options.name = Some(value.to_owned());
            } else if is_named(&keyword, intern!(py, "context"))? {
                options.context = Some(value.to_owned());
            } else if coro.is_none() && is_named(&keyword, intern!(py, "coro"))? {
                coro = Some(value);
            } else if !version.task_groups.takes_any_keyword {
                return Ok(None);
            } else if version.create_task_is_open && is_named(&keyword, intern!(py, "eager_start"))?
            {
                options.eager_start = value.is_truthy()?;
            } else {
                others = true;
            }
        }
        Ok(coro.map(|coro| Given {
            coro,
            options,
            others,
        }))
    }

    /// By the loop's own `create_task`, with the arguments that this Python's asyncio gives it.
    fn ask<'py>(
        event_loop: &Bound<'py, PyAny>,
        call: &FastCall<'_, 'py>,
        given: Given<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        let rules = &version(py)?.task_groups;
        let options = PyDict::new(py);
        if rules.takes_any_keyword {
            for (keyword, value) in call.keywords() {
                if !is_named(&keyword, intern!(py, "coro"))? {
                    options.set_item(keyword, value)?;
                }
            }
        } else {
            if !rules.names_afterwards {
                options.set_item(intern!(py, "name"), &given.options.name)?;
            }
            if let Some(context) = given.options.context.filter(|context| !context.is_none()) {
                options.set_item(intern!(py, "context"), context)?;
            }
        }
        let task = event_loop
            .getattr(intern!(py, "create_task"))?
            .call((given.coro,), Some(&options))?;
        if rules.names_afterwards {
            let tasks = py.import(intern!(py, "asyncio.tasks"))?;
            let name = given.options.name;
            tasks.call_method1(intern!(py, "_set_task_name"), (&task, name))?;
        }
        Ok(task)
    }
}

impl FastMethod for CreateTask {
    type Class = TaskGroup;
    const NAME: &'static str = "create_task";
    const C_NAME: &'static CStr = c"create_task";
    const DOC: &'static CStr = c"create_task($self, coro, **options)\n--\n\n\
        Create a new task in this group and return it; the keywords are those of asyncio.create_task.\n\n\
        Raises RuntimeError when the group is not entered, finished or shutting down.";

    fn call<'py>(
        slf: &Bound<'py, TaskGroup>,
        call: &FastCall<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Some(given) = Self::parse(call, py)? else {
            // A mistake: asyncio has the words for it.
            let keywords = PyDict::new(py);
            for (key, value) in call.keywords() {
                keywords.set_item(key, value)?;
            }
            let mut all = vec![slf.clone().into_any()];
            all.extend(call.positional().map(|argument| argument.to_owned()));
            let original = imports(py)?.asyncio_task_group.bind(py);
            return original
                .getattr(intern!(py, "create_task"))?
                .call(PyTuple::new(py, all)?, Some(&keywords));
        };
        if let Some(refusal) = TaskGroup::refusal(slf)? {
            if version(py)?.task_groups.closes_refused {
                given.coro.call_method0(intern!(py, "close"))?;
            }
            return Err(refusal);
        }
        let Some(event_loop) = slf.get().event_loop.cloned(py) else {
            return Err(PyRuntimeError::new_err("TaskGroup without a loop"));
        };
        let event_loop = event_loop.bind(py);
        let task = match event_loop.cast::<EventLoop>() {
            Ok(native) if !given.others && native.get().makes_native_tasks(py)? => {
                native.get().check_closed(py)?;
                Task::create(native, &given.coro, given.options)?.into_any()
            }
            _ => Self::ask(event_loop, call, given)?,
        };
        TaskGroup::join(slf, &task)?;
        Ok(task)
    }
}
