//! What all watchers have: a callback with arguments, whether they are active and pending, whether the loop waits for
//! them, and their priority.
//!
//! *Active*: started and not stopped. *Pending*: it has fired, and its callback is still to be called. A one-shot timer
//! that has fired is pending and no longer active. Who is active is held by the loop, each kind where it waits; who is
//! pending, too.

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};
use riata_engine::driver::Readiness;

use super::child::ChildState;
use super::direct::Source;
use super::greenlets::{Greenlets, Wake};
use super::io::IoState;
use super::stat::StatState;
use super::timer::TimerState;
use super::turn::Moment;
use super::{GreenLoop, placeholder};
use crate::cell::GilCell;
use crate::unwind;

/// libev's lowest priority.
pub const LOWEST: i32 = -2;
/// libev's highest priority.
pub const HIGHEST: i32 = 2;

/// What kind of watcher it is, and what only that kind has.
pub enum Kind {
    /// A descriptor
    Io(IoState),
    /// A time
    Timer(TimerState),
    /// A signal, by its number
    Signal(i32),
    /// A child process
    Child(ChildState),
    /// A file's attributes
    Stat(StatState),
    /// A moment of the loop's iteration, or `send`
    Turn(Moment),
}

/// What changes often, and is small.
#[derive(Clone, Copy)]
struct Status {
    active: bool,
    /// What has happened, by libev's bits; none: it is not pending.
    pending: u32,
    /// Whether the loop goes on for its sake while it is active.
    referenced: bool,
    priority: i8,
}

/// The base of all watchers.
#[pyclass(
    frozen,
    subclass,
    weakref,
    name = "watcher",
    module = "riata.gevent.core"
)]
pub struct Watcher {
    event_loop: Py<GreenLoop>,
    kind: Kind,
    status: GilCell<Status>,
    callback: GilCell<Option<Py<PyAny>>>,
    args: GilCell<Option<Py<PyTuple>>>,
}

/// How a watcher is to be made: `ref` and `priority`, as gevent gives them.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Whether the loop goes on for its sake.
    pub referenced: bool,
    /// From -2 to 2; what is beyond is cut off, as libev does.
    pub priority: Option<i32>,
}

impl Watcher {
    /// A watcher that is not active.
    pub fn new(event_loop: &Bound<'_, GreenLoop>, kind: Kind, manner: Manner) -> Self {
        let priority = manner.priority.unwrap_or(0).clamp(LOWEST, HIGHEST);
        Self {
            event_loop: event_loop.clone().unbind(),
            kind,
            status: GilCell::new(Status {
                active: false,
                pending: 0,
                referenced: manner.referenced,
                priority: i8::try_from(priority).unwrap_or(0),
            }),
            callback: GilCell::new(None),
            args: GilCell::new(None),
        }
    }

    /// The loop it belongs to.
    pub fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, GreenLoop> {
        self.event_loop.bind(py)
    }

    /// What kind it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether it is started.
    pub fn is_active(&self, py: Python<'_>) -> bool {
        self.status.get(py).active
    }

    /// Its priority, as an index: from 0 to 4.
    pub fn rank(&self, py: Python<'_>) -> usize {
        usize::try_from(i32::from(self.status.get(py).priority) - LOWEST).unwrap_or(0)
    }

    /// Notes that it is active, or no longer; the loop counts it if it is referenced.
    pub fn set_active(&self, py: Python<'_>, active: bool) {
        let before = self.status.with(py, |status| {
            let before = *status;
            status.active = active;
            before
        });
        if before.active != active && before.referenced {
            let change = if active { 1 } else { -1 };
            self.event_loop.bind(py).get().count_active(py, change);
        }
    }

    /// Its callback is to be called, because of `revents`.
    pub fn pend(slf: &Bound<'_, Self>, revents: u32) {
        let py = slf.py();
        let this = slf.get();
        let was_pending = this.status.with(py, |status| {
            let was_pending = status.pending != 0;
            status.pending |= revents;
            was_pending
        });
        if !was_pending {
            this.event_loop.bind(py).get().queue(slf);
        }
    }

    /// Whether its callback is to be called.
    pub fn is_pending(&self, py: Python<'_>) -> bool {
        self.status.get(py).pending != 0
    }

    fn set_call(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        if callback.is_none() {
            return Err(PyTypeError::new_err("callback must be callable, not None"));
        }
        check_callable(callback)?;
        let this = slf.get();
        this.event_loop.bind(py).get().check(py)?;
        this.callback.set(py, Some(callback.clone().unbind()));
        this.args.set(py, Some(args.clone().unbind()));
        Ok(())
    }

    /// Begins to watch; `callback(*args)` is called whenever it happens.
    ///
    /// # Errors
    /// TypeError for what cannot be called, ValueError when the loop is destroyed, and what the kind raises.
    pub fn begin(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        Self::set_call(slf, callback, args)?;
        if slf.get().is_active(py) {
            return Ok(());
        }
        Self::activate(slf)
    }

    /// Begins to watch, with the callback that it has.
    ///
    /// # Errors
    /// What the kind raises: it is stopped then.
    pub fn activate(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.set_active(py, true);
        let started = match &this.kind {
            Kind::Io(io) => io.start(slf),
            Kind::Timer(timer) => {
                timer.start(slf);
                Ok(())
            }
            Kind::Signal(number) => super::signal::start(slf, *number),
            Kind::Child(child) => child.start(slf),
            Kind::Stat(stat) => stat.start(slf),
            Kind::Turn(moment) => {
                this.event_loop.bind(py).get().add_to_turn(slf, *moment);
                Ok(())
            }
        };
        if started.is_err() {
            Self::end(slf);
        }
        started
    }

    /// As `begin`, for a timer that is set again by its own rules.
    ///
    /// # Errors
    /// TypeError, ValueError, as there.
    pub fn begin_again(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        Self::set_call(slf, callback, args)
    }

    /// Ends watching, and what is pending; the callback is forgotten.
    pub fn end(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        let was_active = this.is_active(py);
        this.set_active(py, false);
        this.status.with(py, |status| status.pending = 0);
        if was_active {
            match &this.kind {
                Kind::Io(io) => io.stop(slf),
                Kind::Timer(timer) => timer.stop(slf),
                Kind::Signal(number) => super::signal::stop(slf, *number),
                Kind::Child(child) => child.stop(slf),
                Kind::Stat(stat) => stat.stop(slf),
                Kind::Turn(moment) => this
                    .event_loop
                    .bind(py)
                    .get()
                    .remove_from_turn(slf, *moment),
            }
        }
        let callback = this.callback.take(py);
        let args = this.args.take(py);
        drop((callback, args));
    }

    /// Its timer was due, and is no longer among the engine's.
    pub fn expire(slf: &Bound<'_, Self>) {
        match &slf.get().kind {
            Kind::Timer(timer) => timer.expire(slf),
            Kind::Stat(stat) => stat.expire(slf),
            _ => {}
        }
    }

    /// Its descriptor is ready.
    pub fn fire(slf: &Bound<'_, Self>, readiness: Readiness) {
        if let Kind::Io(io) = &slf.get().kind {
            io.fire(slf, readiness);
        }
    }

    /// Calls the callback of one that is pending. What it raises goes to the loop's `handle_error`.
    pub fn invoke(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        let revents = this
            .status
            .with(py, |status| std::mem::take(&mut status.pending));
        let Some(callback) = this.callback.cloned(py) else {
            return;
        };
        if revents == 0 {
            return; // it was stopped meanwhile
        }
        let event_loop = this.event_loop.bind(py);
        if Self::wakes(slf, callback.bind(py)) {
            return;
        }
        let succeeded = match this.given(py, revents) {
            Some(args) => unwind::call_only(callback.bind(py), args.bind(py)),
            None => false,
        };
        drop(callback);
        if !succeeded {
            GreenLoop::handle_raised(event_loop, slf.as_any());
            if matches!(this.kind, Kind::Io(_)) {
                Self::end(slf); // it would fail again, at every poll
            }
        }
        Self::told(slf);
    }

    /// If all that its callback does is to wake a greenlet, does that; whether it did.
    #[inline(always)]
    fn wakes(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>) -> bool {
        let this = slf.get();
        let Some(args) = this.args(slf.py()) else {
            return false;
        };
        let event_loop = this.event_loop.bind(slf.py());
        GreenLoop::wake_greenlet(event_loop, callback, args.bind(slf.py()), || {
            Source::Watcher(slf.clone().unbind())
        })
    }

    /// The callback was called.
    pub fn told(slf: &Bound<'_, Self>) {
        let status = slf.get().status.get(slf.py());
        if !status.active && status.pending == 0 {
            Self::end(slf);
        }
    }

    /// Whom its callback wakes, if that is all it does when `hub` calls it: then it is pending no longer.
    pub fn wake<'py>(&self, hub: &Bound<'py, PyAny>, known: &Greenlets) -> Option<Wake<'py>> {
        let py = hub.py();
        let callback = self.callback.cloned(py)?.into_bound(py);
        let args = self.args(py)?.into_bound(py);
        let wake = known.wake(&callback, &args, hub)?;
        self.status.with(py, |status| status.pending = 0);
        Some(wake)
    }

    /// The arguments, with the events in their place; None with an exception set.
    #[inline(never)]
    fn given(&self, py: Python<'_>, revents: u32) -> Option<Py<PyTuple>> {
        match self.arguments(py, revents) {
            Ok(args) => Some(args.unbind()),
            Err(error) => {
                error.restore(py);
                None
            }
        }
    }

    fn arguments<'py>(&self, py: Python<'py>, revents: u32) -> PyResult<Bound<'py, PyTuple>> {
        let args = self
            .args
            .with(py, |args| args.as_ref().map(|args| args.clone_ref(py)));
        let Some(args) = args else {
            return Ok(PyTuple::empty(py));
        };
        let args = args.into_bound(py);
        if args.is_empty() || !args.get_borrowed_item(0)?.is(placeholder(py)?) {
            return Ok(args);
        }
        let mut all = vec![revents.into_pyobject(py)?.into_any()];
        all.extend(args.iter().skip(1));
        PyTuple::new(py, all)
    }
}

fn check_callable(callback: &Bound<'_, PyAny>) -> PyResult<()> {
    match callback.is_callable() {
        true => Ok(()),
        false => Err(PyTypeError::new_err(format!(
            "Expected callable, not {}",
            callback.repr()?
        ))),
    }
}

#[pymethods]
impl Watcher {
    /// The loop it belongs to.
    #[getter(r#loop)]
    fn loop_py(&self, py: Python<'_>) -> Py<GreenLoop> {
        self.event_loop.clone_ref(py)
    }

    /// Begin to watch: `callback(*args)` is called, in the hub, whenever it happens.
    ///
    /// Raises TypeError for what cannot be called, ValueError when the loop is destroyed.
    #[pyo3(signature = (callback, *args))]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        Self::begin(slf, callback, args)
    }

    /// End watching; what has fired and was not told yet is not told.
    fn stop(slf: &Bound<'_, Self>) {
        Self::end(slf);
    }

    /// End watching, and give back what is the kernel's.
    fn close(slf: &Bound<'_, Self>) {
        Self::end(slf);
        if let Kind::Io(io) = &slf.get().kind {
            io.close(slf);
        }
    }

    /// Call `callback(*args)` as if `revents` had happened, whether or not it is started.
    #[pyo3(signature = (revents, callback, *args))]
    fn feed<'py>(
        slf: &Bound<'py, Self>,
        revents: u32,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        Self::set_call(slf, callback, args)?;
        Self::pend(slf, revents);
        Ok(())
    }

    fn __enter__<'a, 'py>(slf: &'a Bound<'py, Self>) -> &'a Bound<'py, Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(slf: &Bound<'_, Self>, _args: &Bound<'_, PyTuple>) {
        Self::close(slf);
    }

    /// Whether it is started.
    #[getter]
    fn active(&self, py: Python<'_>) -> bool {
        self.is_active(py)
    }

    /// Whether it has fired and its callback is still to be called.
    #[getter]
    fn pending(&self, py: Python<'_>) -> bool {
        self.is_pending(py)
    }

    /// Whether the loop goes on for its sake while it is started.
    #[getter]
    fn r#ref(&self, py: Python<'_>) -> bool {
        self.status.get(py).referenced
    }

    #[setter]
    fn set_ref(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = value.is_truthy()?;
        let before = self.status.with(py, |status| {
            let before = *status;
            status.referenced = value;
            before
        });
        if before.active && before.referenced != value {
            let change = if value { 1 } else { -1 };
            self.event_loop.bind(py).get().count_active(py, change);
        }
        Ok(())
    }

    /// From -2 to 2: of those that have fired, who has the highest is called first. Cannot be set while it is started.
    #[getter]
    fn priority(&self, py: Python<'_>) -> i8 {
        self.status.get(py).priority
    }

    #[setter]
    fn set_priority(&self, py: Python<'_>, value: i32) -> PyResult<()> {
        if self.is_active(py) {
            return Err(PyAttributeError::new_err(
                "Cannot set priority of an active watcher",
            ));
        }
        let value = i8::try_from(value.clamp(LOWEST, HIGHEST)).unwrap_or(0);
        self.status.with(py, |status| status.priority = value);
        Ok(())
    }

    /// What is called; None while it is not started.
    #[getter]
    fn callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.callback.cloned(py)
    }

    #[setter]
    fn set_callback(&self, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(value) = value {
            check_callable(value)?;
        }
        self.callback
            .set(py, value.map(|value| value.clone().unbind()));
        Ok(())
    }

    /// What it is called with, a tuple; None while it is not started.
    #[getter]
    fn args(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.args
            .with(py, |args| args.as_ref().map(|args| args.clone_ref(py)))
    }

    #[setter]
    fn set_args(&self, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let args = match value {
            None => None,
            Some(value) => match value.cast_exact::<PyTuple>() {
                Ok(args) => Some(args.clone().unbind()),
                Err(_) => return Err(PyTypeError::new_err("args must be a tuple or None")),
            },
        };
        self.args.set(py, args);
        Ok(())
    }

    fn _format(&self, py: Python<'_>) -> String {
        match &self.kind {
            Kind::Io(io) => io.describe(py),
            Kind::Child(child) => child.describe(py),
            Kind::Signal(number) => format!(" signalnum={number}"),
            _ => String::new(),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let mut text = format!(
            "<{} at 0x{:x}{}",
            slf.get_type().name()?,
            slf.as_ptr().addr(),
            this._format(py)
        );
        let (callback, args) = (this.callback(py), this.args(py));
        if this.is_active(py) {
            text += " active";
        }
        if this.is_pending(py) {
            text += " pending";
        }
        if let Some(callback) = &callback {
            text += &format!(" callback={}", callback.bind(py).repr()?);
        }
        // A child's watcher is often among its own arguments.
        let own = |args: &Bound<'_, PyTuple>| args.iter().any(|arg| arg.is(slf));
        match args.as_ref().map(|args| args.bind(py)) {
            None if callback.is_none() => text += " stopped",
            None => {}
            Some(args) if own(args) => text += " args=(…)",
            Some(args) => text += &format!(" args={}", args.repr()?),
        }
        Ok(text + ">")
    }

    #[allow(unsafe_code)]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // SAFETY: B3: called by the collector.
        unsafe {
            visit.call(self.callback.traverse())?;
            visit.call(self.args.traverse())?;
            if let Kind::Stat(stat) = &self.kind {
                stat.traverse(&visit)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        Python::attach(|py| {
            self.callback.set(py, None);
            self.args.set(py, None);
            if let Kind::Stat(stat) = &self.kind {
                stat.clear(py);
            }
        });
    }
}
