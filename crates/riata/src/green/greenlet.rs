//! Greenlets from outside: spawning, joining, killing.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::life::{Joining, Life};
use super::ride::Ride;
use super::stacks;
use super::strand::{Strand, kill_current, wait, wait_unless_unwinding};
use crate::context;
use crate::error::{Cancelled, TaskError};
use crate::task::{TaskRef, current_task};

/// Runs a loop on this thread until `f` returns, with `f` as its first greenlet.
///
/// # Panics
///
/// With `f`'s own panic; inside a running loop, or if the loop cannot be made.
///
/// ```
/// use riata::green;
/// let answer = green::run(|| green::spawn(|| 42).get().unwrap());
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn run<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    match crate::run(async { spawn(f).await }) {
        Ok(value) => value,
        Err(TaskError::Panicked(panic)) => panic.resume(),
        Err(error) => panic!("{error}"),
    }
}

/// Runs `f` as a greenlet of this thread's loop, from its next turn on.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// riata::run(async {
///     let greenlet = riata::green::spawn(|| 6 * 7);
///     assert_eq!(greenlet.await.unwrap(), 42);
/// });
/// ```
#[track_caller]
pub fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> Greenlet<T> {
    Builder::new().spawn(f)
}

/// Waits until all of `greenlets` are dead, however they died.
///
/// # Panics
///
/// As [`Greenlet::join`].
///
/// ```
/// use riata::green;
/// green::run(|| {
///     let greenlets: Vec<_> = (0..3).map(|number| green::spawn(move || number)).collect();
///     green::joinall(&greenlets);
///     assert!(greenlets.iter().all(|greenlet| greenlet.is_dead()));
/// });
/// ```
#[track_caller]
pub fn joinall<'a, T: 'a>(greenlets: impl IntoIterator<Item = &'a Greenlet<T>>) {
    for greenlet in greenlets {
        greenlet.join();
    }
}

/// What a greenlet is to have, other than what is usual.
///
/// ```
/// use riata::green;
/// green::run(|| {
///     let deep = green::Builder::new().name("deep").stack_size(8 << 20);
///     assert_eq!(deep.spawn(|| riata::current_task().unwrap().name()).get().unwrap(), "deep");
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is spawned by it until `spawn`"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: Option<usize>,
}

impl Builder {
    /// What is usual.
    ///
    /// ```
    /// let builder = riata::green::Builder::new();
    /// riata::run(async move { builder.spawn(|| ()).await.unwrap() });
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name of the greenlet's task.
    ///
    /// ```
    /// riata::run(async {
    ///     let greenlet = riata::green::Builder::new().name("worker").spawn(|| ());
    ///     assert_eq!(greenlet.name(), "worker");
    /// });
    /// ```
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the size of the greenlet's stack, in bytes; at least 16 KiB are given.
    ///
    /// ```
    /// let small = riata::green::Builder::new().stack_size(32 * 1024);
    /// riata::run(async move { small.spawn(|| ()).await.unwrap() });
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(stacks::at_least(bytes));
        self
    }

    /// Runs `f` as a greenlet: see [`spawn`].
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// riata::run(async {
    ///     assert_eq!(riata::green::Builder::new().spawn(|| 1).await.unwrap(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn<T: 'static>(self, f: impl FnOnce() -> T + 'static) -> Greenlet<T> {
        let life = Life::new();
        let stack_size = self.stack_size.unwrap_or_else(stacks::stack_size);
        let ride = Ride::new(f, Strand::new(), Rc::clone(&life), stack_size);
        let task = crate::spawn(ride);
        if let Some(name) = self.name {
            task.set_name(&name);
        }
        Greenlet {
            life,
            task: task.to_ref(),
            awaited: Cell::new(None),
        }
    }
}

/// A greenlet: join it, kill it, get its value, or await it from a future.
///
/// Dropping this lets the greenlet go on by itself; but if it is dropped while it is being
/// awaited, because the task that awaits it was cancelled, it is killed too, as a
/// [`Task`](crate::Task) is. A panic in a greenlet is its own error.
///
/// ```
/// use riata::green;
/// green::run(|| {
///     let greenlet = green::spawn(|| panic!("oh") as ());
///     assert_eq!(greenlet.get().unwrap_err().panic_message(), Some("oh"));
/// });
/// ```
pub struct Greenlet<T> {
    life: Rc<Life<T>>,
    task: TaskRef,
    /// The place among those who wait for its end, if it is awaited through this.
    awaited: Cell<Option<u64>>,
}

impl<T> Greenlet<T> {
    /// Waits until the greenlet is dead, however it died; any number of greenlets may. If
    /// the one that waits is killed, this one lives on.
    ///
    /// # Panics
    ///
    /// As [`sleep`](super::sleep).
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let greenlet = green::spawn(|| green::sleep(std::time::Duration::from_millis(1)));
    ///     greenlet.join();
    ///     assert!(greenlet.is_dead());
    /// });
    /// ```
    #[track_caller]
    pub fn join(&self) {
        // What is left after a kill is to return.
        let _ = wait_unless_unwinding(Joining::new(&self.life));
    }

    /// Waits until the greenlet is dead, at most for `limit`; says whether it is.
    ///
    /// # Panics
    ///
    /// As [`sleep`](super::sleep).
    ///
    /// ```
    /// use riata::green;
    /// use std::time::Duration;
    /// green::run(|| {
    ///     let greenlet = green::spawn(|| green::sleep(Duration::from_secs(60)));
    ///     assert!(!greenlet.join_for(Duration::from_millis(1)));
    /// });
    /// ```
    #[track_caller]
    pub fn join_for(&self, limit: Duration) -> bool {
        // As in `join`.
        let _ = wait_unless_unwinding(super::net::within(Some(limit), Joining::new(&self.life)));
        self.is_dead()
    }

    /// Waits until the greenlet is dead and gives what its function returned.
    ///
    /// # Errors
    ///
    /// [`TaskError::Panicked`] if it panicked (or no stack could be had for it),
    /// [`TaskError::Cancelled`] if it was killed.
    ///
    /// # Panics
    ///
    /// As [`wait`](super::wait).
    ///
    /// ```
    /// use riata::green;
    /// assert_eq!(green::run(|| green::spawn(|| "value").get().unwrap()), "value");
    /// ```
    #[track_caller]
    pub fn get(self) -> Result<T, TaskError> {
        if !self.is_dead() {
            wait(Joining::new(&self.life));
        }
        // Nobody else can have taken it: `self` is the only handle.
        let result = self.life.take();
        result.unwrap_or_else(|| Err(Cancelled::default().into()))
    }

    /// What the function returned; `None` while it runs, and if it was killed or panicked.
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let greenlet = green::spawn(|| 1);
    ///     assert_eq!(greenlet.value(), None);
    ///     greenlet.join();
    ///     assert_eq!(greenlet.value(), Some(1));
    /// });
    /// ```
    pub fn value(&self) -> Option<T>
    where
        T: Clone,
    {
        self.life
            .peek(|result| result.and_then(|result| result.as_ref().ok().cloned()))
    }

    /// Asks for the greenlet to be killed: at its next turn its stack is unwound from where it
    /// waits. False if it is dead. [`join`](Self::join) it to wait until it is.
    ///
    /// A greenlet that kills itself is unwound from here.
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let greenlet = green::spawn(|| green::sleep(std::time::Duration::from_secs(60)));
    ///     assert!(greenlet.kill());
    ///     assert!(greenlet.get().unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn kill(&self) -> bool {
        if self.is_dead() {
            return false;
        }
        if current_task().as_ref() == Some(&self.task) {
            kill_current();
            return true;
        }
        self.task.cancel()
    }

    /// Whether the greenlet has ended, in whatever way.
    ///
    /// ```
    /// riata::run(async { assert!(!riata::green::spawn(|| ()).is_dead()) });
    /// ```
    pub fn is_dead(&self) -> bool {
        self.life.is_over()
    }

    /// Whether the greenlet ended by being killed.
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let greenlet = green::spawn(|| ());
    ///     greenlet.kill();
    ///     greenlet.join();
    ///     assert!(greenlet.is_killed());
    /// });
    /// ```
    pub fn is_killed(&self) -> bool {
        self.life
            .peek(|result| matches!(result, Some(Err(error)) if error.is_cancelled()))
    }

    /// The greenlet's task, to be kept beside this.
    ///
    /// ```
    /// riata::run(async {
    ///     let greenlet = riata::green::spawn(|| ());
    ///     assert!(riata::all_tasks().contains(&greenlet.to_ref()));
    /// });
    /// ```
    pub fn to_ref(&self) -> TaskRef {
        self.task.clone()
    }

    /// The name of the greenlet's task.
    ///
    /// ```
    /// riata::run(async { assert_eq!(riata::green::spawn(|| ()).name(), "Task-2") });
    /// ```
    pub fn name(&self) -> String {
        self.task.name()
    }
}

impl<T> Unpin for Greenlet<T> {}

impl<T> Future for Greenlet<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// If it is polled again after it gave its result.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut number = self.awaited.get();
        if self
            .life
            .poll_end(&mut number, context.waker())
            .is_pending()
        {
            self.awaited.set(number);
            return Poll::Pending;
        }
        self.awaited.set(None);
        match self.life.take() {
            Some(result) => Poll::Ready(result),
            None => panic!("a greenlet was polled after it gave its result"),
        }
    }
}

impl<T> Drop for Greenlet<T> {
    fn drop(&mut self) {
        let Some(number) = self.awaited.take() else {
            return;
        };
        self.life.leave(Some(number));
        if context::try_with(|it| it.is_cancelling()) == Some(true) {
            self.task.cancel();
        }
    }
}

impl<T> fmt::Debug for Greenlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_dead(), self.is_killed()) {
            (false, _) => "alive",
            (true, true) => "killed",
            (true, false) => "finished",
        };
        write!(f, "<Greenlet {state} name='{}'>", self.name())
    }
}
