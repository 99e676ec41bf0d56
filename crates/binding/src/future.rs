//! `Future`: asyncio's, native.
//!
//! The states, texts and order of everything are those of `Modules/_asynciomodule.c`. What differs is inside:
//! a native task that waits is kept as itself (`Waiter::Task`), without a callback object and a context.

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::GilCell;
use crate::context;
use crate::event_loop::work::{LoopRef, Work};
use crate::imports::{call_exception_handler, extract_stack, imports};
use crate::interop;
use crate::task::{Task, TaskWakeup};

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

/// Who is told when a future is done.
pub enum Waiter {
    /// A native task that awaits the future.
    Task(Py<Task>),
    /// A done callback and its context.
    Call(Py<PyAny>, Py<PyAny>),
}

/// Most futures have one waiter: it is kept inline.
#[derive(Default)]
enum Waiters {
    #[default]
    None,
    One(Waiter),
    Many(Vec<Waiter>),
}

impl Waiters {
    fn push(&mut self, waiter: Waiter) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(waiter),
            Self::One(first) => Self::Many(vec![first, waiter]),
            Self::Many(mut all) => {
                all.push(waiter);
                Self::Many(all)
            }
        };
    }

    fn as_slice(&self) -> &[Waiter] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(all) => all,
        }
    }

    fn into_vec(self) -> Vec<Waiter> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::Many(all) => all,
        }
    }
}

/// What few futures have.
#[derive(Default)]
struct Rare {
    cancel_message: Option<Py<PyAny>>,
    cancelled_exc: Option<Py<PyAny>>,
    source_traceback: Option<Py<PyAny>>,
    awaited_by: Option<Py<PyAny>>,
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
    pub fn bind(slf: &Bound<'_, Self>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
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

    /// Adds who is to be told; a done future tells at once, through the loop.
    pub fn add_waiter(slf: &Bound<'_, Self>, waiter: Waiter) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.is_done(py) {
            return Self::schedule(slf, waiter);
        }
        this.waiters.with(py, |waiters| waiters.push(waiter));
        Ok(())
    }

    fn schedule(slf: &Bound<'_, Self>, waiter: Waiter) -> PyResult<()> {
        let py = slf.py();
        let work = match waiter {
            Waiter::Task(task) => Work::Wake(task, slf.clone().into_any().unbind()),
            Waiter::Call(callback, context) => Work::Callback {
                callback,
                future: slf.clone().into_any().unbind(),
                context,
            },
        };
        slf.get().loop_ref(py)?.push(py, work)
    }

    fn schedule_waiters(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().waiters.take(slf.py()) {
            Waiters::None => Ok(()),
            Waiters::One(waiter) => Self::schedule(slf, waiter),
            Waiters::Many(all) => all
                .into_iter()
                .try_for_each(|waiter| Self::schedule(slf, waiter)),
        }
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

    /// Notes, for the call graph of Python 3.14, that `waiter` awaits this future.
    pub fn add_awaited_by(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        let set = match self.rare_field(py, |rare| &rare.awaited_by) {
            Some(set) => set.into_bound(py),
            None => {
                let set = pyo3::types::PySet::empty(py)?.into_any();
                let kept = Some(set.clone().unbind());
                drop(self.rare.with(py, |rare| {
                    std::mem::replace(&mut rare.get_or_insert_default().awaited_by, kept)
                }));
                set
            }
        };
        set.call_method1(intern!(py, "add"), (waiter,))?;
        Ok(())
    }

    /// Takes that note back.
    pub fn discard_awaited_by(&self, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiter.py();
        if let Some(set) = self.rare_field(py, |rare| &rare.awaited_by) {
            set.bind(py)
                .call_method1(intern!(py, "discard"), (waiter,))?;
        }
        Ok(())
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

#[pymethods]
impl Future {
    #[new]
    #[pyo3(signature = (*_args, **_options), text_signature = "(*, loop=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> Self {
        Self::unbound()
    }

    /// A pending future of `loop`, by default the current event loop.
    #[pyo3(signature = (*, r#loop = None))]
    fn __init__(slf: &Bound<'_, Self>, r#loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        Self::bind(slf, r#loop)
    }

    /// asyncio.Future (or Task): so that `isinstance` holds for code that knows only asyncio's.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let imports = imports(py)?;
        if slf.is_exact_instance_of::<Self>() {
            return Ok(imports.asyncio_future.bind(py).clone());
        }
        if slf.is_exact_instance_of::<Task>() {
            return Ok(imports.asyncio_task.bind(py).clone());
        }
        let is_task = slf.is_instance_of::<Task>();
        let asyncio_class = if is_task {
            &imports.asyncio_task
        } else {
            &imports.asyncio_future
        };
        interop::face(&slf.get_type(), asyncio_class.bind(py))
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports(class.py())?
            .generic_alias
            .bind(class.py())
            .call1((class, item))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().check_initialized(slf.py())?;
        imports(slf.py())?.future_repr.bind(slf.py()).call1((slf,))
    }

    /// Return the result this future represents, or raise its exception.
    ///
    /// Raises CancelledError when cancelled and InvalidStateError while pending.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.read(py)? {
            Reading::Result(result) => Ok(result),
            Reading::Exception(exception) => Err(PyErr::from_value(exception.into_bound(py))),
        }
    }

    /// Return the exception that was set, or None.
    ///
    /// Raises CancelledError when cancelled and InvalidStateError while pending.
    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
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

    /// Mark the future done and set its result. Raises InvalidStateError when it is done already.
    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Self::finish(slf, result)
    }

    /// Mark the future done and set an exception. Raises InvalidStateError when it is done already.
    fn set_exception(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::fail(slf, exception)
    }

    /// Cancel the future and schedule its callbacks; False when it is done already.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        slf.get().check_initialized(slf.py())?;
        Self::cancel_with(slf, msg)
    }

    /// Return True if the future was cancelled.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.state.get(py) == State::Cancelled
    }

    /// Return True if the future is done: has a result or an exception, or was cancelled.
    fn done(&self, py: Python<'_>) -> bool {
        self.is_done(py)
    }

    /// Call `fn(future)` in `context` (a copy of the current one) through the loop once the future is done.
    #[pyo3(signature = (r#fn, /, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        r#fn: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.get().check_initialized(py)?;
        let context = match context {
            Some(context) => context,
            None => context::copy_current(py)?,
        };
        Self::add_waiter(slf, Waiter::Call(r#fn, context))
    }

    /// Remove all instances of a callback; return how many there were.
    #[pyo3(signature = (r#fn, /))]
    fn remove_done_callback(slf: &Bound<'_, Self>, r#fn: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = slf.py();
        let this = slf.get();
        this.check_initialized(py)?;
        let waiters = this.waiters.take(py).into_vec();
        let before = waiters.len();
        let mut kept = Vec::with_capacity(before);
        let mut trouble = None;
        for waiter in waiters {
            // Comparing calls Python, which may touch this very future: what it adds meanwhile comes behind.
            let equal = match &waiter {
                _ if trouble.is_some() => Ok(false),
                Waiter::Call(callback, _) => callback.bind(py).eq(r#fn),
                Waiter::Task(task) => Ok(TaskWakeup::wakes(r#fn, task)),
            };
            match equal {
                Ok(true) => {}
                Ok(false) => kept.push(waiter),
                Err(error) => {
                    trouble = Some(error);
                    kept.push(waiter);
                }
            }
        }
        let removed = before - kept.len();
        this.waiters.with(py, |waiters| {
            for waiter in std::mem::take(waiters).into_vec() {
                kept.push(waiter);
            }
            for waiter in kept {
                waiters.push(waiter);
            }
        });
        trouble.map_or(Ok(removed), Err)
    }

    /// Return the event loop the future is bound to.
    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.loop_ref(py)?.object(py))
    }

    fn _make_cancelled_error(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.cancelled_error(py)?.into_value(py).into_any())
    }

    fn __await__(slf: &Bound<'_, Self>) -> PyResult<FutureIter> {
        slf.get().check_initialized(slf.py())?;
        Ok(FutureIter::new(slf.clone().unbind()))
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<FutureIter> {
        slf.get().check_initialized(slf.py())?;
        Ok(FutureIter::new(slf.clone().unbind()))
    }

    #[getter]
    fn _asyncio_future_blocking(&self, py: Python<'_>) -> bool {
        self.blocking.get(py)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_asyncio_future_blocking(&self, py: Python<'_>, value: bool) {
        self.blocking.set(py, value);
    }

    #[getter]
    fn _log_traceback(&self, py: Python<'_>) -> bool {
        self.log_traceback.get(py)
    }

    #[setter(_log_traceback)]
    fn set_log_traceback(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.is_truthy()? {
            return Err(PyValueError::new_err(
                "_log_traceback can only be set to False",
            ));
        }
        self.log_traceback.set(py, false);
        Ok(())
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.loop_ref(py)
            .ok()
            .map(|event_loop| event_loop.object(py))
    }

    #[getter]
    fn _state(&self, py: Python<'_>) -> &'static str {
        match self.state.get(py) {
            State::Pending => "PENDING",
            State::Cancelled => "CANCELLED",
            State::Finished => "FINISHED",
        }
    }

    #[getter]
    fn _result(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.outcome.with(py, |outcome| match outcome {
            Outcome::Result(result) => Some(result.clone_ref(py)),
            _ => None,
        })
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.outcome.with(py, |outcome| match outcome {
            Outcome::Exception(exception, _) => Some(exception.clone_ref(py)),
            _ => None,
        })
    }

    #[getter]
    fn _callbacks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        type Entry = Result<Py<Task>, (Py<PyAny>, Py<PyAny>)>;
        let all: Vec<Entry> = self.waiters.with(py, |waiters| {
            let entry = |waiter: &Waiter| match waiter {
                Waiter::Task(task) => Ok(task.clone_ref(py)),
                Waiter::Call(callback, context) => {
                    Err((callback.clone_ref(py), context.clone_ref(py)))
                }
            };
            waiters.as_slice().iter().map(entry).collect()
        });
        if all.is_empty() {
            return Ok(None);
        }
        let list = PyList::empty(py);
        for entry in all {
            match entry {
                Ok(task) => {
                    let context = task.get().context(py);
                    list.append((TaskWakeup::new(task), context))?;
                }
                Err(callback_and_context) => list.append(callback_and_context)?,
            }
        }
        Ok(Some(list))
    }

    #[getter]
    fn _cancel_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.cancel_message(py)
    }

    #[setter(_cancel_message)]
    fn assign_cancel_message(&self, py: Python<'_>, message: Option<Py<PyAny>>) {
        self.set_cancel_message(py, message);
    }

    #[getter]
    fn _cancelled_exc(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.rare_field(py, |rare| &rare.cancelled_exc)
    }

    #[getter]
    fn _source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.source_traceback(py)
    }

    #[getter]
    fn _asyncio_awaited_by<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<Bound<'py, pyo3::types::PyFrozenSet>>> {
        let Some(set) = self.rare_field(py, |rare| &rare.awaited_by) else {
            return Ok(None);
        };
        let items: Vec<Bound<'py, PyAny>> = set.bind(py).try_iter()?.collect::<PyResult<_>>()?;
        if items.is_empty() {
            return Ok(None);
        }
        pyo3::types::PyFrozenSet::new(py, items).map(Some)
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        unsafe {
            self.event_loop.traverse().traverse(&visit)?;
            match self.outcome.traverse() {
                Outcome::None => {}
                Outcome::Result(result) => visit.call(result)?,
                Outcome::Exception(exception, traceback) => {
                    visit.call(exception)?;
                    visit.call(traceback)?;
                }
            }
            for waiter in self.waiters.traverse().as_slice() {
                match waiter {
                    Waiter::Task(task) => visit.call(task)?,
                    Waiter::Call(callback, context) => {
                        visit.call(callback)?;
                        visit.call(context)?;
                    }
                }
            }
            if let Some(rare) = self.rare.traverse() {
                visit.call(&rare.cancel_message)?;
                visit.call(&rare.cancelled_exc)?;
                visit.call(&rare.source_traceback)?;
                visit.call(&rare.awaited_by)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        Python::attach(|py| self.clear(py));
    }
}

/// What `await future` runs: yields the future once, then gives its result.
#[pyclass(frozen, name = "FutureIter", module = "riata._native")]
pub struct FutureIter {
    future: GilCell<Option<Py<Future>>>,
}

/// One step of an awaited future, before it becomes a C return code or a StopIteration.
pub enum Sent {
    /// The future is pending: the task has to wait for it.
    Yield(Py<PyAny>),
    /// The future's result.
    Return(Py<PyAny>),
}

impl FutureIter {
    fn new(future: Py<Future>) -> Self {
        Self {
            future: GilCell::new(Some(future)),
        }
    }

    /// One step.
    ///
    /// # Errors
    /// The future's exception; RuntimeError for a future that was iterated without `await`.
    #[inline]
    pub fn step(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(future) = self.future.cloned(py) else {
            return Ok(Sent::Return(py.None()));
        };
        let this = future.get();
        if this.state.get(py) == State::Pending {
            if this.blocking.replace(py, true) {
                return Err(PyRuntimeError::new_err("await wasn't used with future"));
            }
            return Ok(Sent::Yield(future.into_any()));
        }
        self.future.set(py, None);
        match this.read(py)? {
            Reading::Result(result) => Ok(Sent::Return(result)),
            Reading::Exception(exception) => Err(PyErr::from_value(exception.into_bound(py))),
        }
    }
}

#[pymethods]
impl FutureIter {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.step(py)? {
            Sent::Yield(future) => Ok(future),
            Sent::Return(result) => Err(PyStopIteration::new_err((result,))),
        }
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.__next__(py)
    }

    #[pyo3(signature = (r#type, value = None, traceback = None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        r#type: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.future.set(py, None);
        Err(interop::thrown(py, r#type, value, traceback)?)
    }

    fn close(&self, py: Python<'_>) {
        self.future.set(py, None);
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: B3: called by the collector.
        visit.call(unsafe { self.future.traverse() })
    }

    fn __clear__(&self) {
        Python::attach(|py| self.future.set(py, None));
    }
}
