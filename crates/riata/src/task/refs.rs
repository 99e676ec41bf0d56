//! A task seen from outside, its result's type forgotten.

use std::fmt;
use std::rc::Rc;

use super::cell::Step;
use super::header::flag;
use crate::context;
use crate::error::Cancelled;

/// Any task: to look at, to name and to cancel, not to await.
///
/// ```
/// riata::run(async {
///     let me = riata::current_task().unwrap();
///     me.set_name("main");
///     assert_eq!(me.name(), "main");
///     assert!(!me.is_done());
/// });
/// ```
#[derive(Clone)]
pub struct TaskRef {
    task: Rc<dyn Step>,
}

impl TaskRef {
    pub(crate) fn new(task: Rc<dyn Step>) -> Self {
        Self { task }
    }

    pub(crate) fn step(&self) -> &Rc<dyn Step> {
        &self.task
    }

    /// Asks for the task to be cancelled at its next turn; false if it is done.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(std::future::pending::<()>());
    ///     assert!(task.to_ref().cancel());
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn cancel(&self) -> bool {
        self.request(Cancelled::default())
    }

    /// As [`cancel`](Self::cancel), with a message for whoever awaits the task.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::spawn(std::future::pending::<()>());
    ///     task.to_ref().cancel_with_message("enough");
    ///     assert_eq!(task.await.unwrap_err().to_string(), "cancelled: enough");
    /// });
    /// ```
    pub fn cancel_with_message(&self, message: &str) -> bool {
        self.request(Cancelled::new(message))
    }

    fn request(&self, cancelled: Cancelled) -> bool {
        if !self.is_done() {
            self.task.header().count_cancel();
        }
        self.cancel_by(cancelled)
    }

    /// How many requests to cancel the task there were that [`uncancel`](Self::uncancel) has not
    /// taken back.
    ///
    /// ```
    /// riata::run(async { assert_eq!(riata::current_task().unwrap().cancelling(), 0) });
    /// ```
    pub fn cancelling(&self) -> usize {
        self.task.header().cancelling()
    }

    /// Takes one request to cancel the task back, and says how many are left: for who caught the
    /// cancellation that it had asked for itself. With none left, a cancellation that has not
    /// reached the task yet does not come, as in Python since 3.13.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::current_task().unwrap();
    ///     task.cancel();
    ///     assert_eq!(task.cancelling(), 1);
    ///     assert_eq!(task.uncancel(), 0);
    ///     riata::yield_now().await; // goes on
    /// });
    /// ```
    pub fn uncancel(&self) -> usize {
        self.task.header().uncancel()
    }

    pub(crate) fn cancel_by(&self, cancelled: Cancelled) -> bool {
        let header = self.task.header();
        let asked = header.ask_to_cancel(cancelled);
        if asked {
            header.key().waker().wake();
        }
        asked
    }

    /// Whether the task has its result.
    ///
    /// ```
    /// riata::run(async { assert!(!riata::current_task().unwrap().is_done()) });
    /// ```
    pub fn is_done(&self) -> bool {
        self.task.header().has(flag::DONE)
    }

    /// Whether the task is done by being cancelled.
    ///
    /// ```
    /// riata::run(async { assert!(!riata::current_task().unwrap().is_cancelled()) });
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.is_done() && self.task.header().has(flag::CANCELLED)
    }

    /// The task's name: "Task-" and a number, unless it was given another.
    ///
    /// ```
    /// riata::run(async { assert_eq!(riata::current_task().unwrap().name(), "Task-1") });
    /// ```
    pub fn name(&self) -> String {
        let header = self.task.header();
        let given = if header.has_extra() {
            header.with_extra(|extra| extra.name.as_deref().map(String::from))
        } else {
            None
        };
        given.unwrap_or_else(|| format!("Task-{}", header.number()))
    }

    /// Gives the task a name.
    ///
    /// ```
    /// riata::run(async { riata::current_task().unwrap().set_name("main") });
    /// ```
    pub fn set_name(&self, name: &str) {
        let old = self
            .task
            .header()
            .with_extra(|extra| extra.name.replace(name.into()));
        drop(old);
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
    ///     task.to_ref().add_done_callback(|task| println!("{} is done", task.name()));
    ///     task.await.unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&TaskRef) + 'static) {
        if self.is_done() {
            let task = self.clone();
            crate::call::schedule(move || callback(&task));
        } else {
            let callback = Box::new(callback);
            self.task
                .header()
                .with_extra(|extra| extra.callbacks.push(callback));
        }
    }
}

impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.task, &other.task)
    }
}

impl Eq for TaskRef {}

impl fmt::Debug for TaskRef {
    /// As asyncio writes it: `<Task pending name='Task-1'>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_done(), self.is_cancelled()) {
            (false, _) => "pending",
            (true, true) => "cancelled",
            (true, false) => "finished",
        };
        write!(f, "<Task {state} name='{}'>", self.name())
    }
}

/// The task that is running; `None` in a callback or outside a loop.
///
/// ```
/// assert!(riata::current_task().is_none());
/// riata::run(async { assert!(riata::current_task().is_some()) });
/// ```
pub fn current_task() -> Option<TaskRef> {
    context::try_with(|guests| guests.current_task().map(TaskRef::new)).flatten()
}

/// The tasks of this thread's loop that are not done, in no order.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async { assert_eq!(riata::all_tasks().len(), 1) });
/// ```
#[track_caller]
pub fn all_tasks() -> Vec<TaskRef> {
    context::with(|guests| guests.tasks().into_iter().map(TaskRef::new).collect())
}
