//! What asyncio writes as `except CancelledError`.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::header::flag;
use super::refs::{TaskRef, current_task};
use crate::context;
use crate::error::Cancelled;

/// Runs `future` so that cancelling the task does not end the task but this: `future` is
/// dropped, the cancellation is the result, and the task goes on.
///
/// Of several such scopes inside one another the innermost has it. To let it go on to the
/// next, as `raise` does, await [`Cancelled::raise`].
///
/// ```
/// use std::time::Duration;
/// riata::run(async {
///     let task = riata::spawn(async {
///         match riata::catch_cancel(riata::sleep(Duration::from_secs(60))).await {
///             Ok(()) => "slept",
///             Err(_cancelled) => {
///                 riata::sleep(Duration::from_millis(1)).await; // clean up
///                 "tidy"
///             }
///         }
///     });
///     riata::yield_now().await;
///     task.cancel();
///     assert_eq!(task.await.unwrap(), "tidy");
/// });
/// ```
pub fn catch_cancel<F: Future>(future: F) -> CatchCancel<F> {
    CatchCancel {
        future: Some(Box::pin(future)),
        scope: None,
    }
}

/// What [`catch_cancel`] gives.
///
/// ```
/// let caught: riata::CatchCancel<_> = riata::catch_cancel(async { 1 });
/// assert_eq!(riata::run(caught).unwrap(), 1);
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct CatchCancel<F> {
    future: Option<Pin<Box<F>>>,
    /// The task this is in, and its number there; present from the first poll on.
    scope: Option<Scope>,
}

struct Scope {
    task: TaskRef,
    number: u64,
}

impl Scope {
    fn open(task: TaskRef) -> Self {
        let number = task.step().header().with_extra(|extra| {
            extra.next_catcher += 1;
            extra.catchers.push(extra.next_catcher);
            extra.next_catcher
        });
        Self { task, number }
    }

    /// The cancellation, if there is one and it is this scope's.
    fn caught(&self) -> Option<Cancelled> {
        let header = self.task.step().header();
        let is_ours =
            header.has(flag::CANCEL_ASKED) && header.innermost_catcher() == Some(self.number);
        is_ours.then(|| header.take_cancelled())
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let header = self.task.step().header();
        header.with_extra(|extra| extra.catchers.retain(|&it| it != self.number));
    }
}

impl<F: Future> CatchCancel<F> {
    fn end(&mut self, cancelled: Cancelled) -> Poll<Result<F::Output, Cancelled>> {
        let future = self.future.take();
        context::try_with(|guests| guests.cancelling(|| drop(future)));
        self.scope = None;
        Poll::Ready(Err(cancelled))
    }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    /// # Panics
    ///
    /// If it is polled again after it gave its result.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.scope.is_none() {
            this.scope = current_task().map(Scope::open);
        }
        if let Some(cancelled) = this.scope.as_ref().and_then(Scope::caught) {
            return this.end(cancelled);
        }
        let Some(future) = &mut this.future else {
            panic!("catch_cancel was polled after it gave its result");
        };
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            this.future = None;
            this.scope = None;
            return Poll::Ready(Ok(output));
        }
        // What a scope further in raised reaches this one in the same step. A cancellation
        // that the future itself asked for waits for the next, as in asyncio.
        match &this.scope {
            Some(scope) if scope.task.step().header().has(flag::RAISED) => match scope.caught() {
                Some(cancelled) => this.end(cancelled),
                None => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }
}

impl Cancelled {
    /// Goes on being cancelled: the task ends as cancelled at this point, or the next
    /// [`catch_cancel`] further out has it. Awaiting this never comes back.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(async {
    ///         let caught = riata::catch_cancel(std::future::pending::<()>()).await;
    ///         caught.unwrap_err().raise::<()>().await
    ///     });
    ///     riata::yield_now().await;
    ///     task.cancel_with_message("enough");
    ///     assert_eq!(task.await.unwrap_err().to_string(), "cancelled: enough");
    /// });
    /// ```
    pub fn raise<T>(self) -> Raise<T> {
        Raise {
            cancelled: Some(self),
            output: PhantomData,
        }
    }
}

/// What [`Cancelled::raise`] gives.
///
/// ```
/// let raise: riata::Raise<u8> = riata::Cancelled::default().raise();
/// # drop(raise);
/// ```
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Raise<T> {
    cancelled: Option<Cancelled>,
    output: PhantomData<fn() -> T>,
}

impl<T> Future for Raise<T> {
    type Output = T;

    /// # Panics
    ///
    /// Outside a task.
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        if let Some(cancelled) = self.cancelled.take() {
            let Some(task) = current_task() else {
                panic!("a cancellation was raised outside a task");
            };
            let header = task.step().header();
            header.add(flag::RAISED);
            task.cancel_by(cancelled);
        }
        Poll::Pending
    }
}
