//! Calls that block, on threads of the loop's own.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::pool::Pool;
use super::shot::{Receiver, shot};
use crate::context;
use crate::error::{Cancelled, TaskError};

/// Calls `f` on a thread, so that it may block, and gives what it returns.
///
/// The call is queued at once. Dropping the result keeps a call that has not begun from
/// being made; one that has cannot be stopped, and the loop's end waits for it. A panic is the
/// result's error.
///
/// # Panics
///
/// Outside a running loop, and if no thread can be started at all.
///
/// ```
/// riata::run(async {
///     let sum = riata::run_in_executor(|| (1..=10).sum::<u32>()).await;
///     assert_eq!(sum.unwrap(), 55);
/// });
/// ```
#[track_caller]
pub fn run_in_executor<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Executed<T> {
    let (sender, receiver) = shot();
    let work = move || {
        if sender.is_unwanted() {
            return;
        }
        sender.send(catch_unwind(AssertUnwindSafe(f)).map_err(TaskError::Panicked));
    };
    let submitted = context::with(|guests| {
        let mut pool = guests.executor.borrow_mut();
        pool.get_or_insert_with(Pool::new).submit(Box::new(work))
    });
    if let Err(error) = submitted {
        panic!("can't start new thread: {error}");
    }
    context::with(|guests| guests.count_busy(1));
    Executed {
        receiver,
        is_counted: true,
    }
}

/// What [`run_in_executor`] gives.
///
/// ```
/// riata::run(async {
///     let call: riata::Executed<u8> = riata::run_in_executor(|| 7);
///     assert_eq!(call.await.unwrap(), 7);
/// });
/// ```
#[must_use = "a call whose result is dropped may never be made"]
pub struct Executed<T> {
    receiver: Receiver<Result<T, TaskError>>,
    /// The loop counts a thread at work for it.
    is_counted: bool,
}

impl<T> Executed<T> {
    fn end(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            context::try_with(|guests| guests.count_busy(-1));
        }
    }
}

impl<T> Future for Executed<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.receiver.poll(context);
        if polled.is_ready() {
            self.end();
        }
        polled.map(|result| result.unwrap_or_else(|_| Err(Cancelled::default().into())))
    }
}

impl<T> Drop for Executed<T> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T> fmt::Debug for Executed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.receiver.is_ready();
        f.debug_struct("Executed")
            .field("is_done", &is_done)
            .finish()
    }
}
