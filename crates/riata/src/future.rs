//! A result that somebody else gives.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::Cancelled;
use crate::exception::{ExceptionContext, call_exception_handler};
use crate::sync::{Place, Service, Waiters};

/// Why a [`Future`] has no value.
///
/// ```
/// riata::run(async {
///     let future = riata::Future::<u8>::new();
///     future.set_error(std::io::Error::other("no")).unwrap();
///     assert_eq!(future.await.unwrap_err().to_string(), "no");
/// });
/// ```
#[derive(Clone, Debug)]
pub enum FutureError {
    /// It was cancelled.
    Cancelled(Cancelled),
    /// It was given this error.
    Failed(Rc<dyn std::error::Error>),
}

impl fmt::Display for FutureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FutureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cancelled(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

/// That a [`Future`] has its result already, or has none yet.
///
/// ```
/// let future = riata::Future::new();
/// future.set_result(1).unwrap();
/// assert_eq!(future.set_result(2), Err(riata::InvalidState));
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct InvalidState;

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // asyncio's words.
        f.write_str("invalid state")
    }
}

impl std::error::Error for InvalidState {}

/// Schedules the callback that it was made of.
type DoneCallback<T> = Box<dyn FnOnce(Future<T>)>;

struct Inner<T> {
    result: RefCell<Option<Result<T, FutureError>>>,
    waiters: RefCell<Waiters>,
    callbacks: Cell<Vec<DoneCallback<T>>>,
    /// Somebody was given the result.
    retrieved: Cell<bool>,
}

impl<T> Drop for Inner<T> {
    /// As asyncio does: an error that nobody was given is reported.
    fn drop(&mut self) {
        if !self.retrieved.get()
            && let Some(Err(FutureError::Failed(error))) = self.result.get_mut()
        {
            call_exception_handler(&ExceptionContext {
                error: Some(&**error),
                ..ExceptionContext::new("Future exception was never retrieved")
            });
        }
    }
}

/// A result to come, given by whoever has a clone of this and awaited by all who have: each
/// gets a clone of the value (use `Rc` for what cannot be cloned).
///
/// ```
/// riata::run(async {
///     let future = riata::Future::new();
///     let promise = future.clone();
///     riata::call_soon(move || promise.set_result("here").unwrap());
///     assert_eq!(future.await.unwrap(), "here");
/// });
/// ```
pub struct Future<T> {
    inner: Rc<Inner<T>>,
    /// This clone's place among those who wait.
    place: Option<Place>,
}

impl<T> Future<T> {
    /// A future without a result.
    ///
    /// ```
    /// assert!(!riata::Future::<u8>::new().is_done());
    /// ```
    pub fn new() -> Self {
        Self {
            inner: Rc::new(Inner {
                result: RefCell::new(None),
                waiters: RefCell::new(Waiters::new()),
                callbacks: Cell::default(),
                retrieved: Cell::new(false),
            }),
            place: None,
        }
    }

    /// Gives the value.
    ///
    /// # Errors
    ///
    /// [`InvalidState`]: there is a result, or it was cancelled.
    ///
    /// ```
    /// let future = riata::Future::new();
    /// assert!(future.set_result(1).is_ok());
    /// assert!(future.set_result(2).is_err());
    /// ```
    pub fn set_result(&self, value: T) -> Result<(), InvalidState> {
        self.finish(Ok(value))
    }

    /// Gives an error in place of a value. If the last clone is dropped before anybody has
    /// awaited the future or asked for its [`result`](Self::result), the loop's
    /// [exception handler](crate::set_exception_handler) hears of it, as in asyncio.
    ///
    /// # Errors
    ///
    /// [`InvalidState`]: there is a result, or it was cancelled.
    ///
    /// ```
    /// let future = riata::Future::<u8>::new();
    /// assert!(future.set_error(std::fmt::Error).is_ok());
    /// assert!(future.set_error(std::fmt::Error).is_err());
    /// ```
    pub fn set_error(&self, error: impl std::error::Error + 'static) -> Result<(), InvalidState> {
        self.finish(Err(FutureError::Failed(Rc::new(error))))
    }

    /// Cancels the future; false if it has a result.
    ///
    /// ```
    /// let future = riata::Future::<u8>::new();
    /// assert!(future.cancel());
    /// assert!(future.is_cancelled() && !future.cancel());
    /// ```
    pub fn cancel(&self) -> bool {
        let cancelled = FutureError::Cancelled(Cancelled::default());
        self.finish(Err(cancelled)).is_ok()
    }

    /// As [`cancel`](Self::cancel), with a message for those who await it.
    ///
    /// ```
    /// let future = riata::Future::<u8>::new();
    /// future.cancel_with_message("enough");
    /// assert_eq!(riata::run(future).unwrap_err().to_string(), "cancelled: enough");
    /// ```
    pub fn cancel_with_message(&self, message: &str) -> bool {
        let cancelled = FutureError::Cancelled(Cancelled::new(message));
        self.finish(Err(cancelled)).is_ok()
    }

    /// Whether there is a result.
    ///
    /// ```
    /// assert!(!riata::Future::<u8>::new().is_done());
    /// ```
    pub fn is_done(&self) -> bool {
        self.inner.result.borrow().is_some()
    }

    /// Whether it was cancelled.
    ///
    /// ```
    /// assert!(!riata::Future::<u8>::new().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        let result = self.inner.result.borrow();
        matches!(&*result, Some(Err(FutureError::Cancelled(_))))
    }

    /// Calls `callback` on the loop, in its turn, once there is a result; several are called in
    /// the order they were added.
    ///
    /// # Panics
    ///
    /// If there is a result and this is outside a running loop. Likewise what gives the result
    /// of a future with callbacks.
    ///
    /// ```
    /// riata::run(async {
    ///     let future = riata::Future::new();
    ///     future.add_done_callback(|future| assert!(future.is_done()));
    ///     future.set_result(1).unwrap();
    ///     riata::yield_now().await;
    /// });
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&Self) + 'static)
    where
        T: 'static,
    {
        if self.is_done() {
            let future = self.clone();
            crate::call::schedule(move || callback(&future));
        } else {
            let mut callbacks = self.inner.callbacks.take();
            // Bound to the loop when it is called, which needs `T: 'static`, known here.
            callbacks.push(Box::new(move |future: Self| {
                crate::call::schedule(move || callback(&future));
            }));
            self.inner.callbacks.set(callbacks);
        }
    }

    #[track_caller]
    fn finish(&self, result: Result<T, FutureError>) -> Result<(), InvalidState> {
        if self.is_done() {
            return Err(InvalidState);
        }
        *self.inner.result.borrow_mut() = Some(result);
        loop {
            let first = self.inner.waiters.borrow_mut().serve(Service::Given);
            let Some(waker) = first else {
                break;
            };
            waker.wake();
        }
        for callback in self.inner.callbacks.take() {
            callback(self.clone());
        }
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            let left = self.inner.waiters.borrow_mut().leave(place);
            drop(left);
        }
    }
}

impl<T: Clone> Future<T> {
    /// The result, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidState`]: there is none yet.
    ///
    /// ```
    /// let future = riata::Future::new();
    /// assert!(future.result().is_err());
    /// future.set_result(1).unwrap();
    /// assert_eq!(future.result().unwrap().unwrap(), 1);
    /// ```
    pub fn result(&self) -> Result<Result<T, FutureError>, InvalidState> {
        let result = self.inner.result.borrow().clone().ok_or(InvalidState)?;
        self.inner.retrieved.set(true);
        Ok(result)
    }
}

impl<T: Clone> std::future::Future for Future<T> {
    type Output = Result<T, FutureError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Ok(result) = self.result() {
            self.leave();
            return Poll::Ready(result);
        }
        let waker = context.waker();
        match self.place {
            Some(place) => {
                let looked = self.inner.waiters.borrow_mut().look(place, waker);
                drop(looked);
            }
            None => {
                let place = self.inner.waiters.borrow_mut().enter(waker.clone());
                self.place = Some(place);
            }
        }
        Poll::Pending
    }
}

impl<T: Clone> IntoFuture for &Future<T> {
    type Output = Result<T, FutureError>;
    type IntoFuture = Future<T>;

    /// Awaits a clone.
    fn into_future(self) -> Future<T> {
        self.clone()
    }
}

impl<T> Clone for Future<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Rc::clone(&self.inner),
            place: None,
        }
    }
}

impl<T> Default for Future<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Future<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &*self.inner.result.borrow() {
            None => "<Future pending>",
            Some(Err(FutureError::Cancelled(_))) => "<Future cancelled>",
            Some(_) => "<Future finished>",
        })
    }
}
