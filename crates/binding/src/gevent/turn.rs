//! Watchers of moments of the loop's iteration (idle, prepare, check, fork), and of `send` (async).

use pyo3::prelude::*;

use super::GreenLoop;
use super::events::{ASYNC, CHECK, FORK, IDLE, PREPARE};
use super::watcher::{Kind, Manner, Watcher};

/// A moment of the loop's iteration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the same or a higher priority is to be done.
    Idle,
    /// The loop is about to run callbacks and to poll.
    Prepare,
    /// The loop has polled.
    Check,
    /// The loop runs for the first time in a forked child.
    Fork,
    /// None: `send` was called, from whatever thread.
    Sent,
}

impl Moment {
    /// What has happened then, by libev's bits.
    pub fn events(self) -> u32 {
        match self {
            Self::Idle => IDLE,
            Self::Prepare => PREPARE,
            Self::Check => CHECK,
            Self::Fork => FORK,
            Self::Sent => ASYNC,
        }
    }
}

macro_rules! moment_watchers {
    ($($class:ident, $name:literal, $moment:expr, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[pyclass(frozen, extends = Watcher, name = $name, module = "riata.gevent.core")]
        pub struct $class;

        impl $class {
            /// A watcher of `event_loop`.
            ///
            /// # Errors
            /// MemoryError.
            pub fn create<'py>(
                event_loop: &Bound<'py, GreenLoop>,
                manner: Manner,
            ) -> PyResult<Bound<'py, Self>> {
                let watcher = Watcher::new(event_loop, Kind::Turn($moment), manner);
                Bound::new(
                    event_loop.py(),
                    PyClassInitializer::from(watcher).add_subclass(Self),
                )
            }
        }
    )*};
}

moment_watchers! {
    IdleWatcher, "idle", Moment::Idle, "Called when there is nothing else to do: what `loop.idle` returns.";
    PrepareWatcher, "prepare", Moment::Prepare, "Called before the loop polls: what `loop.prepare` returns.";
    CheckWatcher, "check", Moment::Check, "Called after the loop has polled: what `loop.check` returns.";
    ForkWatcher, "fork", Moment::Fork, "Called in a forked child: what `loop.fork` returns.";
}

/// Called after `send`: what `loop.async_` returns.
#[pyclass(frozen, extends = Watcher, name = "async_", module = "riata.gevent.core")]
pub struct AsyncWatcher;

impl AsyncWatcher {
    /// A watcher of `event_loop`.
    ///
    /// # Errors
    /// MemoryError.
    pub fn create<'py>(
        event_loop: &Bound<'py, GreenLoop>,
        manner: Manner,
    ) -> PyResult<Bound<'py, Self>> {
        let watcher = Watcher::new(event_loop, Kind::Turn(Moment::Sent), manner);
        Bound::new(
            event_loop.py(),
            PyClassInitializer::from(watcher).add_subclass(Self),
        )
    }
}

#[pymethods]
impl AsyncWatcher {
    /// Have the callback called, from any thread. Several calls before that are one.
    fn send(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let watcher = slf.as_super();
        if watcher.get().is_active(py) {
            Watcher::pend(watcher, ASYNC);
            watcher.get().event_loop(py).get().wake(py);
        }
    }

    /// The same, with an argument that has no meaning: to be linked to what calls with one.
    fn send_ignoring_arg(slf: &Bound<'_, Self>, _ignored: &Bound<'_, PyAny>) {
        Self::send(slf);
    }
}
