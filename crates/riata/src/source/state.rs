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

/// Who waits on one side.
struct Waiters {
    /// The last caller of a `poll_` method.
    poller: Option<Waker>,
    /// Futures of `readable` and `writable`, each with its number.
    futures: Vec<(u64, Waker)>,
    /// It may be ready: whoever wants to should try.
    hopeful: bool,
    /// Counts reports, so that a future knows that one came since it began to wait.
    reports: u64,
}

impl Waiters {
    const NONE: Self = Self {
        poller: None,
        futures: Vec::new(),
        hopeful: true,
        reports: 0,
    };
}

pub(super) struct State {
    fd: RawFd,
    trigger: Trigger,
    /// The last report said more than that there are bytes or room.
    has_more_to_tell: Cell<bool>,
    key: Cell<Option<WatchKey>>,
    interest: Cell<Interest>,
    sides: RefCell<[Waiters; 2]>,
    next: Cell<u64>,
    home: Handle,
}

impl State {
    pub(super) fn new(guests: &Guests, fd: RawFd, trigger: Trigger) -> io::Result<Rc<Self>> {
        let state = Rc::new(Self {
            fd,
            trigger,
            has_more_to_tell: Cell::new(false),
            key: Cell::new(None),
            interest: Cell::new(Interest::NONE),
            sides: RefCell::new([Waiters::NONE, Waiters::NONE]),
            next: Cell::new(0),
            home: guests.handle().clone(),
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
        self.sides.borrow()[side as usize].hopeful
    }

    pub(super) fn set_hopeless(&self, side: Side) {
        self.sides.borrow_mut()[side as usize].hopeful = false;
    }

    pub(super) fn reports(&self, side: Side) -> u64 {
        self.sides.borrow()[side as usize].reports
    }

    /// Notes whom the next report is to wake, beside the futures.
    pub(super) fn set_poller(&self, side: Side, waker: &Waker) {
        let old = {
            let poller = &mut self.sides.borrow_mut()[side as usize].poller;
            match poller {
                Some(old) if old.will_wake(waker) => None,
                _ => poller.replace(waker.clone()),
            }
        };
        drop(old);
    }

    /// A number for a future that is going to wait.
    pub(super) fn next_number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// Notes a future that the next report is to wake.
    pub(super) fn set_future(&self, side: Side, number: u64, waker: &Waker) {
        let old = {
            let futures = &mut self.sides.borrow_mut()[side as usize].futures;
            match futures.iter_mut().find(|(it, _)| *it == number) {
                Some((_, old)) if old.will_wake(waker) => None,
                Some((_, old)) => Some(std::mem::replace(old, waker.clone())),
                None => {
                    futures.push((number, waker.clone()));
                    None
                }
            }
        };
        drop(old);
    }

    pub(super) fn forget_future(&self, side: Side, number: u64) {
        let waker = {
            let futures = &mut self.sides.borrow_mut()[side as usize].futures;
            let position = futures.iter().position(|(it, _)| *it == number);
            position.map(|position| futures.swap_remove(position))
        };
        drop(waker);
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
pub struct Watcher(Rc<State>);

impl Watcher {
    /// Tells whoever waits that the descriptor is ready, from outside any task. May change
    /// the watcher's interest.
    pub fn notify(&self, readiness: Readiness) {
        let state = &*self.0;
        let asked = state.interest.get();
        let mut wanted = asked;
        let mut pollers = [None, None];
        let mut futures = Vec::new();
        state.has_more_to_tell.set(
            readiness.read_hung_up()
                || readiness.hung_up()
                || readiness.error()
                || readiness.priority(),
        );
        for (side, is_ready) in [
            (Side::Read, readiness.wakes_reader() || readiness.priority()),
            (Side::Write, readiness.wakes_writer()),
        ] {
            if !is_ready || !asked.contains(side.interest()) {
                continue;
            }
            let waiters = &mut state.sides.borrow_mut()[side as usize];
            waiters.hopeful = true;
            waiters.reports += 1;
            let nobody = waiters.poller.is_none() && waiters.futures.is_empty();
            pollers[side as usize] = waiters.poller.take();
            if !waiters.futures.is_empty() {
                futures.append(&mut waiters.futures);
            }
            // There is nearly always room to write: asked for only while somebody waits.
            if nobody || side == Side::Write {
                wanted = wanted.difference(side.interest());
            }
        }
        // An edge is told of once: no need to stop it.
        if state.trigger == Trigger::Level && wanted != asked {
            // The kernel complains only if the file is gone; then it reports nothing either.
            let _ = context::try_with(|guests| state.set_interest(guests, wanted));
        }
        let futures = futures.into_iter().map(|(_, waker)| waker);
        for waker in pollers.into_iter().flatten().chain(futures) {
            waker.wake();
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
