//! `Future`: asyncio's, native.
//!
//! The states, texts and order of everything are those of `Modules/_asynciomodule.c`. What differs is inside:
//! a native task that waits is kept as itself (`Waiter::Task`), without a callback object and a context.
//!
//! - here: the state, and what changes it
//! - `waiters`: who is told when it is done
//! - `surface`: the methods and attributes that Python sees
//! - `iter`: what `await` runs
//! - `awaited_by`: who awaits it, for the call graph

mod awaited_by;
mod iter;
mod surface;
mod waiters;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::cell::GilCell;
use crate::combine::Observer;
use crate::event_loop::work::LoopRef;
use crate::imports::{call_exception_handler, extract_stack, imports};
use crate::interop;
use crate::version::version;
use crate::watchdog::{self, Creator};

pub use awaited_by::{future_add_to_awaited_by, future_discard_from_awaited_by};
pub use iter::{FutureIter, Sent};
pub use waiters::Waiter;
use waiters::Waiters;

/// Where a future stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Neither result nor exception yet.
    Pending,
    /// `cancel` was called in time.
    Cancelled,
    /// There is a result or an exception.
    Finished,
}

/// What a finished future holds.
#[derive(Default)]
enum Outcome {
    #[default]
    None,
    Result(Py<PyAny>),
    /// The exception, and the traceback it came with until it is raised for the first time.
    Exception(Py<PyAny>, Option<Py<PyAny>>),
}

/// What few futures have.
#[derive(Default)]
struct Rare {
    cancel_message: Option<Py<PyAny>>,
    cancelled_exc: Option<Py<PyAny>>,
    source_traceback: Option<Py<PyAny>>,
    awaited_by: Option<Py<PyAny>>,
    /// Where a task was made, while a watchdog runs.
    creator: Option<Creator>,
}

/// A native `asyncio.Future`.
#[pyclass(frozen, subclass, weakref, dict, name = "Future", module = "riata")]
pub struct Future {
    event_loop: GilCell<LoopRef>,
    outcome: GilCell<Outcome>,
    waiters: GilCell<Waiters>,
    rare: GilCell<Option<Box<Rare>>>,
    state: GilCell<State>,
    /// Set by `__await__`, cleared by the task that takes the future: how `yield fut` is told from `await fut`.
    blocking: GilCell<bool>,
    /// The exception has not been looked at.
    log_traceback: GilCell<bool>,
}

/// How a done future is read.
pub enum Reading {
    /// The result.
    Result(Py<PyAny>),
    /// The exception to raise; its traceback is in place.
    Exception(Py<PyAny>),
}

impl Future {
    /// A future that belongs to no loop yet: `__init__` or `bind` follows.
    pub const fn unbound() -> Self {
        Self::on(LoopRef::None)
    }

    /// A pending future of `event_loop`.
    pub const fn on(event_loop: LoopRef) -> Self {
        Self {
            event_loop: GilCell::new(event_loop),
            outcome: GilCell::new(Outcome::None),
            waiters: GilCell::new(Waiters::None),
            rare: GilCell::new(None),
            state: GilCell::new(State::Pending),
            blocking: GilCell::new(false),
            log_traceback: GilCell::new(false),
        }
    }

    /// Makes it a pending future of `event_loop`, or of the current loop, whatever it was before.
    ///
    /// # Errors
    /// RuntimeError when it is one already, from Python 3.15 on; what asking for the current loop raises.
    pub fn bind(slf: &Bound<'_, Self>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if version(py)?.initialized_once && this.check_initialized(py).is_ok() {
            return Err(interop::initialized_already(slf.as_any()));
        }
        let event_loop = match event_loop {
            Some(event_loop) if !event_loop.is_none() => event_loop.clone(),
            _ => imports(py)?.get_event_loop.bind(py).call0()?,
        };
        this.outcome.set(py, Outcome::None);
        this.waiters.set(py, Waiters::None);
        this.rare.set(py, None);
        this.state.set(py, State::Pending);
        this.blocking.set(py, false);
        this.log_traceback.set(py, false);
        let reference = LoopRef::new(&event_loop);
        let debug = reference.debug(py)?;
        this.event_loop.set(py, reference);
        if debug {
            this.note_source(py)?;
        }
        Ok(())
    }

    /// Keeps the stack of the caller as `_source_traceback`.
    pub fn note_source(&self, py: Python<'_>) -> PyResult<()> {
        let stack = extract_stack(py)?;
        drop(self.rare.with(py, |rare| {
            std::mem::replace(&mut rare.get_or_insert_default().source_traceback, stack)
        }));
        Ok(())
    }

    /// Keeps where it is being made, for the watchdog's reports.
    pub fn note_creator(&self, py: Python<'_>) {
        let creator = Some(watchdog::creator(py));
        drop(self.rare.with(py, |rare| {
            std::mem::replace(&mut rare.get_or_insert_default().creator, creator)
        }));
    }

    /// Where it was made: code and line, the innermost frame first; empty where nobody noted it.
    pub fn created_by<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyAny>, i32)> {
        let creator = self.rare.with(py, |rare| {
            let creator = rare.as_ref()?.creator.as_ref()?;
            let clone = |(code, offset): &(Py<PyAny>, i32)| (code.clone_ref(py), *offset);
            Some(creator.iter().map(clone).collect::<Vec<_>>())
        });
        creator.map_or_else(Vec::new, |creator| watchdog::show(py, &creator))
    }

    /// The loop, or RuntimeError when `__init__` never ran.
    pub fn loop_ref(&self, py: Python<'_>) -> PyResult<LoopRef> {
        match self
            .event_loop
            .with(py, |event_loop| event_loop.clone_ref(py))
        {
            LoopRef::None => Err(PyRuntimeError::new_err("Future object is not initialized.")),
            event_loop => Ok(event_loop),
        }
    }

    /// Whether both belong to the same loop.
    #[inline]
    pub fn same_loop(&self, py: Python<'_>, other: &Self) -> bool {
        self.event_loop.with(py, |mine| mine.as_ptr())
            == other.event_loop.with(py, |theirs| theirs.as_ptr())
    }

    /// Where it stands.
    #[inline]
    pub fn state(&self, py: Python<'_>) -> State {
        self.state.get(py)
    }

    /// Whether it is done, in either way.
    #[inline]
    pub fn is_done(&self, py: Python<'_>) -> bool {
        self.state.get(py) != State::Pending
    }

    /// Clears the mark of `__await__` and tells whether it was set.
    #[inline]
    pub fn take_blocking(&self, py: Python<'_>) -> bool {
        self.blocking.replace(py, false)
    }

    /// Sets the mark of `__await__` and tells whether it was set already.
    #[inline]
    pub fn mark_blocking(&self, py: Python<'_>) -> bool {
        self.blocking.replace(py, true)
    }

    fn check_initialized(&self, py: Python<'_>) -> PyResult<()> {
        match self
            .event_loop
            .with(py, |event_loop| matches!(event_loop, LoopRef::None))
        {
            true => Err(PyRuntimeError::new_err("Future object is not initialized.")),
            false => Ok(()),
        }
    }

    /// The result, or the exception with its traceback in place.
    ///
    /// # Errors
    /// CancelledError when cancelled, InvalidStateError while pending.
    pub fn read(&self, py: Python<'_>) -> PyResult<Reading> {
        match self.state.get(py) {
            State::Cancelled => return Err(self.cancelled_error(py)?),
            State::Pending => return Err(invalid_state(py, "Result is not set.")),
            State::Finished => {}
        }
        self.log_traceback.set(py, false);
        let reading = self.outcome.with(py, |outcome| match outcome {
            Outcome::Result(result) => (Reading::Result(result.clone_ref(py)), None),
            Outcome::Exception(exception, traceback) => (
                Reading::Exception(exception.clone_ref(py)),
                traceback.take(),
            ),
            Outcome::None => (Reading::Result(py.None()), None),
        });
        if let (Reading::Exception(exception), traceback) = &reading {
            let traceback = traceback
                .as_ref()
                .map_or_else(|| py.None(), |traceback| traceback.clone_ref(py));
            exception
                .bind(py)
                .setattr(intern!(py, "__traceback__"), traceback)?;
        }
        Ok(reading.0)
    }

    /// The exception, which counts as looked at then, or None.
    ///
    /// # Errors
    /// CancelledError when cancelled, InvalidStateError while pending.
    pub fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.state.get(py) {
            State::Cancelled => return Err(self.cancelled_error(py)?),
            State::Pending => return Err(invalid_state(py, "Exception is not set.")),
            State::Finished => {}
        }
        self.log_traceback.set(py, false);
        Ok(self.outcome.with(py, |outcome| match outcome {
            Outcome::Exception(exception, _) => Some(exception.clone_ref(py)),
            _ => None,
        }))
    }

    /// Takes an observer out that waits for this future.
    pub fn remove_observer(&self, py: Python<'_>, observer: &Observer) {
        let is_other =
            |waiter: &Waiter| !matches!(waiter, Waiter::Observer(other) if other.is(observer));
        drop(
            self.waiters
                .with(py, |waiters| waiters.remove_unless(is_other)),
        );
    }

    /// Finishes with a result.
    ///
    /// # Errors
    /// InvalidStateError when done already; RuntimeError when the loop is closed and someone waits.
    pub fn finish(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.check_initialized(py)?;
        if this.is_done(py) {
            return Err(invalid_state(py, "invalid state"));
        }
        this.outcome.set(py, Outcome::Result(result));
        this.state.set(py, State::Finished);
        Self::schedule_waiters(slf)
    }

    /// Finishes with an exception: an instance, or a class to be called.
    ///
    /// # Errors
    /// InvalidStateError when done already; TypeError for what is no exception, and before Python 3.13 for StopIteration.
    pub fn fail(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.check_initialized(py)?;
        if this.is_done(py) {
            return Err(invalid_state(py, "invalid state"));
        }
        let exception = match exception.cast::<PyType>() {
            Ok(class) if class.is_subclass_of::<pyo3::exceptions::PyBaseException>()? => {
                class.call0()?
            }
            _ => exception.clone(),
        };
        if !exception.is_instance_of::<pyo3::exceptions::PyBaseException>() {
            return Err(PyTypeError::new_err("invalid exception object"));
        }
        let exception = interop::storable_exception(&exception)?;
        let traceback = exception.getattr(intern!(py, "__traceback__"))?;
        let traceback = (!traceback.is_none()).then(|| traceback.unbind());
        this.outcome
            .set(py, Outcome::Exception(exception.unbind(), traceback));
        this.state.set(py, State::Finished);
        Self::schedule_waiters(slf)?;
        this.log_traceback.set(py, true);
        Ok(())
    }

    /// Cancels; `false` when it was done already.
    pub fn cancel_with(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        this.log_traceback.set(py, false);
        if this.is_done(py) {
            return Ok(false);
        }
        this.state.set(py, State::Cancelled);
        this.set_cancel_message(py, message);
        Self::schedule_waiters(slf)?;
        Ok(true)
    }

    /// Keeps the message that `CancelledError` will carry.
    pub fn set_cancel_message(&self, py: Python<'_>, message: Option<Py<PyAny>>) {
        let message = message.filter(|message| !message.is_none(py));
        if message.is_none() && self.rare.with(py, |rare| rare.is_none()) {
            return;
        }
        drop(self.rare.with(py, |rare| {
            std::mem::replace(&mut rare.get_or_insert_default().cancel_message, message)
        }));
    }

    /// The exception, if there is one, counts as looked at.
    pub fn forget_traceback(&self, py: Python<'_>) {
        self.log_traceback.set(py, false);
    }

    /// Keeps the CancelledError that a coroutine raised, to be raised again as it is.
    pub fn set_cancelled_exc(&self, py: Python<'_>, exception: Py<PyAny>) {
        let new = Some(exception);
        drop(self.rare.with(py, |rare| {
            std::mem::replace(&mut rare.get_or_insert_default().cancelled_exc, new)
        }));
    }

    /// The message given to `cancel`.
    pub fn cancel_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.rare_field(py, |rare| &rare.cancel_message)
    }

    fn rare_field(
        &self,
        py: Python<'_>,
        field: impl FnOnce(&Rare) -> &Option<Py<PyAny>>,
    ) -> Option<Py<PyAny>> {
        self.rare.with(py, |rare| {
            rare.as_ref()
                .and_then(|rare| field(rare).as_ref().map(|object| object.clone_ref(py)))
        })
    }

    /// The CancelledError to raise: the saved one, once, else a new one with the message.
    pub fn cancelled_error(&self, py: Python<'_>) -> PyResult<PyErr> {
        let saved = self.rare.with(py, |rare| {
            rare.as_mut().and_then(|rare| rare.cancelled_exc.take())
        });
        if let Some(exception) = saved {
            return Ok(PyErr::from_value(exception.into_bound(py)));
        }
        let class = imports(py)?.cancelled_error.bind(py);
        let exception = match self.cancel_message(py) {
            Some(message) => class.call1((message,))?,
            None => class.call0()?,
        };
        Ok(PyErr::from_value(exception))
    }

    /// Whether the destructor has something to report.
    pub fn must_report(&self, py: Python<'_>) -> bool {
        self.log_traceback.get(py)
    }

    /// Reports an exception that nobody looked at. Called by the finalizer.
    pub fn report_unretrieved(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !this.log_traceback.replace(py, false) {
            return Ok(());
        }
        let exception = this.outcome.with(py, |outcome| match outcome {
            Outcome::Exception(exception, _) => Some(exception.clone_ref(py)),
            _ => None,
        });
        let class = slf.get_type().name()?;
        let context = PyDict::new(py);
        context.set_item(
            intern!(py, "message"),
            format!("{class} exception was never retrieved"),
        )?;
        context.set_item(intern!(py, "exception"), exception)?;
        context.set_item(intern!(py, "future"), slf)?;
        if let Some(stack) = this.rare_field(py, |rare| &rare.source_traceback) {
            context.set_item(intern!(py, "source_traceback"), stack)?;
        }
        let event_loop = this.loop_ref(py)?;
        call_exception_handler(&event_loop.object(py), &context)
    }

    /// Drops what ties it into cycles; used by the collector for futures and tasks.
    pub fn clear(&self, py: Python<'_>) {
        self.outcome.set(py, Outcome::None);
        self.waiters.set(py, Waiters::None);
        self.rare.set(py, None);
        self.event_loop.set(py, LoopRef::None);
    }

    /// The stack kept by debug mode.
    pub fn source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.rare_field(py, |rare| &rare.source_traceback)
    }
}

/// `asyncio.InvalidStateError` with `text`.
pub fn invalid_state(py: Python<'_>, text: &str) -> PyErr {
    match imports(py) {
        Ok(imports) => PyErr::from_type(
            imports.invalid_state_error.bind(py).clone(),
            text.to_owned(),
        ),
        Err(error) => error,
    }
}
