//! A native coroutine: what `sleep`, `wait`, `wait_for` and the like return, and `async with` on a native class awaits.
//!
//! asyncio documents these as coroutine functions, so what they return is accepted wherever a coroutine is: it has
//! `send`, `throw` and `close`, `isinstance(it, types.CoroutineType)` holds through `__class__`, it can be awaited once,
//! warns when it never was, and shows in stacks and reprs with the code and frame of the function of asyncio that it
//! stands for.
//!
//! What it does is a `Body`: a value that is taken out for a step and put back when it waits. A body whose step ended
//! holds nothing any more.

use pyo3::exceptions::{
    PyGeneratorExit, PyRuntimeError, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::body::{Body, Kind, Stepped};
use crate::cell::GilCell;
use crate::error::made;
use crate::event_loop::EventLoop;
use crate::future::Sent;
use crate::imports::imports;
use crate::interop;
use crate::returned::stop_iteration;

/// Where a coroutine stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Running,
    Suspended,
    Closed,
}

/// A native coroutine.
#[pyclass(frozen, weakref, name = "coroutine", module = "riata._native")]
pub struct Coroutine {
    kind: Kind,
    phase: GilCell<Phase>,
    body: GilCell<Body>,
    /// Where it was made, if the interpreter keeps track: `sys.set_coroutine_origin_tracking_depth`.
    origin: GilCell<Option<Py<PyAny>>>,
    /// A coroutine of asyncio's own function, never begun: whose code and frame are shown. Made when asked for.
    shown: GilCell<Option<Py<PyAny>>>,
}

impl Coroutine {
    /// A coroutine that will do `body`.
    ///
    /// # Errors
    /// MemoryError.
    #[inline]
    pub fn create<'py>(py: Python<'py>, kind: Kind, body: Body) -> PyResult<Bound<'py, Self>> {
        let origin = match EventLoop::tracks_origins() {
            true => origin(py)?,
            false => None,
        };
        Bound::new(
            py,
            Self {
                kind,
                phase: GilCell::new(Phase::Created),
                body: GilCell::new(body),
                origin: GilCell::new(origin),
                shown: GilCell::new(None),
            },
        )
    }

    /// `send(None)`.
    ///
    /// # Errors
    /// What the body raises; RuntimeError when it was awaited before.
    #[inline]
    pub fn step(&self, py: Python<'_>) -> PyResult<Sent> {
        self.enter(py)?;
        self.run(py, None)
    }

    /// `throw(error)`.
    fn step_throwing(&self, py: Python<'_>, error: PyErr) -> PyResult<Sent> {
        if self.enter(py)? == Phase::Created {
            self.end(py);
            return Err(error);
        }
        self.run(py, Some(error))
    }

    #[inline]
    fn enter(&self, py: Python<'_>) -> PyResult<Phase> {
        match self.phase.replace(py, Phase::Running) {
            Phase::Running => Err(PyValueError::new_err("coroutine already executing")),
            Phase::Closed => {
                self.phase.set(py, Phase::Closed);
                let text = "cannot reuse already awaited coroutine";
                Err(PyRuntimeError::new_err(text))
            }
            phase => Ok(phase),
        }
    }

    #[inline]
    fn run(&self, py: Python<'_>, thrown: Option<PyErr>) -> PyResult<Sent> {
        match self.body.take(py).step(py, thrown) {
            Stepped::Yield(body, awaited) => {
                self.body.set(py, body);
                self.phase.set(py, Phase::Suspended);
                Ok(Sent::Yield(awaited))
            }
            Stepped::Return(result) => {
                self.end(py);
                Ok(Sent::Return(result))
            }
            Stepped::Raise(error) => {
                self.end(py);
                Err(without_stop_iteration(py, error))
            }
        }
    }

    #[inline]
    fn end(&self, py: Python<'_>) {
        self.phase.set(py, Phase::Closed);
        self.body.set(py, Body::Done);
        if let Some(shown) = self.shown.take(py) {
            close_quietly(shown.bind(py));
        }
    }

    /// Whether the end of its life has something to do: close it, or warn that it was never awaited.
    pub fn is_open(&self, py: Python<'_>) -> bool {
        self.phase.get(py) != Phase::Closed
    }

    /// What CPython's `_PyGen_Finalize` does: warns of one that was never awaited, closes one that waits.
    ///
    /// # Errors
    /// What closing it raises.
    pub fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().phase.get(py) {
            Phase::Created => {
                let warned = imports(py)?.warn_unawaited_coroutine.bind(py).call1((slf,));
                slf.get().end(py);
                warned.map(drop)
            }
            Phase::Suspended => slf.get().close(py),
            Phase::Running | Phase::Closed => Ok(()),
        }
    }

    /// The coroutine of asyncio's own whose code and frame stand for this one's.
    fn stand_in<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(shown) = self.shown.cloned(py) {
            return Ok(Some(shown.into_bound(py)));
        }
        let Some(shown) = self.kind.stand_in(py)? else {
            return Ok(None);
        };
        match self.phase.get(py) {
            Phase::Closed => close_quietly(&shown),
            _ => self.shown.set(py, Some(shown.clone().unbind())),
        }
        Ok(Some(shown))
    }
}

/// The frames of the calling Python code as `cr_origin` shows them: file, line, function, as many as are asked for.
fn origin(py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
    let sys = py.import(intern!(py, "sys"))?;
    let depth: usize = sys
        .call_method0(intern!(py, "get_coroutine_origin_tracking_depth"))?
        .extract()?;
    if depth == 0 {
        return Ok(None);
    }
    let mut frame = imports(py)?.getframe.bind(py).call0()?;
    let mut frames = Vec::new();
    while !frame.is_none() && frames.len() < depth {
        let code = frame.getattr(intern!(py, "f_code"))?;
        let file = code.getattr(intern!(py, "co_filename"))?;
        let line = frame.getattr(intern!(py, "f_lineno"))?;
        frames.push((file, line, code.getattr(intern!(py, "co_name"))?));
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(Some(PyTuple::new(py, frames)?.into_any().unbind()))
}

/// Closing what was never begun runs nothing.
fn close_quietly(coro: &Bound<'_, PyAny>) {
    if let Err(error) = coro.call_method0(intern!(coro.py(), "close")) {
        error.write_unraisable(coro.py(), Some(coro));
    }
}

/// A StopIteration out of a coroutine would look like its end: PEP 479.
fn without_stop_iteration(py: Python<'_>, error: PyErr) -> PyErr {
    let error = made(py, error);
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error;
    }
    let raised = PyRuntimeError::new_err("coroutine raised StopIteration");
    raised.set_cause(py, Some(error.clone_ref(py)));
    raised.set_context(py, Some(error));
    raised
}

fn answer(sent: Sent) -> PyResult<Py<PyAny>> {
    match sent {
        Sent::Yield(awaited) => Ok(awaited),
        Sent::Return(result) => Err(stop_iteration(result)),
    }
}

#[pymethods]
impl Coroutine {
    /// types.CoroutineType, so that `isinstance` and `inspect` take it for what it is.
    #[getter(__class__)]
    fn class(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports(py)?.coroutine_type.clone_ref(py))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        format!(
            "<coroutine object {} at {:#x}>",
            slf.get().kind.qualname(),
            slf.as_ptr().addr()
        )
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        answer(self.step(py)?)
    }

    /// Send a value in, which must be None; return what is awaited, or raise StopIteration with the result.
    #[pyo3(signature = (value, /))]
    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if self.phase.get(py) == Phase::Created && !value.is_none() {
            return Err(PyTypeError::new_err(
                "can't send non-None value to a just-started coroutine",
            ));
        }
        answer(self.step(py)?)
    }

    /// Raise an exception where the coroutine waits.
    #[pyo3(signature = (r#type, value = None, traceback = None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        r#type: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let error = interop::thrown(py, r#type, value, traceback)?;
        answer(self.step_throwing(py, error)?)
    }

    /// Raise GeneratorExit where the coroutine waits, and end it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.phase.get(py) {
            Phase::Closed => return Ok(()),
            Phase::Created => {
                self.end(py);
                return Ok(());
            }
            Phase::Running | Phase::Suspended => {}
        }
        match self.step_throwing(py, made(py, PyGeneratorExit::new_err(()))) {
            Ok(Sent::Return(_)) => Ok(()),
            Ok(Sent::Yield(_)) => Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit")),
            Err(error) if error.is_instance_of::<PyGeneratorExit>(py) => Ok(()),
            Err(error) => Err(error),
        }
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        let name = self.kind.qualname();
        name.rsplit('.').next().unwrap_or(name)
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.kind.qualname()
    }

    #[getter]
    fn cr_await(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let awaited = self.body.with(py, |body| body.awaited(py));
        awaited.map(|awaited| awaited.shown(py)).transpose()
    }

    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        self.phase.get(py) == Phase::Running
    }

    /// What `inspect.getcoroutinestate` reads from Python 3.15 on.
    #[getter]
    fn cr_state(&self, py: Python<'_>) -> &'static str {
        match self.phase.get(py) {
            Phase::Created => "CORO_CREATED",
            Phase::Running => "CORO_RUNNING",
            Phase::Suspended => "CORO_SUSPENDED",
            Phase::Closed => "CORO_CLOSED",
        }
    }

    #[getter]
    fn cr_suspended(&self, py: Python<'_>) -> bool {
        self.phase.get(py) == Phase::Suspended
    }

    #[getter]
    fn cr_code<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.stand_in(py)?
            .map(|shown| shown.getattr(intern!(py, "cr_code")))
            .transpose()
    }

    #[getter]
    fn cr_frame<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.phase.get(py) == Phase::Closed {
            return Ok(None);
        }
        self.stand_in(py)?
            .map(|shown| shown.getattr(intern!(py, "cr_frame")))
            .transpose()
    }

    #[getter]
    fn cr_origin(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.origin.cloned(py)
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            self.body.traverse().traverse(&visit)?;
            visit.call(self.origin.traverse())?;
            visit.call(self.shown.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| self.end(py));
    }
}
