//! Calls that block, on threads of the loop's own.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::pool::Pool;
use super::shot::{Receiver, shot};
use crate::context;
use crate::error::{Cancelled, TaskError};
use crate::handle::Handle;
use crate::panic::Panic;

/// Calls `f` on a thread, so that it may block, and gives what it returns.
///
/// The call is queued at once. Dropping the result keeps a call that has not begun from
/// being made; one that has cannot be stopped, and the loop's end waits for it. A panic is the
/// result's error, and so is that no thread could be started at all. How many threads there may
/// be is the [builder's](crate::Builder::executor_threads) to say.
///
/// # Panics
///
/// Outside a running loop.
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
        let result = catch_unwind(AssertUnwindSafe(f));
        sender.send(result.map_err(|payload| Panic::new(payload).into()));
    };
    context::with(|guests| {
        let submitted = {
            let mut pool = guests.executor.borrow_mut();
            pool.get_or_insert_with(Pool::new).submit(Box::new(work))
        };
        if submitted.is_ok() {
            guests.count_busy(1);
        }
        Executed {
            receiver,
            counted_by: submitted.is_ok().then(|| guests.handle().clone()),
            refused: submitted.err(),
        }
    })
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
    /// The loop that counts a thread at work for it.
    counted_by: Option<Handle>,
    /// Why the call is not made.
    refused: Option<io::Error>,
}

impl<T> Executed<T> {
    fn end(&mut self) {
        if let Some(home) = self.counted_by.take() {
            home.call_there(|guests| guests.count_busy(-1));
        }
    }
}

impl<T> Future for Executed<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(TaskError::NotStarted(error)));
        }
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
