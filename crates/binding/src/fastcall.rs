//! Methods that take any keyword without a dictionary being made of them.
//!
//! PyO3 gives a method with `**options` the old calling convention, a tuple and a dictionary a call. `create_task` is
//! called for every task, mostly through `asyncio.create_task`, which passes keywords: it is put into the class by
//! hand, with the interpreter's vector convention.

#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::event_loop::EventLoop;
use crate::event_loop::tasks::create_task;

/// The arguments of one call, as the interpreter passed them.
pub struct FastCall<'a, 'py> {
    py: Python<'py>,
    values: &'a [*mut ffi::PyObject],
    positional: usize,
    names: Option<Borrowed<'a, 'py, PyTuple>>,
}

impl<'a, 'py> FastCall<'a, 'py> {
    fn borrow(&self, value: *mut ffi::PyObject) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: B6: the interpreter keeps arguments alive during the call, and none is NULL.
        unsafe { Borrowed::from_ptr(self.py, value) }
    }

    /// The positional arguments.
    pub fn positional(&self) -> impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>> {
        self.values[..self.positional]
            .iter()
            .map(|value| self.borrow(*value))
    }

    /// The keywords with their values.
    pub fn keywords(&self) -> impl Iterator<Item = (Bound<'py, PyAny>, Borrowed<'a, 'py, PyAny>)> {
        let values = self.values[self.positional..]
            .iter()
            .map(|value| self.borrow(*value));
        self.names.iter().flat_map(|names| names.iter()).zip(values)
    }
}

/// Whether a keyword is `name`, which is interned, as names in source code are.
pub fn is_named(keyword: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    Ok(keyword.is(name) || keyword.eq(name)?)
}

static mut METHODS: [ffi::PyMethodDef; 1] = [ffi::PyMethodDef {
    ml_name: c"create_task".as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: create_task_raw },
    ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
    ml_doc: c"create_task($self, coro, **options)\n--\n\nSchedule a coroutine; return its Task, or what the task factory makes of it.\n\nTakes the keywords that this Python's asyncio takes: name, context, and eager_start where it has it.\nRaises TypeError for what is no coroutine, RuntimeError when the loop is closed.".as_ptr(),
}];

/// Puts the methods into their classes. Called once, while the module is made.
///
/// # Errors
/// What the interpreter raises when memory runs out.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let class = EventLoop::type_object_raw(py);
    // SAFETY: B6: a heap type that no instance and no subclass exists of yet; the definition is static and is read only.
    unsafe {
        let definition = (&raw mut METHODS).cast::<ffi::PyMethodDef>();
        let method = Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class, definition))?;
        if ffi::PyDict_SetItemString((*class).tp_dict, c"create_task".as_ptr(), method.as_ptr()) < 0
        {
            return Err(PyErr::fetch(py));
        }
        ffi::PyType_Modified(class);
    }
    Ok(())
}

unsafe extern "C" fn create_task_raw(
    slf: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: B6: called by the interpreter, with the GIL held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: B6: through a descriptor that has checked `slf` to be an EventLoop, with `positional`
    // values followed by one for each of `names`.
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe {
        let names =
            (!names.is_null()).then(|| Borrowed::from_ptr(py, names).cast_unchecked::<PyTuple>());
        let positional = positional.cast_unsigned();
        let count = positional + names.map_or(0, |names| names.len());
        let values = match count {
            0 => &[],
            _ => std::slice::from_raw_parts(values, count),
        };
        let slf = Borrowed::from_ptr(py, slf);
        create_task(
            &slf.cast_unchecked::<EventLoop>(),
            &FastCall {
                py,
                values,
                positional,
                names,
            },
        )
    }));
    match outcome {
        Ok(Ok(task)) => task.into_ptr(),
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(_) => {
            PyRuntimeError::new_err("riata panicked in create_task; the message is on stderr")
                .restore(py);
            std::ptr::null_mut()
        }
    }
}
