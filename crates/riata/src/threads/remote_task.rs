//! A task of a loop on another thread.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use super::shot::{Receiver, shot};
use crate::context;
use crate::error::{Cancelled, LoopClosed, TaskError};
use crate::handle::Handle;
use crate::task::{Key, TaskRef};

impl Handle {
    /// Spawns a task on the loop from any thread: asyncio's `run_coroutine_threadsafe`.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`].
    ///
    /// ```
    /// riata::run(async {
    ///     let handle = riata::Handle::current();
    ///     let thread = move || handle.spawn(async { 42 }).unwrap().wait().unwrap();
    ///     assert_eq!(riata::run_in_executor(thread).await.unwrap(), 42);
    /// });
    /// ```
    pub fn spawn<F>(&self, future: F) -> Result<RemoteTask<F::Output>, LoopClosed>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.spawn_with(move || future)
    }

    /// As [`spawn`](Self::spawn), of a future that is made on the loop's thread by `f`, and so need
    /// not be `Send`: only `f` and the result cross threads. A panic of `f` is the task's.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`].
    ///
    /// ```
    /// use std::rc::Rc;
    /// riata::run(async {
    ///     let handle = riata::Handle::current();
    ///     let thread = move || {
    ///         let make = || async {
    ///             let text = Rc::new("of one thread");
    ///             riata::yield_now().await;
    ///             text.len()
    ///         };
    ///         handle.spawn_with(make).unwrap().wait().unwrap()
    ///     };
    ///     assert_eq!(riata::run_in_executor(thread).await.unwrap(), 13);
    /// });
    /// ```
    pub fn spawn_with<F>(
        &self,
        f: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<F::Output>, LoopClosed>
    where
        F: Future + 'static,
        F::Output: Send,
    {
        let (sender, receiver) = shot();
        let key = Arc::new(OnceLock::new());
        let known = Arc::clone(&key);
        self.call_soon_threadsafe(move || {
            let task = crate::spawn(async move { f().await });
            // The closure runs once, so the key is not set yet.
            let _ = known.set(task.key());
            task.send_result(sender);
        })?;
        Ok(RemoteTask {
            handle: self.clone(),
            key,
            receiver,
        })
    }
}

/// A task of a loop on another thread, to be awaited on any loop, or [waited](Self::wait) for
/// without one. Dropping it detaches the task.
///
/// If the loop is closed before the task is done, that is [`TaskError::Cancelled`].
///
/// ```
/// riata::run(async {
///     let task: riata::RemoteTask<u8> = riata::Handle::current().spawn(async { 1 }).unwrap();
///     assert_eq!(task.await.unwrap(), 1);
/// });
/// ```
pub struct RemoteTask<T> {
    handle: Handle,
    /// Known once the loop has taken the task in.
    key: Arc<OnceLock<Key>>,
    receiver: Receiver<Result<T, TaskError>>,
}

impl<T> RemoteTask<T> {
    /// Blocks this thread until the task is done. On the loop's own thread that is for ever:
    /// await it there.
    ///
    /// # Errors
    ///
    /// The task's.
    ///
    /// ```
    /// riata::run(async {
    ///     let handle = riata::Handle::current();
    ///     let thread = move || handle.spawn(async { 42 }).unwrap().wait().unwrap();
    ///     assert_eq!(riata::run_in_executor(thread).await.unwrap(), 42);
    /// });
    /// ```
    pub fn wait(self) -> Result<T, TaskError> {
        let result = self.receiver.wait();
        result.unwrap_or_else(|_| Err(Cancelled::default().into()))
    }

    /// Asks the task's loop to cancel it.
    ///
    /// ```
    /// riata::run(async {
    ///     let handle = riata::Handle::current();
    ///     let task = handle.spawn(std::future::pending::<()>()).unwrap();
    ///     task.cancel();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn cancel(&self) {
        let key = Arc::clone(&self.key);
        // A closed loop has cancelled it already.
        let _ = self.handle.call_soon_threadsafe(move || {
            let task = key
                .get()
                .map(|&key| context::with(|guests| guests.find(key)));
            if let Some(task) = task.flatten() {
                TaskRef::new(task).cancel();
            }
        });
    }

    /// Whether the task is done.
    ///
    /// ```
    /// riata::run(async {
    ///     let task = riata::Handle::current().spawn(async {}).unwrap();
    ///     assert!(!task.is_done());
    /// });
    /// ```
    pub fn is_done(&self) -> bool {
        self.receiver.is_ready()
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.receiver.poll(context);
        polled.map(|result| result.unwrap_or_else(|_| Err(Cancelled::default().into())))
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.is_done();
        f.debug_struct("RemoteTask")
            .field("is_done", &is_done)
            .finish()
    }
}
