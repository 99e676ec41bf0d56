//! Waiting for time to pass.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::context;
use crate::host::Job;
use crate::time::{Time, Timer};

/// Waits for `delay`, counted from this call. Zero gives others a turn, as
/// [`yield_now`] does.
///
/// # Panics
///
/// Outside a running loop, here or when it is awaited.
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let before = riata::time();
///     riata::sleep(Duration::from_millis(1)).await;
///     assert!(riata::time() - before >= Duration::from_millis(1));
/// });
/// ```
#[track_caller]
pub fn sleep(delay: Duration) -> Sleep {
    sleep_until(if delay.is_zero() {
        Time::from_nanos(0)
    } else {
        crate::time() + delay
    })
}

/// Waits until the loop's clock shows `deadline`; if it does already, gives others a turn.
///
/// ```
/// riata::run(async { riata::sleep_until(riata::time()).await });
/// ```
pub fn sleep_until(deadline: Time) -> Sleep {
    Sleep {
        deadline,
        state: State::New,
    }
}

/// What [`sleep`] gives.
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let sleep: riata::Sleep = riata::sleep(Duration::from_millis(1));
///     assert!(sleep.deadline() > riata::time());
/// });
/// ```
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Sleep {
    deadline: Time,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    /// Others have their turn.
    Yielded,
    /// The timer, and whom it wakes.
    Started(Timer, Waker),
    Done,
}

impl Sleep {
    /// When it ends.
    ///
    /// ```
    /// let then = riata::Time::from_nanos(5);
    /// assert_eq!(riata::sleep_until(then).deadline(), then);
    /// ```
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    fn start(&mut self, waker: &Waker) -> Poll<()> {
        let timer = context::with(|guests| Timer::start(guests, self.deadline, Job::wake(waker)));
        self.state = State::Started(timer, waker.clone());
        Poll::Pending
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker();
        match &self.state {
            State::New => {
                if self.deadline.as_nanos() == 0 || self.deadline <= crate::time() {
                    self.state = State::Yielded;
                    waker.wake_by_ref();
                    return Poll::Pending;
                }
                self.start(waker)
            }
            State::Started(timer, owner) => match timer.is_pending() {
                Some(true) if owner.will_wake(waker) => Poll::Pending,
                Some(false) => {
                    self.state = State::Done;
                    Poll::Ready(())
                }
                // Another is to be woken, or another loop has it now.
                Some(true) | None => {
                    self.cancel();
                    self.start(waker)
                }
            },
            State::Yielded | State::Done => {
                self.state = State::Done;
                Poll::Ready(())
            }
        }
    }
}

impl Sleep {
    fn cancel(&mut self) {
        if let State::Started(timer, _) = &self.state {
            timer.cancel();
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Gives everything that is ready a turn.
///
/// ```
/// riata::run(async { riata::yield_now().await });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// What [`yield_now`] gives.
///
/// ```
/// let turn: riata::YieldNow = riata::yield_now();
/// riata::run(turn);
/// ```
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
