//! Results as they come.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::TaskError;
use crate::task::{Completions, Task};

/// A stream of the tasks' results, in the order in which they come to be done.
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let sleeper = |ms| riata::spawn(async move {
///         riata::sleep(Duration::from_millis(ms)).await;
///         ms
///     });
///     let mut results = riata::as_completed([sleeper(8), sleeper(1)]);
///     assert_eq!(results.next().await.unwrap().unwrap(), 1);
///     assert_eq!(results.next().await.unwrap().unwrap(), 8);
///     assert!(results.next().await.is_none());
/// });
/// ```
pub fn as_completed<T>(tasks: impl IntoIterator<Item = Task<T>>) -> AsCompleted<T> {
    let set = Rc::new(Completions::default());
    let tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    for (number, task) in tasks.iter().flatten().enumerate() {
        task.join(&set, number as u32);
    }
    AsCompleted {
        left: tasks.len(),
        tasks,
        set,
    }
}

/// What [`as_completed`] gives. Dropping it leaves the tasks that are not done running, unless
/// a cancellation drops it: then they are cancelled.
///
/// ```
/// let none: riata::AsCompleted<u8> = riata::as_completed([]);
/// assert!(none.is_empty());
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<T> {
    /// Those whose results have not been given.
    tasks: Vec<Option<Task<T>>>,
    left: usize,
    set: Rc<Completions>,
}

impl<T> AsCompleted<T> {
    /// The next result; `None` after the last.
    ///
    /// ```
    /// riata::run(async {
    ///     let mut results = riata::as_completed([riata::spawn(async { 1 })]);
    ///     assert_eq!(results.next().await.unwrap().unwrap(), 1);
    /// });
    /// ```
    pub async fn next(&mut self) -> Option<Result<T, TaskError>> {
        poll_fn(|context| self.poll_result(context)).await
    }

    /// How many results are to come.
    ///
    /// ```
    /// riata::run(async {
    ///     assert_eq!(riata::as_completed([riata::spawn(async {})]).len(), 1);
    /// });
    /// ```
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether every result was given.
    ///
    /// ```
    /// assert!(riata::as_completed::<u8>([]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    fn poll_result(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, TaskError>>> {
        while self.left > 0 {
            let Some(number) = self.set.pop(context.waker()) else {
                return Poll::Pending;
            };
            let task = self.tasks[number as usize].take();
            self.left -= 1;
            if let Some(result) = task.and_then(|task| task.take()) {
                return Poll::Ready(Some(result));
            }
        }
        Poll::Ready(None)
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = Result<T, TaskError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_result(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .finish()
    }
}
