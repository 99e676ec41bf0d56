//! How a task, a run or a loop ends other than well.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// That something was cancelled, and the message given, if any.
///
/// ```
/// let error = riata::Cancelled::new("too late");
/// assert_eq!(error.message(), Some("too late"));
/// assert_eq!(error.to_string(), "cancelled: too late");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    message: Option<Arc<str>>,
}

impl Cancelled {
    /// A cancellation with a message; [`Default`] is one without.
    ///
    /// ```
    /// assert_eq!(riata::Cancelled::default().message(), None);
    /// assert_eq!(riata::Cancelled::new("why").message(), Some("why"));
    /// ```
    pub fn new(message: impl Into<Arc<str>>) -> Self {
        Self {
            message: Some(message.into()),
        }
    }

    /// The message, if one was given.
    ///
    /// ```
    /// assert_eq!(riata::Cancelled::new("why").message(), Some("why"));
    /// ```
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "cancelled: {message}"),
            None => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Cancelled {}

/// Why a task has no result.
///
/// ```
/// riata::run(async {
///     let task = riata::spawn(std::future::pending::<()>());
///     task.cancel();
///     assert!(matches!(task.await, Err(riata::TaskError::Cancelled(_))));
/// });
/// ```
pub enum TaskError {
    /// It was cancelled.
    Cancelled(Cancelled),
    /// It panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
}

impl TaskError {
    /// Whether the task was cancelled.
    ///
    /// ```
    /// assert!(riata::TaskError::Cancelled(Default::default()).is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the task panicked.
    ///
    /// ```
    /// assert!(riata::TaskError::Panicked(Box::new("oh")).is_panic());
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// The text of the panic, if the task panicked with a text.
    ///
    /// ```
    /// assert_eq!(riata::TaskError::Panicked(Box::new("oh")).panic_message(), Some("oh"));
    /// ```
    pub fn panic_message(&self) -> Option<&str> {
        match self {
            Self::Cancelled(_) => None,
            Self::Panicked(payload) => panic_message(payload.as_ref()),
        }
    }
}

/// The text of a panic's payload, if it is a text.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => f.debug_tuple("Cancelled").field(cancelled).finish(),
            Self::Panicked(payload) => {
                let text = panic_message(payload.as_ref()).unwrap_or("..");
                f.debug_tuple("Panicked").field(&text).finish()
            }
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Panicked(payload) => match panic_message(payload.as_ref()) {
                Some(text) => write!(f, "the task panicked: {text}"),
                None => f.write_str("the task panicked"),
            },
        }
    }
}

impl std::error::Error for TaskError {}

impl From<Cancelled> for TaskError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

/// Why [`Runtime::try_run`](crate::Runtime::try_run) has no result.
///
/// ```
/// use riata::{Runtime, RunError};
/// riata::run(async {
///     let inner = Runtime::new().unwrap().try_run(async {});
///     assert!(matches!(inner, Err(RunError::AlreadyRunning)));
/// });
/// ```
#[derive(Debug)]
pub enum RunError {
    /// A loop is running on this thread already.
    AlreadyRunning,
    /// The future that was to be run was cancelled or panicked.
    Task(TaskError),
    /// The kernel refused to wait for events.
    Os(riata_engine::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // asyncio's words, but for the name.
            Self::AlreadyRunning => f.write_str(
                "run() cannot be called from a running event loop: a loop is running on this thread",
            ),
            Self::Task(error) => error.fmt(f),
            Self::Os(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

/// That a loop reached from another thread is closed.
///
/// ```
/// let handle = riata::run(async { riata::Handle::current() });
/// assert_eq!(handle.call_soon_threadsafe(|| ()), Err(riata::LoopClosed));
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LoopClosed;

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Event loop is closed")
    }
}

impl std::error::Error for LoopClosed {}
