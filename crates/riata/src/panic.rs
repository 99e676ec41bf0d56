//! A panic that was caught, as a value.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

/// What a panic left: its text, and the payload with which it can go on.
///
/// ```
/// riata::run(async {
///     match riata::spawn(async { panic!("oh") as () }).await {
///         Err(riata::TaskError::Panicked(panic)) => assert_eq!(panic.message(), Some("oh")),
///         _ => unreachable!(),
///     }
/// });
/// ```
pub struct Panic(Box<Inner>);

struct Inner {
    message: Option<Cow<'static, str>>,
    /// Only ever taken out whole; the lock lets threads share what need not be `Sync`.
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    /// Of what [`catch_unwind`](std::panic::catch_unwind) gave.
    ///
    /// ```
    /// let payload = std::panic::catch_unwind(|| panic!("oh")).unwrap_err();
    /// assert_eq!(riata::Panic::new(payload).message(), Some("oh"));
    /// ```
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&'static str>().copied();
        let message = text.map(Cow::Borrowed).or_else(|| {
            let text = payload.downcast_ref::<String>()?;
            Some(Cow::Owned(text.clone()))
        });
        Self(Box::new(Inner {
            message,
            payload: Mutex::new(payload),
        }))
    }

    /// The text of the panic, if it was a text.
    ///
    /// ```
    /// assert_eq!(riata::Panic::new(Box::new("oh")).message(), Some("oh"));
    /// assert_eq!(riata::Panic::new(Box::new(3)).message(), None);
    /// ```
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The payload.
    ///
    /// ```
    /// let panic = riata::Panic::new(Box::new(3_u8));
    /// assert_eq!(*panic.into_payload().downcast::<u8>().unwrap(), 3);
    /// ```
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        let payload = self.0.payload.into_inner();
        payload.unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on panicking.
    ///
    /// ```should_panic
    /// riata::Panic::new(Box::new("oh")).resume();
    /// ```
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.message().unwrap_or("..");
        f.debug_tuple("Panic").field(&text).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().unwrap_or("a panic without a text"))
    }
}

impl std::error::Error for Panic {}
