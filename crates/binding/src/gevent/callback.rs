//! What `run_callback` returns: a function that is called once, soon.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::GreenLoop;
use super::direct::Source;
use super::greenlets::{Greenlets, Wake};
use crate::cell::GilCell;
use crate::unwind;

/// A call that waits in a loop's ready queue.
#[pyclass(frozen, name = "callback", module = "riata.gevent.core")]
pub struct Callback {
    event_loop: Py<GreenLoop>,
    /// None once called or stopped.
    callback: GilCell<Option<Py<PyAny>>>,
    /// None once the call is over, or stopped.
    args: GilCell<Option<Py<PyTuple>>>,
}

impl Callback {
    /// `callback(*args)`, for `event_loop`.
    pub fn new(
        event_loop: Py<GreenLoop>,
        callback: Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
    ) -> Self {
        Self {
            event_loop,
            callback: GilCell::new(Some(callback.unbind())),
            args: GilCell::new(Some(args.unbind())),
        }
    }

    /// Calls it, unless it was stopped. What it raises goes to the loop's `handle_error`.
    pub fn run(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        let Some(callback) = this.callback.take(py) else {
            return;
        };
        let Some(args) = this
            .args
            .with(py, |args| args.as_ref().map(|args| args.clone_ref(py)))
        else {
            return;
        };
        let event_loop = this.event_loop.bind(py);
        if GreenLoop::wake_greenlet(event_loop, callback.bind(py), args.bind(py), || {
            Source::Callback(slf.clone().unbind())
        }) {
            return;
        }
        if !unwind::call_only(callback.bind(py), args.bind(py)) {
            GreenLoop::handle_raised(event_loop, slf.as_any());
        }
        this.end(py);
    }

    /// Whether it is to be called, or is being called.
    pub fn is_due(&self, py: Python<'_>) -> bool {
        self.args.with(py, |args| args.is_some())
    }

    /// The call is over.
    pub fn end(&self, py: Python<'_>) {
        self.args.set(py, None);
    }

    /// Whom it wakes, if that is all it does when `hub` calls it: then it is called by now.
    pub fn wake<'py>(&self, hub: &Bound<'py, PyAny>, known: &Greenlets) -> Option<Wake<'py>> {
        let py = hub.py();
        let callback = self.callback.cloned(py)?.into_bound(py);
        let args = self.args(py)?.into_bound(py);
        let wake = known.wake(&callback, &args, hub)?;
        self.callback.set(py, None);
        Some(wake)
    }
}

#[pymethods]
impl Callback {
    /// The function, until it is called; None afterwards.
    #[getter]
    fn callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.callback.cloned(py)
    }

    /// Its arguments, until the call is over; None afterwards.
    #[getter]
    fn args(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.args
            .with(py, |args| args.as_ref().map(|args| args.clone_ref(py)))
    }

    /// Whether it is still to be called.
    #[getter]
    fn pending(&self, py: Python<'_>) -> bool {
        self.callback.with(py, |callback| callback.is_some())
    }

    /// Do not call it.
    fn stop(&self, py: Python<'_>) {
        self.callback.set(py, None);
        self.args.set(py, None);
    }

    /// The same as stop().
    fn close(&self, py: Python<'_>) {
        self.stop(py);
    }

    /// True as long as it is to be called, or is being called.
    fn __bool__(&self, py: Python<'_>) -> bool {
        self.is_due(py)
    }

    fn _format(&self) -> &'static str {
        ""
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let mut text = format!("<callback at 0x{:x}", slf.as_ptr().addr());
        let (callback, args) = (this.callback(py), this.args(py));
        if this.pending(py) {
            text += " pending";
        }
        if let Some(callback) = &callback {
            text += &format!(" callback={}", callback.bind(py).repr()?);
        }
        if let Some(args) = &args {
            text += &format!(" args={}", args.bind(py).repr()?);
        }
        if callback.is_none() && args.is_none() {
            text += " stopped";
        }
        Ok(text + ">")
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.callback.traverse())?;
            visit.call(self.args.traverse())
        }
    }

    fn __clear__(&self) {
        Python::attach(|py| self.stop(py));
    }
}
