//! Many futures at once, their results in order.

use super::inherit;
use crate::combine::as_completed;
use crate::spawn;
use crate::task::Task;

/// Runs each of `futures` as a task and gives what all of them give, in their order.
///
/// If this is cancelled, so are they. A panic in one of them goes on here once those before it
/// are done; one that is cancelled cancels the task that awaits this. Futures that may fail
/// give their `Result`s, as with asyncio's `return_exceptions=True`; to stop at the first error
/// use [`try_gather`].
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async {
///     let squares = riata::gather((1..4).map(|n| async move { n * n })).await;
///     assert_eq!(squares, [1, 4, 9]);
/// });
/// ```
pub fn gather<F: Future + 'static>(
    futures: impl IntoIterator<Item = F>,
) -> impl Future<Output = Vec<F::Output>> {
    let tasks = spawn_all(futures);
    async move {
        let mut outputs = Vec::with_capacity(tasks.len());
        for task in tasks {
            outputs.push(inherit(task.await).await);
        }
        outputs
    }
}

/// Runs each of `futures` as a task and gives their values, in their order, or the first
/// error, at once; then the others go on by themselves, as with asyncio's `gather`.
///
/// Cancellation and panics are as with [`gather`].
///
/// # Errors
///
/// The error that comes first in time.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async {
///     let numbers = ["1", "2"].map(|text| async move { text.parse::<u8>() });
///     assert_eq!(riata::try_gather(numbers).await, Ok(vec![1, 2]));
///     let numbers = ["1", "two"].map(|text| async move { text.parse::<u8>() });
///     assert!(riata::try_gather(numbers).await.is_err());
/// });
/// ```
pub fn try_gather<F, T, E>(
    futures: impl IntoIterator<Item = F>,
) -> impl Future<Output = Result<Vec<T>, E>>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: 'static,
{
    let tasks: Vec<_> = futures
        .into_iter()
        .enumerate()
        .map(|(number, future)| spawn(async move { (number, future.await) }))
        .collect();
    let mut values: Vec<Option<T>> = Vec::new();
    values.resize_with(tasks.len(), || None);
    let mut results = as_completed(tasks);
    async move {
        while let Some(result) = results.next().await {
            let (number, value) = inherit(result).await;
            values[number] = Some(value?);
        }
        Ok(values.into_iter().flatten().collect())
    }
}

fn spawn_all<F: Future + 'static>(futures: impl IntoIterator<Item = F>) -> Vec<Task<F::Output>> {
    let spawn_awaited = |future| {
        let task = spawn(future);
        task.set_awaited(true);
        task
    };
    futures.into_iter().map(spawn_awaited).collect()
}
