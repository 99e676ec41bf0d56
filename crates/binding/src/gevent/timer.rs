//! Timers, among the engine's. One-shot, or repeated.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use riata_engine::clock::Nanos;

use super::GreenLoop;
use super::alarm::Alarm;
use super::events::TIMER;
use super::watcher::{Kind, Manner, Watcher};
use crate::cell::GilCell;

/// What only a timer has.
pub struct TimerState {
    /// Seconds until it fires first.
    after: f64,
    /// Seconds from then on; 0 for a one-shot timer.
    repeat: GilCell<f64>,
    alarm: Alarm,
    deadline: GilCell<Nanos>,
}

impl TimerState {
    /// Sets it: it fires `after` seconds from the loop's time.
    pub fn start(&self, watcher: &Bound<'_, Watcher>) {
        self.set(watcher, self.after);
    }

    fn set(&self, watcher: &Bound<'_, Watcher>, seconds: f64) {
        let py = watcher.py();
        let event_loop = watcher.get().event_loop(py).get();
        let wait = Nanos::not_before_secs_f64(seconds);
        let deadline = event_loop.now(py).saturating_add(wait);
        self.set_at(watcher, deadline);
    }

    fn set_at(&self, watcher: &Bound<'_, Watcher>, deadline: Nanos) {
        let py = watcher.py();
        self.deadline.set(py, deadline);
        self.alarm.set(watcher, deadline);
    }

    /// Takes it out of the engine's.
    pub fn stop(&self, watcher: &Bound<'_, Watcher>) {
        self.alarm.stop(watcher);
    }

    /// It was due, and is no longer among the engine's. All that are due are taken out before this is called of any: one
    /// that is set again for now would be due for ever.
    pub fn expire(&self, watcher: &Bound<'_, Watcher>) {
        let py = watcher.py();
        self.alarm.note_rung(py);
        let repeat = self.repeat.get(py);
        if repeat > 0.0 {
            let now = watcher.get().event_loop(py).get().now(py);
            let next = Nanos::not_before_secs_f64(repeat);
            let next = self.deadline.get(py).saturating_add(next);
            self.set_at(watcher, next.max(now));
        } else {
            watcher.get().set_active(py, false);
        }
        Watcher::pend(watcher, TIMER);
    }
}

/// A timer: what `loop.timer` returns.
#[pyclass(frozen, extends = Watcher, name = "timer", module = "riata.gevent.core")]
pub struct TimerWatcher;

impl TimerWatcher {
    /// A timer of `event_loop`.
    ///
    /// # Errors
    /// ValueError for a negative `repeat`.
    pub fn create<'py>(
        event_loop: &Bound<'py, GreenLoop>,
        after: f64,
        repeat: f64,
        manner: Manner,
    ) -> PyResult<Bound<'py, Self>> {
        check_repeat(repeat)?;
        let kind = Kind::Timer(TimerState {
            after,
            repeat: GilCell::new(repeat),
            alarm: Alarm::default(),
            deadline: GilCell::new(Nanos(0)),
        });
        let watcher = Watcher::new(event_loop, kind, manner);
        Bound::new(
            event_loop.py(),
            PyClassInitializer::from(watcher).add_subclass(Self),
        )
    }

    fn update(slf: &Bound<'_, Self>, update: Option<bool>) {
        let py = slf.py();
        let event_loop = slf.as_super().get().event_loop(py).get();
        if update.unwrap_or_else(|| event_loop.timers_update(py)) {
            event_loop.update(py);
        }
    }

    fn state<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a TimerState> {
        match slf.as_super().get().kind() {
            Kind::Timer(state) => Ok(state),
            _ => Err(PyValueError::new_err("not a timer")),
        }
    }
}

fn check_repeat(repeat: f64) -> PyResult<()> {
    match repeat < 0.0 {
        true => Err(PyValueError::new_err(format!(
            "repeat must be positive or zero: {repeat:?}"
        ))),
        false => Ok(()),
    }
}

#[pymethods]
impl TimerWatcher {
    /// Set the timer: `callback(*args)` is called `after` seconds from the loop's time.
    ///
    /// With `update` the loop looks at the clock first; by default it does so while it runs callbacks.
    #[pyo3(signature = (callback, *args, update = None))]
    fn start<'py>(
        slf: &Bound<'py, Self>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        update: Option<bool>,
    ) -> PyResult<()> {
        Self::update(slf, update);
        Watcher::begin(slf.as_super(), callback, args)
    }

    /// Set a repeating timer to fire `repeat` seconds from the loop's time, whether or not it is set; stop one that does
    /// not repeat.
    #[pyo3(signature = (callback, *args, update = None))]
    fn again<'py>(
        slf: &Bound<'py, Self>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        update: Option<bool>,
    ) -> PyResult<()> {
        let py = slf.py();
        Self::update(slf, update);
        let watcher = slf.as_super();
        Watcher::begin_again(watcher, callback, args)?;
        let state = Self::state(slf)?;
        let repeat = state.repeat.get(py);
        state.stop(watcher);
        watcher.get().set_active(py, repeat > 0.0);
        if repeat > 0.0 {
            state.set(watcher, repeat);
        }
        Ok(())
    }

    /// When it fires, on the loop's clock; while it is not set, how many seconds it is set for.
    #[getter]
    fn at(slf: &Bound<'_, Self>) -> PyResult<f64> {
        let py = slf.py();
        let state = Self::state(slf)?;
        Ok(match state.alarm.is_set(py) {
            true => state.deadline.get(py).as_secs_f64(),
            false => state.after,
        })
    }

    /// How many seconds it fires after it has fired; 0 for a one-shot timer.
    #[getter]
    fn repeat(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Self::state(slf)?.repeat.get(slf.py()))
    }

    #[setter]
    fn set_repeat(slf: &Bound<'_, Self>, value: f64) -> PyResult<()> {
        check_repeat(value)?;
        Self::state(slf)?.repeat.set(slf.py(), value);
        Ok(())
    }
}
