//! Rust's own loop: the [`Host`](crate::host::Host) that needs no other.

mod builder;
mod core;
mod root;

use std::io;
use std::rc::Rc;

pub use builder::Builder;

use crate::context::{self, Guests};
use crate::error::{RunError, TaskError};
use crate::exception::ExceptionHandler;
use crate::handle::Handle;
use crate::task::{Task, TaskRef};
use core::Core;
use root::Root;

/// Runs `future` on a new loop of this thread, as `asyncio.run` does, and returns what it gives.
///
/// When it is done all other tasks are cancelled and awaited, and the loop is closed.
///
/// # Panics
///
/// If a loop is running on this thread already, if the kernel refuses what a loop needs, if
/// the future is cancelled; and if it panics, with its payload.
///
/// ```
/// assert_eq!(riata::run(async { 1 + 1 }), 2);
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    if context::is_running() {
        panic!("{}", RunError::AlreadyRunning);
    }
    match Runtime::new() {
        Ok(mut runtime) => runtime.run(future),
        Err(error) => panic!("no event loop: {error}"),
    }
}

/// A loop of this thread.
///
/// It may run one future after another; what they spawned goes on during the next. Dropping
/// it cancels all tasks, runs them to their end and closes it.
///
/// ```
/// let mut runtime = riata::Runtime::builder().virtual_clock(true).build().unwrap();
/// runtime.run(async {
///     riata::sleep(std::time::Duration::from_secs(3600)).await; // takes no time
///     assert_eq!(riata::time().as_secs_f64(), 3600.0);
/// });
/// ```
pub struct Runtime {
    guests: Rc<Guests>,
    core: Rc<Core>,
}

impl Runtime {
    /// A loop with no options.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: the kernel refused an epoll instance or an eventfd.
    ///
    /// ```
    /// riata::Runtime::new().unwrap().run(async {});
    /// ```
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Options for a loop.
    ///
    /// ```
    /// let runtime = riata::Runtime::builder().name("sensors").build().unwrap();
    /// assert_eq!(runtime.name(), "sensors");
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The loop's name.
    ///
    /// ```
    /// assert_eq!(riata::Runtime::new().unwrap().name(), "riata");
    /// ```
    pub fn name(&self) -> &str {
        self.core.name()
    }

    /// The loop, for other threads.
    ///
    /// ```
    /// let runtime = riata::Runtime::new().unwrap();
    /// runtime.handle().call_soon_threadsafe(|| println!("once it runs")).unwrap();
    /// ```
    pub fn handle(&self) -> Handle {
        self.guests.handle().clone()
    }

    /// As [`set_exception_handler`](crate::set_exception_handler), whether the loop runs or not.
    ///
    /// ```
    /// let mut runtime = riata::Runtime::new().unwrap();
    /// runtime.set_exception_handler(Some(std::rc::Rc::new(|context| eprintln!("{context}"))));
    /// runtime.run(async {});
    /// ```
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        let old = self.guests.exception_handler.replace(handler);
        drop(old);
    }

    /// Spawns a task, to run when the loop does.
    ///
    /// ```
    /// let mut runtime = riata::Runtime::new().unwrap();
    /// let task = runtime.spawn(async { 5 });
    /// assert_eq!(runtime.run(task).unwrap(), 5);
    /// ```
    pub fn spawn<F: Future + 'static>(&self, future: F) -> Task<F::Output> {
        self.guests.enter(|| self.guests.spawn(future))
    }

    /// Runs the loop until `future` is done. It may borrow, and need not be `Send`.
    ///
    /// # Panics
    ///
    /// Where [`try_run`](Self::try_run) gives an error, and with the payload of `future`'s panic.
    ///
    /// ```
    /// let text = String::from("borrowed");
    /// assert_eq!(riata::Runtime::new().unwrap().run(async { text.len() }), 8);
    /// ```
    #[track_caller]
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        match self.try_run(future) {
            Ok(output) => output,
            Err(RunError::Task(TaskError::Panicked(panic))) => panic.resume(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs the loop until `future` is done, and then, as asyncio does, the turn that it was done
    /// in and one more: callbacks of what ended with it are called.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] inside a loop of this thread; [`RunError::Task`] if `future` was
    /// cancelled or panicked; [`RunError::Os`] if the kernel refuses to wait.
    ///
    /// ```
    /// let mut runtime = riata::Runtime::new().unwrap();
    /// let error = runtime.try_run(async {
    ///     riata::current_task().unwrap().cancel();
    ///     std::future::pending::<()>().await
    /// });
    /// assert!(matches!(error, Err(riata::RunError::Task(error)) if error.is_cancelled()));
    /// ```
    pub fn try_run<F: Future>(&mut self, future: F) -> Result<F::Output, RunError> {
        if context::is_running() {
            return Err(RunError::AlreadyRunning);
        }
        let root = Root::new(&self.guests);
        let mut future = std::pin::pin!(crate::task::Stage::Future(future));
        self.guests.enter(|| {
            let _guard = root.enroll(&self.guests);
            while !root.has_stopped() {
                let turn = self.core.turn(&self.guests, || {
                    if root.take_ready() {
                        root.drive(future.as_mut(), &self.guests);
                    }
                });
                turn.map_err(RunError::Os)?;
            }
            match future.as_mut().take() {
                Some(result) => result.map_err(RunError::Task),
                // Done means that there is a result.
                None => Err(RunError::Task(TaskError::Cancelled(Default::default()))),
            }
        })
    }

    /// Cancels every task, runs them until they are done, and closes the loop, as dropping
    /// does.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to wait; the loop is closed all the same, and the tasks left are
    /// dropped where they stand.
    ///
    /// ```
    /// let mut runtime = riata::Runtime::new().unwrap();
    /// runtime.run(async { riata::spawn(std::future::pending::<()>()).detach() });
    /// runtime.close().unwrap();
    /// ```
    pub fn close(self) -> io::Result<()> {
        self.cancel_all().map_err(io::Error::from)
    }

    fn cancel_all(&self) -> riata_engine::Result<()> {
        if context::is_running() {
            // Its tasks cannot be run inside another loop's: they are dropped.
            return Ok(());
        }
        self.guests.enter(|| {
            for task in self.guests.tasks() {
                TaskRef::new(task).cancel();
            }
            while !self.guests.is_empty() {
                self.core.turn(&self.guests, || ())?;
            }
            Ok(())
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Err(error) = self.cancel_all() {
            log::error!("a loop was closed before its tasks were done: {error}");
        }
        self.guests.close();
        self.core.clear();
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("name", &self.name())
            .field("guests", &self.guests)
            .finish()
    }
}
