//! Tasks that end together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::context;
use crate::error::Cancelled;
use crate::task::{Task, TaskRef, spawn};

/// What went wrong in a [`TaskGroup`]: at least one error, in the order they came.
///
/// ```
/// riata::run(async {
///     let result = riata::task_group(async |group: riata::TaskGroup<&str>| {
///         group.spawn(async { Err::<(), _>("oh") }).detach();
///         Ok(())
///     });
///     assert_eq!(result.await.unwrap_err().errors, ["oh"]);
/// });
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct GroupError<E> {
    /// The errors.
    pub errors: Vec<E>,
}

impl<E> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        let plural = if count == 1 { "" } else { "s" };
        // asyncio's words.
        write!(
            f,
            "unhandled errors in a TaskGroup ({count} sub-exception{plural})"
        )
    }
}

impl<E: fmt::Debug> std::error::Error for GroupError<E> {}

/// Runs `body` with a group for the tasks it starts, and waits for all of them.
///
/// If one of them fails, or `body` does, the others are cancelled, `body` is dropped where it
/// waits, and when all are done the errors come together. If a task panics, the panic goes on
/// here then. If this is cancelled, so are the tasks of the group.
///
/// # Errors
///
/// What the tasks and `body` failed with.
///
/// # Panics
///
/// Outside a running loop; and with the panic of a task.
///
/// ```
/// riata::run(async {
///     let sum = riata::task_group(async |group: riata::TaskGroup<std::io::Error>| {
///         let one = group.spawn(async { Ok(1) });
///         let two = group.spawn(async { Ok(2) });
///         Ok(one.await.unwrap() + two.await.unwrap())
///     });
///     assert_eq!(sum.await.unwrap(), 3);
/// });
/// ```
pub async fn task_group<T, E: 'static>(
    body: impl AsyncFnOnce(TaskGroup<E>) -> Result<T, E>,
) -> Result<T, GroupError<E>> {
    let group = TaskGroup(Rc::new(Inner {
        tasks: RefCell::default(),
        next: Cell::new(0),
        errors: RefCell::default(),
        panic: Cell::new(None),
        has_failed: Cell::new(false),
        is_aborting: Cell::new(false),
        is_over: Cell::new(false),
        waker: Cell::new(None),
    }));
    let inner = Rc::clone(&group.0);
    let _cancel = CancelOnDrop(&inner);
    let mut body = pin!(Some(body(group)));
    let mut output = None;
    poll_fn(|context| {
        inner.waker.set(Some(context.waker().clone()));
        if inner.is_aborting.get() {
            context::with(|guests| guests.cancelling(|| body.set(None)));
        } else if let Some(future) = body.as_mut().as_pin_mut()
            && let Poll::Ready(result) = future.poll(context)
        {
            body.set(None);
            match result {
                Ok(value) => output = Some(value),
                Err(error) => inner.fail(error),
            }
        }
        let is_done = body.is_none() && inner.tasks.borrow().is_empty();
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    if let Some(payload) = inner.panic.take() {
        resume_unwind(payload);
    }
    let errors = inner.errors.take();
    match output {
        Some(output) if errors.is_empty() => Ok(output),
        _ => Err(GroupError { errors }),
    }
}

/// Tasks that end together: see [`task_group`].
///
/// ```
/// riata::run(async {
///     riata::task_group(async |group: riata::TaskGroup<()>| {
///         for _ in 0..3 {
///             group.spawn(async { Ok(()) }).detach();
///         }
///         assert_eq!(group.len(), 3);
///         Ok(())
///     })
///     .await
///     .unwrap();
/// });
/// ```
pub struct TaskGroup<E>(Rc<Inner<E>>);

struct Inner<E> {
    /// Those that are not done.
    tasks: RefCell<BTreeMap<u64, TaskRef>>,
    next: Cell<u64>,
    errors: RefCell<Vec<E>>,
    panic: Cell<Option<Box<dyn std::any::Any + Send>>>,
    /// A task failed.
    has_failed: Cell<bool>,
    /// All are to end.
    is_aborting: Cell<bool>,
    is_over: Cell<bool>,
    /// Who waits for the end.
    waker: Cell<Option<Waker>>,
}

impl<E> Inner<E> {
    fn fail(&self, error: E) {
        self.errors.borrow_mut().push(error);
        self.abort();
    }

    fn abort(&self) {
        self.is_aborting.set(true);
        let tasks: Vec<_> = self.tasks.borrow().values().cloned().collect();
        for task in tasks {
            task.cancel();
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

struct CancelOnDrop<'a, E>(&'a Inner<E>);

impl<E> Drop for CancelOnDrop<'_, E> {
    fn drop(&mut self) {
        self.0.is_over.set(true);
        self.0.abort();
    }
}

impl<E: 'static> TaskGroup<E> {
    /// Starts a task of the group. Its handle gives its value; if it fails, the error is the
    /// group's, and the handle says that it was cancelled.
    ///
    /// # Panics
    ///
    /// If the group is over.
    ///
    /// ```
    /// riata::run(async {
    ///     riata::task_group(async |group: riata::TaskGroup<()>| {
    ///         assert_eq!(group.spawn(async { Ok(1) }).await.unwrap(), 1);
    ///         Ok(())
    ///     })
    ///     .await
    ///     .unwrap();
    /// });
    /// ```
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = Result<T, E>> + 'static,
    ) -> Task<T> {
        assert!(!self.0.is_over.get(), "this TaskGroup is finished");
        let inner = Rc::clone(&self.0);
        let task = spawn(async move {
            let mut future = pin!(future);
            let caught = poll_fn(|context| {
                let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
                match polled {
                    Ok(polled) => polled.map(Ok),
                    Err(payload) => Poll::Ready(Err(payload)),
                }
            });
            match caught.await {
                Ok(Ok(value)) => value,
                Ok(Err(error)) => {
                    // The others learn of it in the next turn, from the callback, as in
                    // asyncio: those that fail in this one are told of too.
                    inner.errors.borrow_mut().push(error);
                    inner.has_failed.set(true);
                    Cancelled::default().raise().await
                }
                Err(payload) => {
                    inner.panic.set(Some(payload));
                    inner.has_failed.set(true);
                    Cancelled::default().raise().await
                }
            }
        });
        let inner = Rc::clone(&self.0);
        let number = inner.next.get();
        inner.next.set(number + 1);
        inner.tasks.borrow_mut().insert(number, task.to_ref());
        task.add_done_callback(move |_| {
            let task = inner.tasks.borrow_mut().remove(&number);
            drop(task);
            if inner.has_failed.get() && !inner.is_aborting.get() {
                inner.abort();
            }
            inner.wake();
        });
        if self.0.is_aborting.get() {
            task.cancel();
        }
        task
    }

    /// How many tasks are not done.
    ///
    /// ```
    /// riata::run(async {
    ///     let group = riata::task_group(async |group: riata::TaskGroup<()>| Ok(group.len()));
    ///     assert_eq!(group.await.unwrap(), 0);
    /// });
    /// ```
    pub fn len(&self) -> usize {
        self.0.tasks.borrow().len()
    }

    /// Whether every task is done.
    ///
    /// ```
    /// riata::run(async {
    ///     let group = riata::task_group(async |group: riata::TaskGroup<()>| Ok(group.is_empty()));
    ///     assert!(group.await.unwrap());
    /// });
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskGroup")
            .field(&self.0.tasks.borrow())
            .finish()
    }
}

impl<E> From<GroupError<E>> for Vec<E> {
    fn from(error: GroupError<E>) -> Self {
        error.errors
    }
}
