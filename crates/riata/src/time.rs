//! Points in time on the loop's clock.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use riata_engine::{Nanos, TimerKey};

use crate::context::{self, Guests};
use crate::handle::Handle;
use crate::host::Job;

/// A point in time on the loop's clock, to the nanosecond.
///
/// On a [`Runtime`](crate::Runtime) with the machine's clock this is CLOCK_MONOTONIC, so that
/// two loops of one process agree; with a virtual clock it starts at zero.
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let later = riata::time() + Duration::from_millis(2);
///     riata::sleep_until(later).await;
///     assert!(riata::time() >= later);
/// });
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Time(pub(crate) Nanos);

/// What the loop's clock shows now.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async { assert!(riata::time() <= riata::time()) });
/// ```
pub fn time() -> Time {
    Time(context::with(|guests| guests.host().now()))
}

impl Time {
    /// From nanoseconds since the clock's start.
    ///
    /// ```
    /// assert_eq!(riata::Time::from_nanos(1_500_000_000).as_secs_f64(), 1.5);
    /// ```
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(Nanos(nanos))
    }

    /// Nanoseconds since the clock's start.
    ///
    /// ```
    /// assert_eq!(riata::Time::from_nanos(7).as_nanos(), 7);
    /// ```
    pub const fn as_nanos(self) -> u64 {
        self.0.0
    }

    /// Seconds since the clock's start, rounded as Python's `loop.time()` rounds them.
    ///
    /// ```
    /// assert_eq!(riata::Time::from_nanos(250_000_000).as_secs_f64(), 0.25);
    /// ```
    pub const fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// The span since `earlier`; zero if that is later.
    ///
    /// ```
    /// use std::time::Duration;
    /// let (early, late) = (riata::Time::from_nanos(1), riata::Time::from_nanos(3));
    /// assert_eq!(late.since(early), Duration::from_nanos(2));
    /// assert_eq!(early.since(late), Duration::ZERO);
    /// ```
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).0)
    }
}

/// A timer, and the loop that it is of: not always the one that runs when it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Timer {
    key: TimerKey,
    home: Handle,
}

impl Timer {
    pub(crate) fn start(guests: &Guests, deadline: Time, job: Job) -> Self {
        Self {
            key: guests.host().start_timer(deadline.0, job),
            home: guests.handle().clone(),
        }
    }

    /// Whether it has neither come due nor been cancelled; `None` if this thread's loop is
    /// another.
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    pub(crate) fn is_pending(&self) -> Option<bool> {
        context::with(|guests| {
            let is_here = guests.handle().is_same(&self.home);
            is_here.then(|| guests.host().is_pending(self.key))
        })
    }

    /// Sees to it that its job is not run.
    pub(crate) fn cancel(&self) {
        let key = self.key;
        self.home.call_there(move |guests| {
            let job = guests.host().cancel_timer(key);
            drop(job);
        });
    }
}

/// A span as the engine counts it; what does not fit is for ever (584 years).
pub(crate) fn nanos(span: Duration) -> Nanos {
    Nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates where the sum does not fit.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for Time {
    type Output = Duration;

    /// As [`since`](Self::since).
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Saturates at the clock's start.
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}
