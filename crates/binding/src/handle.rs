//! `Handle` and `TimerHandle`: what `call_soon`, `call_later` and `call_at` return.
//!
//! They look exactly like asyncio's (`isinstance` holds through `__class__`, the private names are there, the
//! texts are made by asyncio's own functions), and run without a Python frame.

use pyo3::PyTraverseError;
use pyo3::PyVisit;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};
use riata_engine::timers::TimerKey;

use crate::cell::GilCell;
use crate::context;
use crate::event_loop::work::LoopRef;
use crate::imports::{call_exception_handler, extract_stack, imports};
use crate::unwind;

/// What debug mode keeps of a handle; absent otherwise.
#[derive(Default)]
struct Debug {
    source_traceback: Option<Py<PyAny>>,
    /// How the handle looked before it was cancelled.
    repr: Option<Py<PyAny>>,
    /// Set while that is asked for, when there is a callback still.
    cancelling: bool,
}

impl Debug {
    #[cold]
    fn here(py: Python<'_>) -> PyResult<Box<Self>> {
        Ok(Box::new(Self {
            source_traceback: extract_stack(py)?,
            repr: None,
            cancelling: false,
        }))
    }
}

/// A callback with its arguments and context, to be run once (`call_soon`) or at every event (`add_reader`).
#[pyclass(frozen, subclass, weakref, name = "Handle", module = "riata")]
pub struct Handle {
    event_loop: LoopRef,
    /// None once cancelled.
    call: GilCell<Option<(Py<PyAny>, Py<PyTuple>)>>,
    context: GilCell<Option<Py<PyAny>>>,
    debug: GilCell<Option<Box<Debug>>>,
}

impl Handle {
    /// A handle for `callback(*args)` in `context`, or in a copy of the current one.
    #[inline(always)]
    pub fn new(
        event_loop: LoopRef,
        callback: Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = callback.py();
        let context = match context {
            Some(context) if !context.is_none() => context.unbind(),
            _ => context::copy_current(py)?,
        };
        let debug = match event_loop.debug(py)? {
            true => Some(Debug::here(py)?),
            false => None,
        };
        Ok(Self {
            event_loop,
            call: GilCell::new(Some((callback.unbind(), args.unbind()))),
            context: GilCell::new(Some(context)),
            debug: GilCell::new(debug),
        })
    }

    /// Whether `cancel` was called.
    #[inline]
    pub fn is_cancelled(&self, py: Python<'_>) -> bool {
        self.call.with(py, |call| call.is_none())
            || self.debug.with(py, |debug| {
                debug.as_ref().is_some_and(|debug| debug.cancelling)
            })
    }

    fn call<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        self.call.with(py, |call| {
            call.as_ref()
                .map(|(callback, args)| (callback.bind(py).clone(), args.bind(py).clone()))
        })
    }

    /// Runs the callback in its context. What it raises goes to the loop's exception handler, but SystemExit and
    /// KeyboardInterrupt, which are returned.
    pub fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some((callback, args)) = this.call(py) else {
            return Ok(());
        };
        let Some(context) = this.context.cloned(py) else {
            return Ok(());
        };
        let context = context.into_bound(py);
        let outcome = if context::is_exact(&context) {
            context::run_in(&context, || unwind::call(&callback, &args))
        } else {
            run_in_stand_in(&context, &callback, &args)
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => Self::report(
                slf.as_any(),
                &callback,
                &args,
                &this.event_loop.object(py),
                error,
            ),
        }
    }

    /// Tells the loop's exception handler that `callback` raised `error`, in asyncio's words.
    ///
    /// # Errors
    /// `error` itself when it is SystemExit or KeyboardInterrupt.
    pub fn report(
        handle: &Bound<'_, PyAny>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        event_loop: &Bound<'_, PyAny>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = handle.py();
        if error.is_instance_of::<PySystemExit>(py)
            || error.is_instance_of::<PyKeyboardInterrupt>(py)
        {
            return Err(error);
        }
        let imports = imports(py)?;
        let options = PyDict::new(py);
        if imports.format_takes_debug {
            options.set_item(
                intern!(py, "debug"),
                event_loop.call_method0(intern!(py, "get_debug"))?,
            )?;
        }
        let text = imports
            .format_callback_source
            .bind(py)
            .call((callback, args), Some(&options))?;
        let context = PyDict::new(py);
        context.set_item(
            intern!(py, "message"),
            format!("Exception in callback {}", text.str()?.to_string_lossy()),
        )?;
        context.set_item(intern!(py, "exception"), error.into_value(py))?;
        context.set_item(intern!(py, "handle"), handle)?;
        let source = handle.getattr(intern!(py, "_source_traceback"))?;
        if source.is_truthy()? {
            context.set_item(intern!(py, "source_traceback"), source)?;
        }
        call_exception_handler(event_loop, &context)
    }

    fn cancel_call(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_cancelled(py) {
            return Ok(());
        }
        if this.event_loop.debug(py)? {
            this.debug.with(py, |debug| {
                debug.get_or_insert_default().cancelling = true;
            });
            let repr = slf.repr()?.into_any().unbind();
            let old = this
                .debug
                .with(py, |debug| debug.get_or_insert_default().repr.replace(repr));
            drop(old);
        }
        this.call.set(py, None);
        Ok(())
    }
}

fn to_tuple<'py>(args: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    match args.cast::<PyTuple>() {
        Ok(args) => Ok(args.clone()),
        Err(_) => PyTuple::new(args.py(), args.try_iter()?.collect::<PyResult<Vec<_>>>()?),
    }
}

/// A context that is not `contextvars.Context`: asked to `run`, as asyncio's Handle does.
pub fn run_in_stand_in<'py>(
    context: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut all = vec![callback.clone()];
    all.extend(args.iter());
    context.call_method1(
        intern!(context.py(), "run"),
        PyTuple::new(context.py(), all)?,
    )
}

#[pymethods]
impl Handle {
    /// A handle that runs `callback(*args)`: `loop.call_soon` and the like make them.
    #[new]
    #[pyo3(signature = (callback, args, r#loop, context = None))]
    fn create<'py>(
        callback: Bound<'py, PyAny>,
        args: &Bound<'py, PyAny>,
        r#loop: &Bound<'py, PyAny>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        Self::new(LoopRef::new(r#loop), callback, to_tuple(args)?, context)
    }

    /// asyncio.Handle: so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let imports = imports(slf.py())?;
        Ok(if slf.is_instance_of::<TimerHandle>() {
            imports.asyncio_timer_handle.clone_ref(slf.py())
        } else {
            imports.asyncio_handle.clone_ref(slf.py())
        })
    }

    /// Cancel the callback. If it has already been cancelled or run, this has no effect.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::cancel_call(slf)
    }

    /// Return True if the callback was cancelled.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    /// Return the contextvars.Context in which the callback runs (asyncio has this since 3.12).
    fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.cloned(py)
    }

    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::run(slf)
    }

    fn _repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let imports = imports(slf.py())?;
        imports
            .asyncio_handle
            .bind(slf.py())
            .call_method1(intern!(slf.py(), "_repr_info"), (slf,))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let imports = imports(slf.py())?;
        imports
            .asyncio_handle
            .bind(slf.py())
            .call_method1(intern!(slf.py(), "__repr__"), (slf,))
    }

    #[getter]
    fn _callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.call(py).map(|(callback, _)| callback.unbind())
    }

    #[getter]
    fn _args(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.call(py).map(|(_, args)| args.unbind())
    }

    #[getter]
    fn _cancelled(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.event_loop.object(py)
    }

    #[getter]
    fn _context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.cloned(py)
    }

    #[getter]
    fn _repr(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.debug.with(py, |debug| {
            debug
                .as_ref()
                .and_then(|debug| debug.repr.as_ref().map(|text| text.clone_ref(py)))
        })
    }

    #[getter]
    fn _source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.debug.with(py, |debug| {
            debug.as_ref().and_then(|debug| {
                debug
                    .source_traceback
                    .as_ref()
                    .map(|stack| stack.clone_ref(py))
            })
        })
    }

    #[setter(_source_traceback)]
    fn set_source_traceback(&self, py: Python<'_>, stack: Option<Py<PyAny>>) {
        let old = self.debug.with(py, |debug| {
            std::mem::replace(&mut debug.get_or_insert_default().source_traceback, stack)
        });
        drop(old);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.traverse(&visit)?;
        // SAFETY: B3: called by the collector.
        unsafe {
            if let Some((callback, args)) = self.call.traverse() {
                visit.call(callback)?;
                visit.call(args)?;
            }
            visit.call(self.context.traverse())?;
            if let Some(debug) = self.debug.traverse() {
                visit.call(&debug.source_traceback)?;
                visit.call(&debug.repr)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.call.set(py, None);
            self.context.set(py, None);
            self.debug.set(py, None);
        });
    }
}

/// A handle with a time: `call_later` and `call_at` return it, and its `cancel` takes it out of the timers.
#[pyclass(frozen, extends = Handle, subclass, name = "TimerHandle", module = "riata")]
pub struct TimerHandle {
    /// Seconds on the loop's clock, as the program gave them.
    when: f64,
    /// The object itself, where that is no float.
    given: Option<Py<PyAny>>,
    /// Where it waits; None before, after and once cancelled.
    key: GilCell<Option<TimerKey>>,
}

impl TimerHandle {
    /// A timer handle for the absolute time `when`, in seconds.
    pub fn create<'py>(handle: Handle, when: f64, py: Python<'py>) -> PyResult<Bound<'py, Self>> {
        Bound::new(py, Self::initializer(handle, when, None))
    }

    /// The same for a time given as an object, which `when()` gives back as it is.
    pub fn create_given<'py>(
        handle: Handle,
        when: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        Bound::new(when.py(), Self::initializer_given(handle, when)?)
    }

    fn initializer(
        handle: Handle,
        when: f64,
        given: Option<Py<PyAny>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(handle).add_subclass(Self {
            when,
            given,
            key: GilCell::new(None),
        })
    }

    fn initializer_given(
        handle: Handle,
        when: &Bound<'_, PyAny>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let given = (!when.is_exact_instance_of::<PyFloat>()).then(|| when.clone().unbind());
        Ok(Self::initializer(handle, when.extract()?, given))
    }

    /// The time in seconds on the loop's clock.
    pub fn seconds(&self) -> f64 {
        self.when
    }

    /// Notes where it waits, or that it does no longer.
    pub fn set_key(&self, py: Python<'_>, key: Option<TimerKey>) {
        self.key.set(py, key);
    }

    fn compare(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        op: CompareOp,
    ) -> PyResult<Option<bool>> {
        let py = slf.py();
        if !other.is_instance(imports(py)?.asyncio_timer_handle.bind(py))? {
            return Ok(None);
        }
        let mine = slf.get().when;
        let theirs: f64 = other.getattr(intern!(py, "_when"))?.extract()?;
        Ok(Some(match op {
            CompareOp::Lt => mine < theirs,
            CompareOp::Gt => mine > theirs,
            CompareOp::Le => mine < theirs || Self::same(slf, other)?,
            CompareOp::Ge => mine > theirs || Self::same(slf, other)?,
            CompareOp::Eq => Self::same(slf, other)?,
            CompareOp::Ne => !Self::same(slf, other)?,
        }))
    }

    fn same(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        for name in ["_when", "_callback", "_args", "_cancelled"] {
            if !slf.getattr(name)?.eq(other.getattr(name)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[pymethods]
impl TimerHandle {
    /// A timer handle for the absolute time `when`, in seconds: `loop.call_later` and the like make them.
    #[new]
    #[pyo3(signature = (when, callback, args, r#loop, context = None))]
    fn create_py<'py>(
        when: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: &Bound<'py, PyAny>,
        r#loop: &Bound<'py, PyAny>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let handle = Handle::new(LoopRef::new(r#loop), callback, to_tuple(args)?, context)?;
        Self::initializer_given(handle, when)
    }

    /// Return the scheduled time: an absolute timestamp in seconds on the clock of `loop.time()`.
    fn when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match &self.given {
            Some(given) => given.bind(py).clone(),
            None => PyFloat::new(py, self.when).into_any(),
        }
    }

    /// Cancel the callback and forget it at once: a cancelled timer costs no memory.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if let Some(key) = this.key.take(py) {
            let LoopRef::Native(event_loop) = &slf.as_super().get().event_loop else {
                return Handle::cancel_call(slf.as_super());
            };
            let waiting = event_loop.get().forget_timer(py, key);
            let cancelled = Handle::cancel_call(slf.as_super());
            drop(waiting);
            return cancelled;
        }
        if let LoopRef::Foreign(event_loop) = &slf.as_super().get().event_loop
            && !slf.as_super().get().is_cancelled(py)
        {
            event_loop
                .bind(py)
                .call_method1(intern!(py, "_timer_handle_cancelled"), (slf,))?;
        }
        Handle::cancel_call(slf.as_super())
    }

    #[getter]
    fn _when<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.when(py)
    }

    #[getter]
    fn _scheduled(&self, py: Python<'_>) -> bool {
        self.key.get(py).is_some()
    }

    fn _repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let imports = imports(slf.py())?;
        imports
            .asyncio_timer_handle
            .bind(slf.py())
            .call_method1(intern!(slf.py(), "_repr_info"), (slf,))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.given)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.when(py).hash()
    }

    fn __richcmp__(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        op: CompareOp,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        Ok(match Self::compare(slf, other, op)? {
            Some(outcome) => outcome.into_pyobject(py)?.to_owned().into_any().unbind(),
            None => py.NotImplemented(),
        })
    }
}
