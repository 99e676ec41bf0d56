//! Waiting for a descriptor without trying.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::state::{Asked, Side, State, Trigger};
use crate::context;

/// What [`Source::readable`](super::Source::readable) and
/// [`Source::writable`](super::Source::writable) give.
///
/// ```
/// let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
/// near.set_nonblocking(true).unwrap();
/// drop(far);
/// riata::run(async {
///     let near = riata::Source::new(near).unwrap();
///     let end: riata::Waiting<'_> = near.readable();
///     end.await.unwrap();
/// });
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Waiting<'a> {
    state: &'a Rc<State>,
    io: &'a dyn AsFd,
    side: Side,
    knows: Knows,
    began: Option<Began>,
}

/// What is known before the wait.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Knows {
    Nothing,
    /// It was not ready after the last report: an attempt has just failed.
    NotReady,
}

struct Began {
    /// This future's number.
    number: u32,
    /// How many reports there were.
    reports: u32,
    /// It was ready already: only others were to have a turn.
    was_ready: bool,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(state: &'a Rc<State>, io: &'a dyn AsFd, side: Side, knows: Knows) -> Self {
        Self {
            state,
            io,
            side,
            knows,
            began: None,
        }
    }

    /// Asks the kernel; whether it says at once that there is nothing to wait for.
    fn begin(&self) -> io::Result<bool> {
        let asked = context::with(|guests| self.state.ask(guests, self.side))?;
        // What an edge has told it does not tell again.
        let may_be_ready = self.knows == Knows::Nothing && asked == Asked::Before;
        if may_be_ready && self.state.trigger() == Trigger::Edge {
            return self.state.is_ready(self.side, self.io.as_fd());
        }
        Ok(false)
    }
}

impl Future for Waiting<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reports = self.state.reports(self.side);
        match &self.began {
            Some(began) if began.was_ready || began.reports != reports => {
                self.end();
                return Poll::Ready(Ok(()));
            }
            // As long as somebody waits, the question stands.
            Some(began) => self
                .state
                .set_future(self.side, began.number, context.waker()),
            None => {
                let was_ready = match self.begin() {
                    Ok(was_ready) => was_ready,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                let number = self.state.next_number();
                if was_ready {
                    context.waker().wake_by_ref();
                } else {
                    self.state.set_future(self.side, number, context.waker());
                }
                self.began = Some(Began {
                    number,
                    reports,
                    was_ready,
                });
            }
        }
        Poll::Pending
    }
}

impl Waiting<'_> {
    fn end(&mut self) {
        if let Some(began) = self.began.take() {
            self.state.forget_future(began.number);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiting").field(&self.side).finish()
    }
}
