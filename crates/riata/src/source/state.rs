//! What a source and its loop share: who waits, and what the kernel was asked and has told.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;
use std::task::Waker;

use crate::context::{self, Guests};
use crate::handle::Handle;
use crate::host::{Interest, Readiness, WatchKey};

/// Reading or writing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Read,
    Write,
}

impl Side {
    const fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
        }
    }
}

/// How a source is told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// As long as something is so and somebody asks.
    Level,
    /// Once of each change. For sockets of which a short read says that there is no more:
    /// TCP's, but for urgent data, which is asked for too.
    Edge,
}

/// All that an edge-triggered source ever asks for.
const EVERYTHING: Interest = Interest::READABLE
    .union(Interest::WRITABLE)
    .union(Interest::PRIORITY)
    .union(Interest::EDGE);

/// Whether the kernel was asked just now, and will tell what is so already.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Now,
    Before,
}

/// A future of `readable` or `writable` that waits.
struct Waiter {
    side: Side,
    number: u32,
    waker: Waker,
}

/// What one side is known to be.
#[derive(Copy, Clone)]
struct Facts {
    /// Counts reports, so that a future knows that one came since it began to wait.
    reports: u32,
    /// It may be ready: whoever wants to should try.
    hopeful: bool,
}

impl Facts {
    const NEW: Self = Self {
        reports: 0,
        hopeful: true,
    };
}

/// What a report touches comes first, so that it is in one or two lines of the cache: with
/// 10,000 connections that is what a report costs (`make bench-rust`).
#[repr(C)]
pub(super) struct State {
    /// The last caller of a `poll_` method, for each side.
    pollers: [Cell<Option<Waker>>; 2],
    facts: [Cell<Facts>; 2],
    interest: Cell<Interest>,
    trigger: Trigger,
    /// The last report said more than that there are bytes or room.
    has_more_to_tell: Cell<bool>,
    has_futures: Cell<bool>,
    fd: RawFd,
    home: Handle,
    key: Cell<Option<WatchKey>>,
    next: Cell<u32>,
    /// Futures of `readable` and `writable`.
    futures: RefCell<Vec<Waiter>>,
}

impl State {
    pub(super) fn new(guests: &Guests, fd: RawFd, trigger: Trigger) -> io::Result<Rc<Self>> {
        let state = Rc::new(Self {
            pollers: [Cell::new(None), Cell::new(None)],
            facts: [Cell::new(Facts::NEW), Cell::new(Facts::NEW)],
            interest: Cell::new(Interest::NONE),
            trigger,
            has_more_to_tell: Cell::new(false),
            has_futures: Cell::new(false),
            fd,
            home: guests.handle().clone(),
            key: Cell::new(None),
            next: Cell::new(0),
            futures: RefCell::default(),
        });
        if trigger == Trigger::Level {
            state.watch(guests, Interest::NONE)?;
        }
        Ok(state)
    }

    pub(super) fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Whether an end, an error or urgent data may come after the bytes of the last report,
    /// without another.
    pub(super) fn has_more_to_tell(&self) -> bool {
        self.has_more_to_tell.get()
    }

    pub(super) fn is_hopeful(&self, side: Side) -> bool {
        self.facts[side as usize].get().hopeful
    }

    pub(super) fn set_hopeless(&self, side: Side) {
        let facts = &self.facts[side as usize];
        facts.set(Facts {
            hopeful: false,
            ..facts.get()
        });
    }

    pub(super) fn reports(&self, side: Side) -> u32 {
        self.facts[side as usize].get().reports
    }

    /// Notes whom the next report is to wake, beside the futures.
    pub(super) fn set_poller(&self, side: Side, waker: &Waker) {
        let poller = &self.pollers[side as usize];
        let waker = match poller.take() {
            Some(old) if old.will_wake(waker) => old,
            _ => waker.clone(),
        };
        poller.set(Some(waker));
    }

    /// A number for a future that is going to wait.
    pub(super) fn next_number(&self) -> u32 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }

    /// Notes a future that the next report is to wake.
    pub(super) fn set_future(&self, side: Side, number: u32, waker: &Waker) {
        self.has_futures.set(true);
        let old = {
            let mut futures = self.futures.borrow_mut();
            match futures.iter_mut().find(|it| it.number == number) {
                Some(it) if it.waker.will_wake(waker) => None,
                Some(it) => Some(std::mem::replace(&mut it.waker, waker.clone())),
                None => {
                    let waker = waker.clone();
                    futures.push(Waiter {
                        side,
                        number,
                        waker,
                    });
                    None
                }
            }
        };
        drop(old);
    }

    pub(super) fn forget_future(&self, number: u32) {
        let waiter = {
            let mut futures = self.futures.borrow_mut();
            let position = futures.iter().position(|it| it.number == number);
            let waiter = position.map(|position| futures.swap_remove(position));
            self.has_futures.set(!futures.is_empty());
            waiter
        };
        drop(waiter);
    }

    /// Takes out the futures of one side: one of them, of which there are seldom more, and the
    /// others.
    fn take_futures(&self, side: Side) -> (Option<Waiter>, Vec<Waiter>) {
        if !self.has_futures.get() {
            return (None, Vec::new());
        }
        let mut futures = self.futures.borrow_mut();
        let mut taken = futures.extract_if(.., |it| it.side == side);
        let taken = (taken.next(), taken.collect());
        self.has_futures.set(!futures.is_empty());
        taken
    }

    /// Asks the kernel about one side, if it is not asked already.
    pub(super) fn ask(self: &Rc<Self>, guests: &Guests, side: Side) -> io::Result<Asked> {
        let before = self.interest.get();
        if before.contains(side.interest()) && guests.handle().is_same(&self.home) {
            return Ok(Asked::Before);
        }
        self.ask_anew(guests, side)
    }

    #[cold]
    fn ask_anew(self: &Rc<Self>, guests: &Guests, side: Side) -> io::Result<Asked> {
        if !guests.handle().is_same(&self.home) {
            // asyncio's words.
            return Err(io::Error::other("attached to a different loop"));
        }
        match self.trigger {
            Trigger::Level => {
                self.set_interest(guests, self.interest.get().union(side.interest()))?
            }
            Trigger::Edge => self.watch(guests, EVERYTHING)?,
        }
        Ok(Asked::Now)
    }

    fn watch(self: &Rc<Self>, guests: &Guests, interest: Interest) -> io::Result<()> {
        let watcher = Watcher(Rc::clone(self));
        let key = guests.host().watch(self.fd, interest, watcher)?;
        self.key.set(Some(key));
        self.interest.set(interest);
        Ok(())
    }

    fn set_interest(&self, guests: &Guests, interest: Interest) -> io::Result<()> {
        if self.interest.get() == interest {
            return Ok(());
        }
        let Some(key) = self.key.get() else {
            return Err(io::Error::other("the source is closed"));
        };
        guests.host().set_interest(key, interest)?;
        self.interest.set(interest);
        Ok(())
    }

    /// Ends the watch, wherever this is called.
    pub(super) fn unwatch(&self) {
        if let Some(key) = self.key.take() {
            self.home.call_there(move |guests| {
                let watcher = guests.host().unwatch(key);
                drop(watcher);
            });
        }
    }

    /// What poll(2) says of one side now.
    pub(super) fn is_ready(&self, side: Side, fd: BorrowedFd<'_>) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let flags = match side {
            Side::Read => PollFlags::IN | PollFlags::RDHUP,
            Side::Write => PollFlags::OUT,
        };
        let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        Ok(poll(&mut fds, Some(&at_once))? > 0)
    }
}

/// What a host tells of a descriptor: see [`Host::watch`](crate::host::Host::watch).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
/// # fn main() {
/// let host = Foreign::new();
/// let guests = Guests::new(host.clone());
/// let task = guests.spawn(async {
///     let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
///     near.set_nonblocking(true).unwrap();
///     riata::Source::new(near).unwrap().writable().await.unwrap();
/// });
/// host.run_until(&guests, || task.is_done());
/// # }
/// ```
pub struct Watcher(Rc<State>);

impl Watcher {
    /// Tells whoever waits that the descriptor is ready, from outside any task. May change
    /// the watcher's interest.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let host = Foreign::new();
    /// let guests = Guests::new(host.clone());
    /// let task = guests.spawn(async {
    ///     let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    ///     near.set_nonblocking(true).unwrap();
    ///     riata::Source::new(near).unwrap().writable().await.unwrap();
    /// });
    /// host.turn(&guests); // the task asks
    /// for (watcher, readiness) in host.poll() {
    ///     guests.enter(|| watcher.notify(readiness));
    /// }
    /// host.turn(&guests); // the task goes on
    /// assert!(task.is_done());
    /// # }
    /// ```
    pub fn notify(&self, readiness: Readiness) {
        let state = &*self.0;
        let asked = state.interest.get();
        let mut wanted = asked;
        state.has_more_to_tell.set(
            readiness.read_hung_up()
                || readiness.hung_up()
                || readiness.error()
                || readiness.priority(),
        );
        let mut told = [const { (None, (None, Vec::new())) }; 2];
        for (side, is_ready) in [
            (Side::Read, readiness.wakes_reader() || readiness.priority()),
            (Side::Write, readiness.wakes_writer()),
        ] {
            if !is_ready || !asked.contains(side.interest()) {
                continue;
            }
            let facts = &state.facts[side as usize];
            facts.set(Facts {
                reports: facts.get().reports.wrapping_add(1),
                hopeful: true,
            });
            let (poller, futures) = &mut told[side as usize];
            *poller = state.pollers[side as usize].take();
            *futures = state.take_futures(side);
            let is_nobody = poller.is_none() && futures.0.is_none();
            // There is nearly always room to write: asked for only while somebody waits.
            if is_nobody || side == Side::Write {
                wanted = wanted.difference(side.interest());
            }
        }
        // An edge is told of once: no need to stop it.
        if state.trigger == Trigger::Level && wanted != asked {
            // The kernel complains only if the file is gone; then it reports nothing either.
            let _ = context::try_with(|guests| state.set_interest(guests, wanted));
        }
        for (poller, (first, others)) in told {
            let futures = first.into_iter().chain(others).map(|it| it.waker);
            for waker in poller.into_iter().chain(futures) {
                waker.wake();
            }
        }
    }
}

impl Clone for Watcher {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher")
            .field(&self.0.interest.get())
            .finish()
    }
}
