//! What became of a greenlet, and who waits to know.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::TaskError;
use crate::exception::{ExceptionContext, call_exception_handler};

/// Shared by a greenlet and its handle.
pub(super) struct Life<T> {
    /// Present from the end on, until it is taken.
    result: RefCell<Option<Result<T, TaskError>>>,
    is_over: Cell<bool>,
    joiners: Joiners,
}

/// Wakers in the order they came.
#[derive(Default)]
pub(super) struct Joiners {
    wakers: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Joiners {
    /// Adds a waker, or puts it in the place that `number` names.
    pub(super) fn enter(&self, number: &mut Option<u64>, waker: &Waker) {
        let number = *number.get_or_insert_with(|| {
            self.next.set(self.next.get() + 1);
            self.next.get()
        });
        let old = self.wakers.borrow_mut().insert(number, waker.clone());
        drop(old);
    }

    pub(super) fn leave(&self, number: u64) {
        let old = self.wakers.borrow_mut().remove(&number);
        drop(old);
    }

    pub(super) fn wake_all(&self) {
        let wakers = self.wakers.take();
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

impl<T> Life<T> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            result: RefCell::new(None),
            is_over: Cell::new(false),
            joiners: Joiners::default(),
        })
    }

    /// Ends it, once.
    pub(super) fn end(&self, result: Result<T, TaskError>) {
        self.is_over.set(true);
        let old = self.result.replace(Some(result));
        drop(old);
        self.joiners.wake_all();
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// The result, once.
    pub(super) fn take(&self) -> Option<Result<T, TaskError>> {
        self.result.take()
    }

    /// Calls `f` with the result, which cannot be taken meanwhile.
    pub(super) fn peek<R>(&self, f: impl FnOnce(Option<&Result<T, TaskError>>) -> R) -> R {
        f(self.result.borrow().as_ref())
    }

    pub(super) fn poll_end(&self, number: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
        self.joiners.enter(number, waker);
        Poll::Pending
    }

    pub(super) fn leave(&self, number: Option<u64>) {
        if let Some(number) = number {
            self.joiners.leave(number);
        }
    }
}

impl<T> Drop for Life<T> {
    fn drop(&mut self) {
        if let Some(Err(TaskError::Panicked(panic))) = self.result.get_mut() {
            call_exception_handler(&ExceptionContext {
                exception: Some(panic),
                ..ExceptionContext::new("Greenlet exception was never retrieved")
            });
        }
    }
}

/// Waits for a greenlet's end and takes nothing.
pub(super) struct Joining<'a, T> {
    life: &'a Life<T>,
    number: Option<u64>,
}

impl<'a, T> Joining<'a, T> {
    pub(super) fn new(life: &'a Life<T>) -> Self {
        Self { life, number: None }
    }
}

impl<T> Future for Joining<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.life.poll_end(&mut this.number, context.waker())
    }
}

impl<T> Drop for Joining<'_, T> {
    fn drop(&mut self) {
        self.life.leave(self.number);
    }
}
