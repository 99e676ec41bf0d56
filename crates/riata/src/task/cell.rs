//! A task's one allocation: its header and its future, and later, in the same place, its
//! result.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::header::{Header, flag};
use super::refs::TaskRef;
use crate::context::Guests;
use crate::error::{Cancelled, TaskError};
use crate::exception::{ExceptionContext, call_exception_handler};
use crate::panic::Panic;

/// What became of a task by one step.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Progress {
    /// It waits.
    Waiting,
    /// It has its result.
    Done,
}

impl Progress {
    pub(crate) fn is_done(self) -> bool {
        self == Self::Done
    }
}

/// A task, its future's type forgotten.
pub(crate) trait Step {
    fn header(&self) -> &Header;

    /// Polls the future once, or drops it if the task is to be cancelled.
    fn step(self: Rc<Self>, guests: &Guests) -> Progress;

    /// Drops the future, the loop being closed, and makes the task cancelled.
    fn abandon(self: Rc<Self>);

    /// Takes the result if it is a panic.
    fn take_panic(&self) -> Option<Panic>;
}

/// A task whose result is a `T`.
pub(crate) trait StepTo<T>: Step {
    /// The result, once.
    fn take(&self) -> Option<Result<T, TaskError>>;

    /// Calls `f`, which calls nobody, with the result, if it is there.
    fn peek(&self, f: &mut dyn FnMut(&Result<T, TaskError>));
}

/// A future, then its result, then nothing.
pub(crate) enum Stage<F: Future> {
    Future(F),
    Result(Result<F::Output, TaskError>),
    Taken,
}

impl<F: Future> Stage<F> {
    #[allow(unsafe_code)]
    fn future(self: Pin<&mut Self>) -> Option<Pin<&mut F>> {
        // SAFETY: R3. The future is pinned with the stage: it is polled and dropped in place,
        // and never moved out.
        unsafe {
            match self.get_unchecked_mut() {
                Self::Future(future) => Some(Pin::new_unchecked(future)),
                _ => None,
            }
        }
    }

    /// Polls the future once; what becomes of it is written in its place.
    pub(crate) fn drive(mut self: Pin<&mut Self>, header: &Header, guests: &Guests) -> Progress {
        if header.must_cancel() {
            return self.cancel(header, guests);
        }
        let Some(future) = self.as_mut().future() else {
            return Progress::Waiting;
        };
        let waker = header.key().waker();
        let mut context = Context::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| future.poll(&mut context))) {
            Ok(Poll::Pending) if header.has(flag::RAISED) && header.must_cancel() => {
                self.cancel(header, guests)
            }
            Ok(Poll::Pending) => Progress::Waiting,
            // As in asyncio: a task that was cancelled while it ran to its end is cancelled.
            Ok(Poll::Ready(_)) if header.has(flag::CANCEL_ASKED) => self.cancel(header, guests),
            Ok(Poll::Ready(output)) => self.finish(Ok(output)),
            Err(payload) => self.finish(Err(Panic::new(payload).into())),
        }
    }

    fn cancel(self: Pin<&mut Self>, header: &Header, guests: &Guests) -> Progress {
        let cancelled = header.take_cancelled();
        header.add(flag::CANCELLED);
        guests.cancelling(|| self.finish(Err(cancelled.into())))
    }

    /// Drops the future and puts its result in its place.
    fn finish(mut self: Pin<&mut Self>, result: Result<F::Output, TaskError>) -> Progress {
        let dropped = catch_unwind(AssertUnwindSafe(|| self.as_mut().set(Self::Result(result))));
        if let Err(payload) = dropped {
            self.set(Self::Result(Err(Panic::new(payload).into())));
        }
        Progress::Done
    }

    pub(crate) fn take(self: Pin<&mut Self>) -> Option<Result<F::Output, TaskError>> {
        // Nothing is pinned in a stage that holds a result, and `Taken` replaces it at once.
        if !matches!(*self, Self::Result(_)) {
            return None;
        }
        self.take_result()
    }

    #[allow(unsafe_code)]
    fn take_result(self: Pin<&mut Self>) -> Option<Result<F::Output, TaskError>> {
        // SAFETY: R3. The stage is moved only if it holds no future.
        unsafe {
            let stage = self.get_unchecked_mut();
            if matches!(stage, Self::Future(_)) {
                return None;
            }
            match std::mem::replace(stage, Self::Taken) {
                Self::Result(result) => Some(result),
                _ => None,
            }
        }
    }
}

/// Tells the exception handler of a panic that nobody will retrieve.
pub(crate) fn report(panic: &Panic, task: TaskRef) {
    call_exception_handler(&ExceptionContext {
        exception: Some(panic),
        task: Some(task),
        ..ExceptionContext::new("Task exception was never retrieved")
    });
}

/// Wakes who awaits a task that is done now, and schedules its callbacks.
pub(crate) fn announce(task: Rc<dyn Step>) {
    let header = task.header();
    header.add(flag::DONE);
    header.tell_joiners();
    for callback in header.take_callbacks() {
        let task = TaskRef::new(Rc::clone(&task));
        crate::call::schedule(move || callback(&task));
    }
    if header.has(flag::DETACHED)
        && let Some(panic) = task.take_panic()
    {
        let task = Rc::clone(&task);
        report(&panic, TaskRef::new(task));
    }
}

struct TaskCell<F: Future> {
    header: Header,
    /// In use while the header's flag says so.
    stage: UnsafeCell<Stage<F>>,
}

/// A task that no loop has yet.
pub(crate) fn new_task<F: Future + 'static>(future: F, number: u64) -> Rc<impl StepTo<F::Output>> {
    Rc::new(TaskCell {
        header: Header::new(number),
        stage: UnsafeCell::new(Stage::Future(future)),
    })
}

impl<F: Future> TaskCell<F> {
    /// Calls `f` with the stage; `None` if it is in use further down the stack.
    #[allow(unsafe_code)]
    fn with_stage<R>(&self, f: impl FnOnce(Pin<&mut Stage<F>>) -> R) -> Option<R> {
        struct Leave<'a>(&'a Header);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.clear(flag::IN_USE);
            }
        }
        if self.header.has(flag::IN_USE) {
            return None;
        }
        self.header.add(flag::IN_USE);
        let _leave = Leave(&self.header);
        // SAFETY: R3. The flag says that nobody else has the stage until `f` returns. The cell
        // is made inside an `Rc` and never leaves it, and the stage is never moved out of the
        // cell, so it stays where it is until it is dropped.
        Some(f(unsafe { Pin::new_unchecked(&mut *self.stage.get()) }))
    }
}

impl<F: Future + 'static> Step for TaskCell<F> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn step(self: Rc<Self>, guests: &Guests) -> Progress {
        let Some(progress) = self.with_stage(|stage| stage.drive(&self.header, guests)) else {
            self.header.add(flag::STEP_AGAIN);
            return Progress::Waiting;
        };
        match progress {
            Progress::Done => announce(self),
            Progress::Waiting if self.header.has(flag::STEP_AGAIN) => {
                self.header.clear(flag::STEP_AGAIN);
                guests.wake(self.header.key());
            }
            Progress::Waiting => {}
        }
        progress
    }

    fn abandon(self: Rc<Self>) {
        self.header.add(flag::CANCELLED);
        let cancelled = || Err(Cancelled::default().into());
        if self.with_stage(|stage| stage.finish(cancelled())).is_some() {
            announce(self);
        }
    }

    fn take_panic(&self) -> Option<Panic> {
        let result = self.with_stage(|mut stage| match &*stage {
            Stage::Result(Err(TaskError::Panicked(_))) => stage.as_mut().take(),
            _ => None,
        });
        match result.flatten() {
            Some(Err(TaskError::Panicked(panic))) => Some(panic),
            _ => None,
        }
    }
}

impl<F: Future + 'static> StepTo<F::Output> for TaskCell<F> {
    fn take(&self) -> Option<Result<F::Output, TaskError>> {
        self.with_stage(Stage::take).flatten()
    }

    fn peek(&self, f: &mut dyn FnMut(&Result<F::Output, TaskError>)) {
        self.with_stage(|stage| {
            if let Stage::Result(result) = &*stage {
                f(result);
            }
        });
    }
}
