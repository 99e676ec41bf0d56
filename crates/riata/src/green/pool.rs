//! Greenlets of which only so many run at once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::greenlet::{Greenlet, spawn};
use super::life::Joiners;
use super::strand::{wait, wait_unless_unwinding};
use crate::error::TaskError;
use crate::sync::Semaphore;
use crate::task::TaskRef;

/// A group of greenlets with a limit: spawning one more waits for one to die.
///
/// Dropping it lets its greenlets go on.
///
/// ```
/// use riata::green;
/// let squares = green::run(|| {
///     let pool = green::Pool::new(2);
///     pool.map(0..4, |number| number * number)
/// });
/// let squares: Vec<_> = squares.into_iter().map(Result::unwrap).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
pub struct Pool {
    crew: Rc<Crew>,
}

struct Crew {
    places: Semaphore,
    /// By number, in the order they were spawned; `None`: not spawned yet.
    members: RefCell<BTreeMap<u64, Option<TaskRef>>>,
    next: Cell<u64>,
    /// Who waits for it to be empty.
    joiners: Joiners,
}

/// A greenlet's place, from before it is spawned until its function is dropped.
struct Membership {
    crew: Rc<Crew>,
    number: u64,
}

impl Membership {
    /// Takes a place that was waited for.
    fn new(crew: &Rc<Crew>) -> Self {
        let number = crew.next.get();
        crew.next.set(number + 1);
        crew.members.borrow_mut().insert(number, None);
        let crew = Rc::clone(crew);
        Self { crew, number }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let member = self.crew.members.borrow_mut().remove(&self.number);
        drop(member);
        self.crew.places.release();
        if self.crew.members.borrow().is_empty() {
            self.crew.joiners.wake_all();
        }
    }
}

impl Pool {
    /// A pool of at most `size` greenlets at once.
    ///
    /// # Panics
    ///
    /// If `size` is zero: nothing would ever run.
    ///
    /// ```
    /// assert_eq!(riata::green::Pool::new(3).free(), 3);
    /// ```
    #[track_caller]
    pub fn new(size: usize) -> Self {
        assert!(size > 0, "a pool of no greenlets");
        Self {
            crew: Rc::new(Crew {
                places: Semaphore::new(size),
                members: RefCell::default(),
                next: Cell::new(0),
                joiners: Joiners::default(),
            }),
        }
    }

    /// Runs `f` as a greenlet of the pool, after waiting for a place, in turn.
    ///
    /// # Panics
    ///
    /// As [`wait`](super::wait).
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let pool = green::Pool::new(1);
    ///     let first = pool.spawn(|| 1);
    ///     let second = pool.spawn(|| 2);
    ///     assert!(first.is_dead());
    ///     assert_eq!(second.get().unwrap(), 2);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> Greenlet<T> {
        wait(self.crew.places.acquire()).forget();
        let membership = Membership::new(&self.crew);
        let number = membership.number;
        let greenlet = spawn(move || {
            let _membership = membership;
            f()
        });
        let mut members = self.crew.members.borrow_mut();
        // Absent if the loop is closed and dropped the function.
        if let Some(member) = members.get_mut(&number) {
            *member = Some(greenlet.to_ref());
        }
        drop(members);
        greenlet
    }

    /// Calls `f` with each item in a greenlet of its own, and gives the results in the order of
    /// the items.
    ///
    /// # Panics
    ///
    /// As [`wait`](super::wait).
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let lengths = green::Pool::new(2).map(["a", "bc"], str::len);
    ///     assert_eq!(lengths[1].as_ref().unwrap(), &2);
    /// });
    /// ```
    #[track_caller]
    pub fn map<I, T>(
        &self,
        items: impl IntoIterator<Item = I>,
        f: impl Fn(I) -> T + 'static,
    ) -> Vec<Result<T, TaskError>>
    where
        I: 'static,
        T: 'static,
    {
        let f = Rc::new(f);
        let spawn = |item| {
            let f = Rc::clone(&f);
            self.spawn(move || f(item))
        };
        let greenlets: Vec<_> = items.into_iter().map(spawn).collect();
        greenlets.into_iter().map(Greenlet::get).collect()
    }

    /// Waits until the pool is empty.
    ///
    /// # Panics
    ///
    /// As [`sleep`](super::sleep).
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let pool = green::Pool::new(2);
    ///     let greenlet = pool.spawn(|| ());
    ///     pool.join();
    ///     assert!(pool.is_empty());
    /// });
    /// ```
    #[track_caller]
    pub fn join(&self) {
        let crew = &self.crew;
        // What is left after a kill is to return.
        let _ = wait_unless_unwinding(Emptying { crew, number: None });
    }

    /// Asks for every greenlet in the pool to be killed: see [`Greenlet::kill`].
    ///
    /// ```
    /// use riata::green;
    /// green::run(|| {
    ///     let pool = green::Pool::new(2);
    ///     let greenlet = pool.spawn(|| green::sleep(std::time::Duration::from_secs(60)));
    ///     pool.kill();
    ///     pool.join();
    ///     assert!(greenlet.get().unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn kill(&self) {
        let members: Vec<_> = {
            let members = self.crew.members.borrow();
            members.values().flatten().cloned().collect()
        };
        for member in members {
            member.cancel();
        }
    }

    /// How many greenlets are in the pool.
    ///
    /// ```
    /// assert_eq!(riata::green::Pool::new(2).len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.crew.members.borrow().len()
    }

    /// Whether no greenlet is in the pool.
    ///
    /// ```
    /// assert!(riata::green::Pool::new(2).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many greenlets could be spawned without waiting.
    ///
    /// ```
    /// assert_eq!(riata::green::Pool::new(2).free(), 2);
    /// ```
    pub fn free(&self) -> usize {
        self.crew.places.available()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("len", &self.len())
            .field("free", &self.free())
            .finish()
    }
}

/// Waits until a pool is empty.
struct Emptying<'a> {
    crew: &'a Crew,
    number: Option<u64>,
}

impl Future for Emptying<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.crew.members.borrow().is_empty() {
            return Poll::Ready(());
        }
        this.crew.joiners.enter(&mut this.number, context.waker());
        Poll::Pending
    }
}

impl Drop for Emptying<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.crew.joiners.leave(number);
        }
    }
}
