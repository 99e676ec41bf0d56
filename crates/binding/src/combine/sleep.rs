//! `sleep`.

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::alarm::{Alarm, Set, plain_seconds};
use super::body::{Body, Stepped};
use super::delegate::Delegate;
use super::running;
use crate::event_loop::work::LoopRef;
use crate::future::Sent;
use crate::version::version;

/// What `sleep` does.
pub enum Sleep {
    /// Not begun: seconds, and the result.
    Created(Py<PyAny>, Option<Py<PyAny>>),
    /// `sleep(0)`: one turn.
    Yielded(Option<Py<PyAny>>),
    /// Until the timer rings.
    Waiting(Delegate, Set),
}

impl Sleep {
    /// One step.
    #[inline]
    pub fn step(self, py: Python<'_>, thrown: Option<PyErr>) -> Stepped {
        match (self, thrown) {
            (Self::Created(delay, result), None) => match Self::begin(delay.bind(py), result) {
                Ok(stepped) => stepped,
                Err(error) => Stepped::Raise(error),
            },
            (Self::Yielded(result), None) => Stepped::Return(result.unwrap_or_else(|| py.None())),
            (Self::Waiting(future, set), None) => match future.send(py) {
                Ok(Sent::Yield(again)) => {
                    Stepped::Yield(Body::Sleep(Self::Waiting(future, set)), again)
                }
                Ok(Sent::Return(result)) => match set.cancel(py) {
                    Ok(()) => Stepped::Return(result),
                    Err(error) => Stepped::Raise(error),
                },
                Err(error) => Stepped::Raise(set.cancel(py).err().unwrap_or(error)),
            },
            (Self::Waiting(future, set), Some(error)) => match future.throw(py, error) {
                Ok(Sent::Yield(again)) => {
                    Stepped::Yield(Body::Sleep(Self::Waiting(future, set)), again)
                }
                Ok(Sent::Return(result)) => match set.cancel(py) {
                    Ok(()) => Stepped::Return(result),
                    Err(error) => Stepped::Raise(error),
                },
                Err(error) => Stepped::Raise(set.cancel(py).err().unwrap_or(error)),
            },
            (_, Some(error)) => Stepped::Raise(error),
        }
    }

    #[inline]
    fn begin(delay: &Bound<'_, PyAny>, result: Option<Py<PyAny>>) -> PyResult<Stepped> {
        let py = delay.py();
        let plain = plain_seconds(delay);
        let at_once = match plain {
            Some(seconds) => seconds <= 0.0,
            None => delay.rich_compare(0, CompareOp::Le)?.is_truthy()?,
        };
        if at_once {
            return Ok(Stepped::Yield(
                Body::Sleep(Self::Yielded(result)),
                py.None(),
            ));
        }
        if version(py)?.sleep_refuses_nan {
            let nan = match plain {
                Some(seconds) => seconds.is_nan(),
                None => py
                    .import(intern!(py, "math"))?
                    .call_method1(intern!(py, "isnan"), (delay,))?
                    .is_truthy()?,
            };
            if nan {
                return Err(PyValueError::new_err("Invalid delay: NaN (not a number)"));
            }
        }
        let event_loop = LoopRef::new(&running::running_loop(py)?);
        let future = event_loop.create_future(py)?;
        let waiting = future.clone().unbind();
        let alarm = match result {
            None => Alarm::Resolve(waiting),
            Some(result) => Alarm::ResolveWith(Box::new((waiting, result))),
        };
        let set = Set::later(py, &event_loop, delay, alarm)?;
        let awaited = match Delegate::new(&future) {
            Ok(awaited) => awaited,
            Err(error) => return Err(set.cancel(py).err().unwrap_or(error)),
        };
        Ok(Self::Waiting(awaited, set).step(py, None))
    }

    /// What `cr_await` shows.
    pub fn awaited(&self, py: Python<'_>) -> Option<Delegate> {
        match self {
            Self::Waiting(future, _) => Some(future.clone_ref(py)),
            _ => None,
        }
    }

    /// Shows the collector what is inside.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Created(delay, result) => {
                visit.call(delay)?;
                visit.call(result)
            }
            Self::Yielded(result) => visit.call(result),
            Self::Waiting(future, set) => {
                future.traverse(visit)?;
                set.traverse(visit)
            }
        }
    }
}
