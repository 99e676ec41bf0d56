//! Plain callbacks on the loop.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::context;
use crate::exception::{ExceptionContext, call_exception_handler};
use crate::host::{Job, Work};
use crate::panic::Panic;
use crate::time::{Time, Timer};

/// A call that waits for its turn.
pub(crate) struct Callback {
    f: Cell<Option<Box<dyn FnOnce()>>>,
    cancelled: Cell<bool>,
}

impl Callback {
    pub(crate) fn run(&self) {
        if let Some(f) = self.f.take() {
            guard(f);
        }
    }

    fn is_waiting(&self) -> bool {
        let f = self.f.take();
        let is_waiting = f.is_some();
        self.f.set(f);
        is_waiting
    }
}

/// Calls `f`; the loop's exception handler hears of a panic, in asyncio's words.
pub(crate) fn guard(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        call_exception_handler(&ExceptionContext {
            exception: Some(&Panic::new(payload)),
            ..ExceptionContext::new("Exception in callback")
        });
    }
}

fn call(f: impl FnOnce() + 'static) -> Rc<Callback> {
    Rc::new(Callback {
        f: Cell::new(Some(Box::new(f))),
        cancelled: Cell::new(false),
    })
}

/// Queues `f`; nobody will cancel it.
#[track_caller]
pub(crate) fn schedule(f: impl FnOnce() + 'static) {
    let callback = call(f);
    context::with(|guests| guests.host().schedule(Job(Work::Call(callback))));
}

/// A call that was asked for; dropping this does not cancel it.
///
/// ```
/// riata::run(async {
///     let call = riata::call_soon(|| unreachable!());
///     call.cancel();
///     assert!(call.is_cancelled());
///     riata::yield_now().await;
/// });
/// ```
#[derive(Clone)]
pub struct CallHandle {
    callback: Rc<Callback>,
    timer: Option<(Timer, Time)>,
}

impl CallHandle {
    /// Sees to it that the call is not made; what was to be called is dropped now. Without
    /// effect if it was made.
    ///
    /// ```
    /// riata::run(async {
    ///     let call = riata::call_later(std::time::Duration::from_secs(60), || unreachable!());
    ///     call.cancel();
    /// });
    /// ```
    pub fn cancel(&self) {
        if !self.callback.is_waiting() {
            return;
        }
        self.callback.cancelled.set(true);
        if let Some((timer, _)) = &self.timer {
            timer.cancel();
        }
        let f = self.callback.f.take();
        drop(f);
    }

    /// Whether the call was cancelled.
    ///
    /// ```
    /// riata::run(async { assert!(!riata::call_soon(|| ()).is_cancelled()) });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.callback.cancelled.get()
    }

    /// When the call is due; `None` for [`call_soon`].
    ///
    /// ```
    /// riata::run(async {
    ///     let due = riata::time();
    ///     assert_eq!(riata::call_at(due, || ()).when(), Some(due));
    /// });
    /// ```
    pub fn when(&self) -> Option<Time> {
        self.timer.as_ref().map(|&(_, deadline)| deadline)
    }
}

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_cancelled() {
            " cancelled"
        } else {
            ""
        };
        match self.when() {
            Some(when) => write!(f, "<TimerHandle{state} when={:?}>", when.as_secs_f64()),
            None => write!(f, "<Handle{state}>"),
        }
    }
}

/// Calls `f` in the loop's next turn, after everything that is ready now.
///
/// A panic in `f` goes to the [exception handler](crate::set_exception_handler), and the loop goes on.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async {
///     riata::call_soon(|| println!("soon"));
///     riata::yield_now().await;
/// });
/// ```
#[track_caller]
pub fn call_soon(f: impl FnOnce() + 'static) -> CallHandle {
    let callback = call(f);
    let job = Job(Work::Call(Rc::clone(&callback)));
    context::with(|guests| guests.host().schedule(job));
    CallHandle {
        callback,
        timer: None,
    }
}

/// Calls `f` after `delay`.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     riata::call_later(Duration::from_millis(1), || println!("later"));
///     riata::sleep(Duration::from_millis(2)).await;
/// });
/// ```
#[track_caller]
pub fn call_later(delay: Duration, f: impl FnOnce() + 'static) -> CallHandle {
    call_at(crate::time() + delay, f)
}

/// Calls `f` once the loop's clock shows `when`.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async {
///     riata::call_at(riata::time(), || println!("at once"));
///     riata::sleep(std::time::Duration::from_millis(1)).await;
/// });
/// ```
#[track_caller]
pub fn call_at(when: Time, f: impl FnOnce() + 'static) -> CallHandle {
    let callback = call(f);
    let job = Job(Work::Call(Rc::clone(&callback)));
    let timer = context::with(|guests| Timer::start(guests, when, job));
    CallHandle {
        callback,
        timer: Some((timer, when)),
    }
}
