//! What goes on when its awaiter is cancelled.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::TaskError;
use crate::task::Task;

/// Awaits `task` so that cancelling the awaiter leaves it running.
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// riata::run(async {
///     let saved = Rc::new(Cell::new(false));
///     let flag = saved.clone();
///     let save = riata::spawn(async move {
///         riata::sleep(Duration::from_millis(2)).await;
///         flag.set(true);
///     });
///     assert!(riata::timeout(Duration::ZERO, riata::shield(save)).await.is_err());
///     riata::sleep(Duration::from_millis(4)).await;
///     assert!(saved.get());
/// });
/// ```
pub fn shield<T>(task: Task<T>) -> Shield<T> {
    Shield { task }
}

/// What [`shield`] gives.
///
/// ```
/// riata::run(async {
///     let shielded: riata::Shield<u8> = riata::shield(riata::spawn(async { 1 }));
///     assert_eq!(shielded.await.unwrap(), 1);
/// });
/// ```
#[must_use = "a task that is dropped goes on by itself"]
pub struct Shield<T> {
    task: Task<T>,
}

impl<T> Future for Shield<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.task).poll(context);
        self.task.set_awaited(false);
        polled
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shield").field(&self.task).finish()
    }
}
