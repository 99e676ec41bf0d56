//! How a task, a run or a loop ends other than well.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::panic::Panic;

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
    /// It panicked.
    Panicked(Panic),
    /// A call for a thread was not made, since no thread could be started: see
    /// [`run_in_executor`](crate::run_in_executor).
    NotStarted(io::Error),
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
    /// assert!(riata::TaskError::from(riata::Panic::new(Box::new("oh"))).is_panic());
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// The text of the panic, if the task panicked with a text.
    ///
    /// ```
    /// let error = riata::TaskError::from(riata::Panic::new(Box::new("oh")));
    /// assert_eq!(error.panic_message(), Some("oh"));
    /// ```
    pub fn panic_message(&self) -> Option<&str> {
        match self {
            Self::Panicked(panic) => panic.message(),
            Self::Cancelled(_) | Self::NotStarted(_) => None,
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => f.debug_tuple("Cancelled").field(cancelled).finish(),
            Self::Panicked(panic) => {
                let text = panic.message().unwrap_or("..");
                f.debug_tuple("Panicked").field(&text).finish()
            }
            Self::NotStarted(error) => f.debug_tuple("NotStarted").field(error).finish(),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Panicked(panic) => match panic.message() {
                Some(text) => write!(f, "the task panicked: {text}"),
                None => f.write_str("the task panicked"),
            },
            // Python's words.
            Self::NotStarted(error) => write!(f, "can't start new thread: {error}"),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted(error) => Some(error),
            Self::Cancelled(_) | Self::Panicked(_) => None,
        }
    }
}

// An error crosses threads, and goes into whatever boxes errors.
const _: () = {
    const fn crosses_threads<T: Send + Sync + 'static>() {}
    crosses_threads::<TaskError>();
    crosses_threads::<RunError>();
};

impl From<TaskError> for io::Error {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::NotStarted(error) => error,
            error => Self::other(error),
        }
    }
}

impl From<Panic> for TaskError {
    fn from(panic: Panic) -> Self {
        Self::Panicked(panic)
    }
}

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
