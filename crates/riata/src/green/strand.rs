//! A greenlet seen from its own stack: how it finds itself, and how it waits.
//!
//! The loop's side of the same thing is [`ride`](super::ride).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::resume_unwind;
use std::pin::pin;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::context;
use crate::handle::Handle;

/// Gives control back to whoever resumed the coroutine.
pub(super) type Yielder = corosensei::Yielder<(), ()>;

/// The payload of the unwinding that ends a killed greenlet.
pub(super) struct Kill;

/// What a greenlet's stack and the loop share.
pub(super) struct Strand {
    /// Null until the coroutine begins, dangling once it has ended.
    yielder: Cell<*const Yielder>,
    /// Wakes the task that this greenlet is; set at every step.
    waker: RefCell<Waker>,
    /// It shall not wait any more.
    killed: Cell<bool>,
    /// It was made to unwind by a wait.
    raised: Cell<bool>,
    /// The loop itself runs in a destructor, of a panic that is not the greenlet's.
    panic_outside: Cell<bool>,
    home: Handle,
}

thread_local! {
    /// The greenlet that is running, or none.
    static CURRENT: RefCell<Option<Rc<Strand>>> = const { RefCell::new(None) };
}

impl Strand {
    /// A greenlet of this thread's loop.
    #[track_caller]
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            yielder: Cell::new(ptr::null()),
            waker: RefCell::new(Waker::noop().clone()),
            killed: Cell::new(false),
            raised: Cell::new(false),
            panic_outside: Cell::new(false),
            home: Handle::current(),
        })
    }

    /// Says that its coroutine has begun: called on its stack, whose bottom `yielder` is at.
    pub(super) fn begin(&self, yielder: &Yielder) {
        self.yielder.set(yielder);
    }

    pub(super) fn set_waker(&self, waker: &Waker) {
        self.waker.borrow_mut().clone_from(waker);
    }

    pub(super) fn set_killed(&self) {
        self.killed.set(true);
    }

    /// Calls `resume`, which runs this greenlet until it waits or ends.
    pub(super) fn run<R>(self: &Rc<Self>, resume: impl FnOnce() -> R) -> R {
        struct Leave(Option<Rc<Strand>>);
        impl Drop for Leave {
            fn drop(&mut self) {
                replace_current(self.0.take());
            }
        }
        self.panic_outside.set(thread::panicking());
        let itself = Rc::clone(self);
        let _leave = Leave(replace_current(Some(itself)));
        resume()
    }

    /// Whether its stack is being unwound.
    fn is_unwinding(&self) -> bool {
        // Where both panic there is no telling; it is if it was made to.
        thread::panicking() && (!self.panic_outside.get() || self.raised.get())
    }

    /// Lets the loop run until this greenlet is resumed. To be called by the greenlet that is
    /// the current one.
    ///
    /// # Panics
    ///
    /// If "the loop of this thread" is another than its own: that would stay so for the loop
    /// that goes on.
    #[allow(unsafe_code)]
    fn switch(&self) {
        let is_home = context::try_with(|guests| guests.handle().is_same(&self.home));
        assert!(
            is_home == Some(true),
            "a greenlet cannot wait while it has entered another loop"
        );
        // SAFETY: R30. This is the current greenlet, so its coroutine has begun and has not ended.
        let yielder = unsafe { &*self.yielder.get() };
        yielder.suspend(());
    }

    /// Unwinds this greenlet's stack, if that is not under way.
    fn raise(&self) {
        if !self.is_unwinding() {
            self.raised.set(true);
            resume_unwind(Box::new(Kill));
        }
    }
}

fn replace_current(strand: Option<Rc<Strand>>) -> Option<Rc<Strand>> {
    let mut strand = strand;
    // On a thread that is ending, greenlets are still unwound, but find themselves no more.
    let _ = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), &mut strand));
    strand
}

fn current() -> Option<Rc<Strand>> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// Ends the current greenlet here; comes back if there is none or it is unwinding.
pub(super) fn kill_current() {
    if let Some(strand) = current() {
        strand.set_killed();
        strand.raise();
    }
}

/// Whether this is called by a greenlet, which may [`wait`].
///
/// ```
/// assert!(!riata::green::is_greenlet());
/// assert!(riata::green::run(riata::green::is_greenlet));
/// riata::run(async { assert!(!riata::green::is_greenlet()) });
/// ```
pub fn is_greenlet() -> bool {
    current().is_some()
}

/// That a greenlet cannot wait for what it asked for: it was killed, or is unwinding from a
/// panic.
///
/// ```
/// use riata::green;
/// green::run(|| {
///     let greenlet = green::spawn(|| {
///         green::try_wait(std::future::pending::<()>()).unwrap_err().to_string()
///     });
///     green::sleep(std::time::Duration::ZERO);
///     greenlet.kill();
///     assert_eq!(greenlet.get().unwrap(), "the greenlet is killed");
/// });
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Killed;

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the greenlet is killed")
    }
}

impl std::error::Error for Killed {}

impl From<Killed> for std::io::Error {
    fn from(killed: Killed) -> Self {
        // Not `Interrupted`: `write_all` and such would try again, for ever.
        Self::other(killed)
    }
}

/// Stops this greenlet until `future` is done; others run meanwhile.
///
/// # Panics
///
/// Outside a greenlet. If this greenlet is killed its stack is unwound from here. See the
/// [module's page](super) for what happens in destructors.
///
/// ```
/// use riata::green;
/// let sum = green::run(|| {
///     let task = riata::spawn(async { 40 });
///     green::wait(task).unwrap() + green::wait(async { 2 })
/// });
/// assert_eq!(sum, 42);
/// ```
#[track_caller]
pub fn wait<F: Future>(future: F) -> F::Output {
    match try_wait(future) {
        Ok(output) => output,
        Err(Killed) => {
            if let Some(strand) = current() {
                strand.raise();
            }
            panic!("a greenlet waited for a future while it was unwinding")
        }
    }
}

/// As [`wait`], but where that unwinds the stack this comes back: for destructors, and for
/// greenlets with something to do before they die. Every later wait fails as well.
///
/// # Errors
///
/// [`Killed`]: this greenlet was killed, or is unwinding, and `future` is not ready at once.
///
/// # Panics
///
/// Outside a greenlet.
///
/// ```
/// use riata::green;
/// assert_eq!(green::run(|| green::try_wait(async { 5 })), Ok(5));
/// ```
#[track_caller]
pub fn try_wait<F: Future>(future: F) -> Result<F::Output, Killed> {
    let Some(strand) = current() else {
        panic!("only a greenlet can wait; a future awaits");
    };
    let mut future = pin!(future);
    loop {
        let waker = strand.waker.borrow().clone();
        let mut context = Context::from_waker(&waker);
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        if strand.killed.get() || strand.is_unwinding() {
            return Err(Killed);
        }
        strand.switch();
        if strand.killed.get() {
            return Err(Killed);
        }
    }
}

/// As [`try_wait`], but unwinds the stack where it may.
pub(super) fn wait_unless_unwinding<F: Future>(future: F) -> Result<F::Output, Killed> {
    let result = try_wait(future);
    if result.is_err()
        && let Some(strand) = current()
    {
        strand.raise();
    }
    result
}

/// Stops this greenlet for `delay`; zero gives everything that is ready a turn. In a greenlet
/// that is unwinding it returns at once.
///
/// # Panics
///
/// As [`wait`], but for destructors.
///
/// ```
/// use riata::green;
/// use std::time::Duration;
/// green::run(|| {
///     let before = riata::time();
///     green::sleep(Duration::from_millis(1));
///     assert!(riata::time() - before >= Duration::from_millis(1));
/// });
/// ```
#[track_caller]
pub fn sleep(delay: Duration) {
    // What is left after a kill is to return.
    let _ = wait_unless_unwinding(crate::sleep(delay));
}
