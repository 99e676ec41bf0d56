//! How an iterator gives its result: StopIteration.
//!
//! From Python 3.12 on `await` asks `tp_iternext` for the next step, so that every result but None goes through this
//! exception, as it does in CPython's own `_PyGen_SetStopIterationValue`. Made by calling the class it was a seventh of
//! what an item of a queue cost (`benches/micro.py`, `queue`).

#![allow(unsafe_code)]

use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::version;

/// The StopIteration by which an iterator gives `result`.
///
/// A tuple or an exception would be taken for the arguments to make it from, or for the exception itself.
pub fn stop_iteration(result: Py<PyAny>) -> PyErr {
    PyStopIteration::new_err((result,))
}

/// Raises it.
pub fn set_stop_iteration(py: Python<'_>, result: Py<PyAny>) {
    if version::makes_exceptions_at_once(py) {
        return match make(result.bind(py)) {
            Ok(made) => PyErr::from_value(made).restore(py),
            Err(error) => error.restore(py),
        };
    }
    let is_taken_apart = result.bind(py).is_instance_of::<PyTuple>()
        || result.bind(py).is_instance_of::<PyBaseException>();
    match is_taken_apart {
        true => stop_iteration(result).restore(py),
        // SAFETY: B4: live objects; the interpreter keeps the result until somebody asks for the exception.
        false => unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, result.as_ptr()) },
    }
}

/// `StopIteration(result)`: what its `__new__` and its `__init__` do.
fn make<'py>(result: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = result.py();
    let args = PyTuple::new(py, [result])?;
    // SAFETY: B4: the interpreter's own class, whose `tp_new` gives a new reference to an instance, or NULL with an exception
    // set. Nobody else has the instance, which has no value before its `__init__`; it takes over one reference.
    unsafe {
        let class = ffi::PyExc_StopIteration.cast::<ffi::PyTypeObject>();
        let Some(new) = (*class).tp_new else {
            return py.get_type::<PyStopIteration>().call1(args);
        };
        let made = new(class, args.as_ptr(), std::ptr::null_mut());
        let made = Bound::from_owned_ptr_or_err(py, made)?;
        let fields = made.as_ptr().cast::<ffi::PyStopIterationObject>();
        (*fields).value = result.clone().into_ptr();
        Ok(made)
    }
}
