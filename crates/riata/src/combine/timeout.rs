//! A limit to how long something may take.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::context;
use crate::sleep::sleep_until;
use crate::time::Time;

/// That a [`timeout`] was over first.
///
/// ```
/// assert_eq!(riata::Elapsed.to_string(), "timed out");
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Awaits `future` for at most `limit`, counted from the first poll; then it is dropped, and a
/// task that it was awaiting is cancelled.
///
/// A future that is ready at once is in time, whatever the limit.
///
/// # Errors
///
/// [`Elapsed`].
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let long = riata::sleep(Duration::from_secs(60));
///     let result = riata::timeout(Duration::from_millis(1), long).await;
///     assert_eq!(result, Err(riata::Elapsed));
/// });
/// ```
pub async fn timeout<F: IntoFuture>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let deadline = crate::time() + limit;
    timeout_at(deadline, future).await
}

/// As [`timeout`], until the loop's clock shows `deadline`.
///
/// # Errors
///
/// [`Elapsed`].
///
/// ```
/// riata::run(async {
///     let result = riata::timeout_at(riata::time(), std::future::pending::<()>()).await;
///     assert_eq!(result, Err(riata::Elapsed));
/// });
/// ```
pub async fn timeout_at<F: IntoFuture>(deadline: Time, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(Some(future.into_future()));
    let mut sleep = pin!(sleep_until(deadline));
    poll_fn(|context| {
        if let Some(future) = future.as_mut().as_pin_mut()
            && let Poll::Ready(output) = future.poll(context)
        {
            return Poll::Ready(Ok(output));
        }
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        context::with(|guests| guests.cancelling(|| future.set(None)));
        Poll::Ready(Err(Elapsed))
    })
    .await
}
