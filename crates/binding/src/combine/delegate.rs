//! `await` inside a native coroutine: of a future, or of anything that can be awaited.

#![allow(unsafe_code)]

use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::coroutine;
use crate::future::{Future, FutureIter, Reading, Sent};
use crate::unwind;

use super::any_future;

/// What a native coroutine awaits.
pub enum Delegate {
    /// A native future, without an iterator for it.
    Future(Py<Future>),
    /// A coroutine, or the iterator that `__await__` gave.
    Iterator(Py<PyAny>),
}

impl Delegate {
    /// What `await awaitable` goes on with.
    ///
    /// # Errors
    /// TypeError for what cannot be awaited, RuntimeError for a coroutine that is being awaited; what `__await__` raises.
    pub fn new(awaitable: &Bound<'_, PyAny>) -> PyResult<Self> {
        match any_future::native(awaitable) {
            Some(future) => Ok(Self::Future(future.clone().unbind())),
            None => iterator(awaitable).map(|iterator| Self::Iterator(iterator.unbind())),
        }
    }

    /// Another reference to the same.
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Future(future) => Self::Future(future.clone_ref(py)),
            Self::Iterator(iterator) => Self::Iterator(iterator.clone_ref(py)),
        }
    }

    /// What `cr_await` shows.
    ///
    /// # Errors
    /// MemoryError.
    pub fn shown(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Future(future) => Ok(Py::new(py, FutureIter::new(future))?.into_any()),
            Self::Iterator(iterator) => Ok(iterator),
        }
    }

    /// Goes on with it.
    ///
    /// # Errors
    /// What it raises.
    #[inline]
    pub fn send(&self, py: Python<'_>) -> PyResult<Sent> {
        match self {
            Self::Future(future) => {
                let this = future.get();
                if !this.is_done(py) {
                    if this.mark_blocking(py) {
                        return Err(PyRuntimeError::new_err("await wasn't used with future"));
                    }
                    return Ok(Sent::Yield(future.clone_ref(py).into_any()));
                }
                match this.read(py)? {
                    Reading::Result(result) => Ok(Sent::Return(result)),
                    Reading::Exception(exception) => {
                        Err(PyErr::from_value(exception.into_bound(py)))
                    }
                }
            }
            Self::Iterator(iterator) => sent(coroutine::send_none(iterator.bind(py))),
        }
    }

    /// Throws into it, as `await` does.
    ///
    /// # Errors
    /// `error`, if it is not caught; what it raises instead.
    pub fn throw(&self, py: Python<'_>, error: PyErr) -> PyResult<Sent> {
        let Self::Iterator(iterator) = self else {
            return Err(error);
        };
        let iterator = iterator.bind(py);
        if error.is_instance_of::<PyGeneratorExit>(py) {
            if let Some(close) = iterator.getattr_opt(intern!(py, "close"))? {
                close.call0()?;
            }
            return Err(error);
        }
        match iterator.getattr_opt(intern!(py, "throw"))? {
            None => Err(error),
            Some(_) => sent(coroutine::throw(iterator, error.value(py))),
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Future(future) => visit.call(future),
            Self::Iterator(iterator) => visit.call(iterator),
        }
    }
}

fn sent(sent: unwind::Sent<'_>) -> PyResult<Sent> {
    match sent {
        unwind::Sent::Next(yielded) => Ok(Sent::Yield(yielded.unbind())),
        unwind::Sent::Return(result) => Ok(Sent::Return(result.unbind())),
        unwind::Sent::Error(error) => Err(error),
    }
}

/// `_PyCoro_GetAwaitableIter` of `Objects/genobject.c`, and the check of `GET_AWAITABLE` in `Python/bytecodes.c`.
fn iterator<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    // SAFETY: B4: type checks on a live object.
    let (coroutine, generator) = unsafe {
        let object = awaitable.as_ptr();
        (
            ffi::PyCoro_CheckExact(object) != 0,
            ffi::PyGen_CheckExact(object) != 0,
        )
    };
    if coroutine {
        if !awaitable.getattr(intern!(py, "cr_await"))?.is_none() {
            return Err(PyRuntimeError::new_err(
                "coroutine is being awaited already",
            ));
        }
        return Ok(awaitable.clone());
    }
    if generator {
        const CO_ITERABLE_COROUTINE: u32 = 0x100; // Include/cpython/code.h
        let flags: u32 = awaitable
            .getattr(intern!(py, "gi_code"))?
            .getattr(intern!(py, "co_flags"))?
            .extract()?;
        if flags & CO_ITERABLE_COROUTINE != 0 {
            return Ok(awaitable.clone());
        }
    }
    let class = awaitable.get_type();
    let Some(method) = class.getattr_opt(intern!(py, "__await__"))? else {
        let text = format!(
            "object {} can't be used in 'await' expression",
            class.name()?
        );
        return Err(PyTypeError::new_err(text));
    };
    let iterator = method.call1((awaitable,))?;
    // SAFETY: B4: type checks on a live object.
    let (coroutine, iterates) = unsafe {
        (
            ffi::PyCoro_CheckExact(iterator.as_ptr()) != 0,
            ffi::PyIter_Check(iterator.as_ptr()) != 0,
        )
    };
    if coroutine {
        return Err(PyTypeError::new_err("__await__() returned a coroutine"));
    }
    if !iterates {
        let text = format!(
            "__await__() returned non-iterator of type '{}'",
            iterator.get_type().name()?
        );
        return Err(PyTypeError::new_err(text));
    }
    Ok(iterator)
}
