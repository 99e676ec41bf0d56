//! Where panics and errors go that nobody awaits: the loop's exception handler.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::context;
use crate::panic::Panic;
use crate::task::TaskRef;

/// Hears of what nobody else is told: see [`set_exception_handler`].
///
/// ```
/// let handler: riata::ExceptionHandler = std::rc::Rc::new(|context| eprintln!("{context}"));
/// handler(&riata::ExceptionContext::new("Something is odd"));
/// ```
pub type ExceptionHandler = Rc<dyn Fn(&ExceptionContext<'_>)>;

/// What happened, as the exception handler is told.
///
/// ```
/// let context = riata::ExceptionContext::new("Something is odd");
/// assert_eq!(context.to_string(), "Something is odd");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExceptionContext<'a> {
    /// In asyncio's words.
    pub message: &'a str,
    /// The panic.
    pub exception: Option<&'a Panic>,
    /// The error that a [`Future`](crate::Future) was given, and nobody was told.
    pub error: Option<&'a (dyn std::error::Error + 'static)>,
    /// The task that panicked.
    pub task: Option<TaskRef>,
}

impl<'a> ExceptionContext<'a> {
    /// Nothing but a message.
    ///
    /// ```
    /// let context = riata::ExceptionContext::new("Something is odd");
    /// assert!(context.exception.is_none() && context.task.is_none());
    /// ```
    pub const fn new(message: &'a str) -> Self {
        Self {
            message,
            exception: None,
            error: None,
            task: None,
        }
    }
}

impl fmt::Display for ExceptionContext<'_> {
    /// The message, and a line for each of the others, as asyncio's default handler logs them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)?;
        if let Some(task) = &self.task {
            write!(f, "\ntask: {task:?}")?;
        }
        if let Some(exception) = self.exception {
            write!(f, "\nexception: {exception}")?;
        }
        if let Some(error) = self.error {
            write!(f, "\nexception: {error}")?;
        }
        Ok(())
    }
}

/// Sets who hears of a panic in a callback, of a task's panic that nobody awaits, and of the
/// error of a [`Future`](crate::Future) that nobody asked for; `None`: it is logged
/// ([`default_exception_handler`]). A panic of the handler is logged too.
///
/// An error that a task *returns* is its value, a `Result` like any other: who drops the task
/// has chosen not to look.
///
/// # Panics
///
/// Outside a running loop; [`Runtime::set_exception_handler`](crate::Runtime::set_exception_handler)
/// is for a loop that does not run yet.
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// riata::run(async {
///     let heard = Rc::new(RefCell::new(String::new()));
///     let text = heard.clone();
///     riata::set_exception_handler(Some(Rc::new(move |context| {
///         *text.borrow_mut() = context.exception.unwrap().to_string();
///     })));
///     riata::call_soon(|| panic!("oh"));
///     riata::yield_now().await;
///     assert_eq!(*heard.borrow(), "oh");
/// });
/// ```
#[track_caller]
pub fn set_exception_handler(handler: Option<ExceptionHandler>) {
    let old = context::with(|guests| guests.exception_handler.replace(handler));
    drop(old);
}

/// The handler that was set, to be put back or to be called by another; `None`: the default.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async { assert!(riata::exception_handler().is_none()) });
/// ```
#[track_caller]
pub fn exception_handler() -> Option<ExceptionHandler> {
    context::with(|guests| guests.exception_handler.borrow().clone())
}

/// Tells the loop's exception handler; outside a running loop, the default one.
///
/// ```
/// riata::call_exception_handler(&riata::ExceptionContext::new("Something is odd"));
/// ```
pub fn call_exception_handler(context: &ExceptionContext<'_>) {
    let handler = context::try_with(|guests| guests.exception_handler.borrow().clone());
    let Some(handler) = handler.flatten() else {
        return default_exception_handler(context);
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(context))) {
        let panic = Panic::new(payload);
        // asyncio's words.
        log::error!("Unhandled error in exception handler\ncontext: {context}\nexception: {panic}");
    }
}

/// What is done where no handler was set: an error goes to the `log` crate.
///
/// ```
/// riata::default_exception_handler(&riata::ExceptionContext::new("Something is odd"));
/// ```
pub fn default_exception_handler(context: &ExceptionContext<'_>) {
    log::error!("{context}");
}
