//! Tasks: futures that run by themselves.

mod catch;
mod cell;
mod header;
mod key;
mod refs;
mod table;

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub use catch::{CatchCancel, Raise, catch_cancel};
pub(crate) use cell::{Progress, Stage, Step, StepTo, announce, new_task, report};
pub(crate) use header::{Completions, Header, flag};
pub(crate) use key::Key;
pub use refs::{TaskRef, all_tasks, current_task};
pub(crate) use table::Table;

use crate::context;
use crate::error::TaskError;
use crate::threads::Sender;

/// Runs `future` as a task of this thread's loop, from its next turn on.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async {
///     let task = riata::spawn(async { 6 * 7 });
///     assert_eq!(task.await.unwrap(), 42);
/// });
/// ```
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> Task<F::Output> {
    context::with(|guests| guests.spawn(future))
}

/// A task: await it for its result.
///
/// Dropping it detaches the task, which goes on by itself; but if it is dropped while it is
/// being awaited, because the task that awaits it was cancelled, it is cancelled too.
///
/// ```
/// riata::run(async {
///     let task = riata::spawn(async { panic!("oh") as () });
///     let error = task.await.unwrap_err();
///     assert_eq!(error.panic_message(), Some("oh"));
/// });
/// ```
#[must_use = "a task that is dropped goes on by itself; say so with `.detach()`"]
pub struct Task<T> {
    task: Rc<dyn StepTo<T>>,
    /// Somebody awaits it, through this.
    awaited: Cell<bool>,
}

impl<T> Task<T> {
    pub(crate) fn new(task: Rc<impl StepTo<T> + 'static>) -> Self {
        Self {
            task,
            awaited: Cell::new(false),
        }
    }

    pub(crate) fn key(&self) -> Key {
        self.task.header().key()
    }

    /// Enters the task in `set` as `number` once it is done, or now; what is given up for that
    /// is a task that awaits it.
    pub(crate) fn join(&self, set: &Rc<Completions>, number: u32) {
        self.awaited.set(true);
        if self.is_done() {
            set.push(number);
        } else {
            self.task.header().set_completions(set, number);
        }
    }

    /// Undoes [`join`](Self::join).
    pub(crate) fn leave(&self) {
        self.awaited.set(false);
        self.task.header().forget_joiners();
    }

    /// Calls `f` with the result, if the task is done and it was not taken.
    pub(crate) fn peek(&self, f: &mut dyn FnMut(&Result<T, TaskError>)) {
        self.task.peek(f);
    }

    /// The result of a task that is done, once.
    pub(crate) fn take(&self) -> Option<Result<T, TaskError>> {
        self.awaited.set(false);
        self.task.take()
    }

    /// Whether the task is to be cancelled if this is dropped by a cancellation.
    pub(crate) fn set_awaited(&self, awaited: bool) {
        self.awaited.set(awaited);
    }

    /// Sends the result to another thread, once there is one.
    pub(crate) fn send_result(self, sender: Sender<Result<T, TaskError>>)
    where
        T: 'static,
    {
        let task = Rc::clone(&self.task);
        self.add_done_callback(move |_| {
            if let Some(result) = task.take() {
                sender.send(result);
            }
        });
        let task = Rc::clone(&self.task);
        drop(self);
        // The callback will take its result.
        task.header().clear(flag::DETACHED);
    }

    /// The task without its result, to be kept beside this.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(async {});
    ///     assert!(riata::all_tasks().contains(&task.to_ref()));
    /// });
    /// ```
    pub fn to_ref(&self) -> TaskRef {
        let task = Rc::clone(&self.task);
        TaskRef::new(task)
    }

    /// Asks for the task to be cancelled at its next turn: its future is dropped where it
    /// waits, and awaiting the task gives [`TaskError::Cancelled`]. False if it is done.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(std::future::pending::<()>());
    ///     assert!(task.cancel());
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn cancel(&self) -> bool {
        self.to_ref().cancel()
    }

    /// As [`cancel`](Self::cancel), with a message for whoever awaits the task.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(std::future::pending::<()>());
    ///     task.cancel_with_message("enough");
    ///     assert_eq!(task.await.unwrap_err().to_string(), "cancelled: enough");
    /// });
    /// ```
    pub fn cancel_with_message(&self, message: &str) -> bool {
        self.to_ref().cancel_with_message(message)
    }

    /// How many requests to cancel the task there were that [`uncancel`](Self::uncancel) has not
    /// taken back.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(std::future::pending::<()>());
    ///     task.cancel();
    ///     assert_eq!(task.cancelling(), 1);
    /// });
    /// ```
    pub fn cancelling(&self) -> usize {
        self.to_ref().cancelling()
    }

    /// Takes one request to cancel the task back: see [`TaskRef::uncancel`].
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(async { 1 });
    ///     task.cancel();
    ///     assert_eq!(task.uncancel(), 0);
    ///     assert_eq!(task.await.unwrap(), 1);
    /// });
    /// ```
    pub fn uncancel(&self) -> usize {
        self.to_ref().uncancel()
    }

    /// Whether the task has its result.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(async {});
    ///     assert!(!task.is_done());
    ///     riata::yield_now().await;
    ///     assert!(task.is_done());
    ///     # task.await.unwrap();
    /// });
    /// ```
    pub fn is_done(&self) -> bool {
        self.task.header().has(flag::DONE)
    }

    /// Whether the task is done by being cancelled.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(std::future::pending::<()>());
    ///     task.cancel();
    ///     riata::yield_now().await;
    ///     assert!(task.is_cancelled());
    /// });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.to_ref().is_cancelled()
    }

    /// The task's name: "Task-" and a number, unless it was given another.
    ///
    /// ```
    /// riata::run(async { assert_eq!(riata::spawn(async {}).name(), "Task-2") });
    /// ```
    pub fn name(&self) -> String {
        self.to_ref().name()
    }

    /// Gives the task a name.
    ///
    /// ```
    /// riata::run(async { riata::spawn(async {}).set_name("worker") });
    /// ```
    pub fn set_name(&self, name: &str) {
        self.to_ref().set_name(name);
    }

    /// Calls `callback` on the loop, in its turn, once the task is done; several are called in
    /// the order they were added.
    ///
    /// # Panics
    ///
    /// If the task is done already and this is outside a running loop.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(async {});
    ///     task.add_done_callback(|task| println!("{} is done", task.name()));
    ///     task.await.unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&TaskRef) + 'static) {
        self.to_ref().add_done_callback(callback);
    }

    /// Lets the task go on by itself, as dropping does.
    ///
    /// ```
    /// riata::run(async { riata::spawn(async { println!("alone") }).detach() });
    /// ```
    pub fn detach(self) {}
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it gave its result.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_done() {
            self.awaited.set(true);
            self.task.header().set_joiner(context.waker());
            return Poll::Pending;
        }
        self.awaited.set(false);
        match self.task.take() {
            Some(result) => Poll::Ready(result),
            None => panic!("a task was polled after it gave its result"),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.is_done() {
            if let Some(panic) = self.task.take_panic() {
                report(&panic, self.to_ref());
            }
            return;
        }
        self.task.header().add(flag::DETACHED);
        self.task.header().forget_joiners();
        if self.awaited.get() && context::try_with(|it| it.is_cancelling()) == Some(true) {
            self.cancel();
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ref().fmt(f)
    }
}
