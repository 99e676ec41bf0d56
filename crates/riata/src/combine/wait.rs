//! Waiting for some of several tasks.

use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::error::TaskError;
use crate::sleep::sleep_until;
use crate::task::{Completions, Task};

type IsEnough<T> = fn(&Result<T, TaskError>) -> bool;

/// Waits until all of `tasks` are done, or as [`Wait`] was told; cancels none of them.
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let tasks = [1, 60_000].map(|ms| riata::spawn(riata::sleep(Duration::from_millis(ms))));
///     let waited = riata::wait(tasks).first_completed().await;
///     assert_eq!((waited.done.len(), waited.pending.len()), (1, 1));
/// });
/// ```
pub fn wait<T>(tasks: impl IntoIterator<Item = Task<T>>) -> Wait<T> {
    Wait {
        tasks: tasks.into_iter().collect(),
        is_enough: |_| false,
        limit: None,
    }
}

/// What [`wait`] gives: what to wait for, to be awaited.
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let tasks = [riata::spawn(std::future::pending::<()>())];
///     let waited = riata::wait(tasks).timeout(Duration::from_millis(1)).await;
///     assert_eq!(waited.pending.len(), 1);
/// });
/// ```
#[must_use = "does nothing unless awaited"]
pub struct Wait<T> {
    tasks: Vec<Task<T>>,
    is_enough: IsEnough<T>,
    limit: Option<Duration>,
}

impl<T> Wait<T> {
    /// Until one is done: asyncio's FIRST_COMPLETED.
    ///
    /// ```
    /// riata::run(async {
    ///     let waited = riata::wait([riata::spawn(async { 1 })]).first_completed().await;
    ///     assert!(waited.pending.is_empty());
    /// });
    /// ```
    pub fn first_completed(mut self) -> Self {
        self.is_enough = |_| true;
        self
    }

    /// Not longer than `limit`.
    ///
    /// ```
    /// use std::time::Duration;
    /// riata::run(async {
    ///     let waited = riata::wait([riata::spawn(async {})]).timeout(Duration::from_secs(1)).await;
    ///     assert_eq!(waited.done.len(), 1);
    /// });
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl<T, E> Wait<Result<T, E>> {
    /// Until one has failed, by giving an error or by a panic, or all are done: asyncio's
    /// FIRST_EXCEPTION.
    ///
    /// ```
    /// riata::run(async {
    ///     let tasks = ["1", "two", "3"].map(|it| riata::spawn(async { it.parse::<u8>() }));
    ///     let waited = riata::wait(tasks).first_error().await;
    ///     assert!(waited.done.len() >= 2);
    /// });
    /// ```
    pub fn first_error(mut self) -> Self {
        self.is_enough = |result| match result {
            Ok(output) => output.is_err(),
            Err(error) => error.is_panic(),
        };
        self
    }
}

/// The tasks that were done when a [`wait`] ended, and the others, each in their first order.
///
/// ```
/// riata::run(async {
///     let waited: riata::Waited<u8> = riata::wait([]).await;
///     assert!(waited.done.is_empty() && waited.pending.is_empty());
/// });
/// ```
#[derive(Debug)]
pub struct Waited<T> {
    /// They have their results.
    pub done: Vec<Task<T>>,
    /// They go on.
    pub pending: Vec<Task<T>>,
}

impl<T: 'static> IntoFuture for Wait<T> {
    type Output = Waited<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Waited<T>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}

impl<T> Wait<T> {
    async fn wait(self) -> Waited<T> {
        let Self {
            tasks,
            is_enough,
            limit,
        } = self;
        let set = Rc::new(Completions::default());
        for (number, task) in tasks.iter().enumerate() {
            task.join(&set, number as u32);
            // asyncio's wait cancels nothing, whoever is cancelled.
            task.set_awaited(false);
        }
        let deadline = limit.map(|limit| crate::time() + limit);
        let mut sleep = pin!(deadline.map(sleep_until));
        let mut left = tasks.len();
        poll_fn(|context| {
            while left > 0 {
                let Some(number) = set.pop(context.waker()) else {
                    break;
                };
                left -= 1;
                let mut enough = false;
                tasks[number as usize].peek(&mut |result| enough = is_enough(result));
                if enough {
                    return Poll::Ready(());
                }
            }
            match sleep.as_mut().as_pin_mut() {
                _ if left == 0 => Poll::Ready(()),
                Some(sleep) => sleep.poll(context),
                None => Poll::Pending,
            }
        })
        .await;
        tasks.iter().for_each(Task::leave);
        let (done, pending) = tasks.into_iter().partition(Task::is_done);
        Waited { done, pending }
    }
}

impl<T> fmt::Debug for Wait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("tasks", &self.tasks).finish()
    }
}
