//! A greenlet seen from the loop: a future whose every poll runs the coroutine until it waits.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

use super::life::Life;
use super::stacks;
use super::strand::{Kill, Strand};
use crate::error::Cancelled;
use crate::panic::Panic;

/// What a greenlet's function returned, or the payload it was unwound with.
type Ending<T> = Result<T, Box<dyn Any + Send>>;

enum Stage<F, T> {
    /// The function, before its first step.
    New(F),
    Begun(Coroutine<(), (), Ending<T>, DefaultStack>),
    Over,
}

/// The future of a greenlet's task. Dropping it kills the greenlet, on the spot.
pub(super) struct Ride<F, T> {
    stage: Stage<F, T>,
    strand: Rc<Strand>,
    life: Rc<Life<T>>,
    /// Bytes of its stack.
    stack_size: usize,
}

impl<F, T> Ride<F, T> {
    /// `strand` is of the loop that the task is for.
    pub(super) fn new(f: F, strand: Rc<Strand>, life: Rc<Life<T>>, stack_size: usize) -> Self {
        Self {
            stage: Stage::New(f),
            strand,
            life,
            stack_size,
        }
    }

    /// Runs the greenlet, if it has begun, until it waits or ends; `None`: it waits.
    fn resume(&mut self) -> Option<Ending<T>> {
        let Stage::Begun(coroutine) = &mut self.stage else {
            return None;
        };
        match self.strand.run(|| coroutine.resume(())) {
            CoroutineResult::Yield(()) => None,
            CoroutineResult::Return(ending) => {
                if let Stage::Begun(coroutine) = mem::replace(&mut self.stage, Stage::Over) {
                    stacks::give_back(self.stack_size, coroutine.into_stack());
                }
                Some(ending)
            }
        }
    }

    fn end(&self, ending: Ending<T>) {
        self.life.end(ending.map_err(|payload| {
            if payload.is::<Kill>() {
                Cancelled::default().into()
            } else {
                Panic::new(payload).into()
            }
        }));
    }
}

impl<F: FnOnce() -> T + 'static, T: 'static> Ride<F, T> {
    /// Gives the greenlet its stack, if it has not begun.
    ///
    /// # Errors
    ///
    /// The ending of a greenlet for which there is no stack.
    fn begin(&mut self) -> Result<(), Ending<T>> {
        if !matches!(self.stage, Stage::New(_)) {
            return Ok(());
        }
        let stack = match stacks::take(self.stack_size) {
            Ok(stack) => stack,
            Err(error) => {
                self.stage = Stage::Over;
                let text = format!("no stack for a greenlet: {error}");
                return Err(Err(Box::new(text)));
            }
        };
        let strand = Rc::clone(&self.strand);
        if let Stage::New(f) = mem::replace(&mut self.stage, Stage::Over) {
            // No unwinding reaches the coroutine's own root, and so none comes out of `resume`.
            let root = move |yielder: &_, ()| {
                strand.begin(yielder);
                catch_unwind(AssertUnwindSafe(f))
            };
            self.stage = Stage::Begun(Coroutine::with_stack(stack, root));
        }
        Ok(())
    }
}

// Nothing in it is pinned: what the coroutine holds is on its stack, which does not move.
impl<F, T> Unpin for Ride<F, T> {}

impl<F: FnOnce() -> T + 'static, T: 'static> Future for Ride<F, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.strand.set_waker(context.waker());
        let ending = match self.begin() {
            Ok(()) => self.resume(),
            Err(ending) => Some(ending),
        };
        match ending {
            None => Poll::Pending,
            Some(ending) => {
                self.end(ending);
                Poll::Ready(())
            }
        }
    }
}

impl<F, T> Drop for Ride<F, T> {
    fn drop(&mut self) {
        match &self.stage {
            Stage::Over => {
                if !self.life.is_over() {
                    self.end(Err(Box::new(Kill)));
                }
                return;
            }
            Stage::New(_) => {
                let stage = mem::replace(&mut self.stage, Stage::Over);
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(stage)));
                self.end(Err(dropped.err().unwrap_or_else(|| Box::new(Kill))));
                return;
            }
            Stage::Begun(_) => self.strand.set_killed(),
        }
        // A greenlet that is killed does not switch any more: this is once round, in which
        // its stack is unwound.
        loop {
            if let Some(ending) = self.resume() {
                self.end(ending);
                return;
            }
        }
    }
}
