//! Who watches which descriptor, and for what.
//!
//! Any number of watchers may share a descriptor. Epoll knows one registration a
//! descriptor, so that carries the union of what they want, and an event is split up again
//! by [`Registry::dispatch`].
//!
//! # A number is not an identity
//!
//! A descriptor may be closed, and its number given to another file, without anybody
//! telling the registry. Epoll drops a registration by itself when the last descriptor of
//! the file is closed, so the kernel's answers tell what has happened:
//!
//! * MOD says ENOENT (EBADF, EPERM): the registration is dead, and the number names another
//!   file or none. Every watcher of the old file is *orphaned*: its key stays valid, its
//!   payload can be read and removed, and it is never told about the new file.
//! * ADD says EEXIST: the kernel still has what the registry had forgotten; MOD adopts it.
//!
//! So [`add`](Registry::add) always asks the kernel, even when the union does not change,
//! and a new watcher is never merged with those of a file that is gone. What cannot be
//! noticed: a number that was reused while nobody had any interest in it (nothing was in the
//! kernel then that could have died), and one that nobody touches again. `set_interest` on
//! an orphan, or by the first to learn that the file is gone, is taken at its word: the
//! caller means what the number names now.
//!
//! Each registration has a generation, which events carry. Whatever leaves the kernel's set
//! and comes back gets a new one, so an event that was fetched before that (the rest of a
//! batch) reaches nobody. The generation is the registration's; [`WatchKey`]s have their own.
//!
//! # Level and edge
//!
//! Level-triggered, unless all who watch a descriptor ask for [`Interest::EDGE`].
//!
//! # Registrations that cannot be removed
//!
//! Where a *copy* of the descriptor lives on (`dup`, a forked child), closing it does not
//! end the registration, and with the number gone no `epoll_ctl` reaches it any more:
//! epoll(7), Q6. Being level-triggered it reports for ever. Such an event shows as
//! [`Dispatch::Stale`] directly after a poll, and [`Registry::rebuild`] is the cure.

use std::os::fd::RawFd;

use super::events::Token;
use super::interest::{Interest, Readiness};
use super::readiness::{Poller, check_open};
use super::table::{Slot, Table, WatchKey, Watcher};
use crate::error::{Error, Result};

/// A watcher that could not be added, and why.
#[derive(Debug)]
pub struct Rejected<W> {
    /// What the kernel said.
    pub error: Error,
    /// What was to be added.
    pub watcher: W,
}

impl<W> From<Rejected<W>> for Error {
    /// The error alone; the watcher is dropped, here and now.
    fn from(rejected: Rejected<W>) -> Self {
        rejected.error
    }
}

/// What became of an event.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Dispatch {
    /// It belongs to a registration of now; whoever asked for it was told, if anybody.
    Current,
    /// It belongs to a registration that has ended. During a batch that is as it should be
    /// (an earlier callback closed the descriptor); directly after a poll it means that the
    /// kernel reports what nobody can remove: see [`Registry::rebuild`].
    Stale,
}

/// The table of what is watched.
///
/// Every method is O(1) in the number of descriptors and watchers, `take_all`,
/// `remove_all`, `rebuild` and `iter` excepted; `dispatch` is linear in the watchers of
/// its one descriptor.
#[derive(Debug)]
pub struct Registry<W> {
    table: Table<W>,
}

impl<W> Registry<W> {
    /// Nothing watched.
    pub const fn new() -> Self {
        Self {
            table: Table::new(),
        }
    }

    /// Begins to watch `fd`. There may be other watchers of it already.
    ///
    /// If the kernel says that their file is gone and the number names another one, they
    /// are orphaned: see the module's page.
    ///
    /// # Errors
    ///
    /// EBADF: not open. EPERM: a regular file or directory, which epoll does not watch.
    /// ENOSPC, ENOMEM: the kernel's limit. Nothing is left behind, and the watcher comes
    /// back with the error, to be dropped when the registry is not borrowed.
    pub fn add(
        &mut self,
        poller: &Poller,
        fd: RawFd,
        interest: Interest,
        watcher: W,
    ) -> std::result::Result<WatchKey, Rejected<W>> {
        if let Err(error) = self.admit(poller, fd, interest) {
            return Err(Rejected { error, watcher });
        }
        let index = self.table.store(fd, interest, watcher);
        self.table.attach(index);
        Ok(self.table.key(index))
    }

    /// Changes what a watcher wants. With [`Interest::NONE`] it stays, and is told nothing;
    /// when no watcher of the descriptor wants anything the kernel is not asked about it at
    /// all, as it would report hang-ups and errors unasked.
    ///
    /// # Errors
    ///
    /// ENOENT: a stale key. Else as [`add`](Self::add); the watcher keeps the interest it
    /// had, but is orphaned if the kernel says that its file is gone.
    pub fn set_interest(
        &mut self,
        poller: &Poller,
        key: WatchKey,
        interest: Interest,
    ) -> Result<()> {
        let Some(index) = self.table.find(key) else {
            return Err(Error {
                call: "epoll_ctl",
                errno: libc::ENOENT,
            });
        };
        let &Watcher {
            fd,
            interest: old,
            attached,
            ..
        } = self.table.at(index);
        if attached {
            match self.reregister(poller, fd, old, interest) {
                Ok(()) => {
                    self.table.slots[fd as usize].count(old, interest);
                    self.table.at_mut(index).interest = interest;
                    return Ok(());
                }
                // The file is gone; what follows is about the one the number names now.
                Err(error) if is_gone(&error) => self.table.orphan_all(fd),
                Err(error) => return Err(error),
            }
        }
        if !interest.is_none() {
            self.admit(poller, fd, interest)?;
            self.table.at_mut(index).interest = interest;
            self.table.attach(index);
        }
        self.table.at_mut(index).interest = interest;
        Ok(())
    }

    /// What a watcher wants; `None` for a stale key.
    pub fn interest(&self, key: WatchKey) -> Option<Interest> {
        self.table
            .find(key)
            .map(|index| self.table.at(index).interest)
    }

    /// A watcher; `None` for a stale key.
    pub fn get(&self, key: WatchKey) -> Option<&W> {
        self.table.at(self.table.find(key)?).payload.as_ref()
    }

    /// A watcher, to be changed; `None` for a stale key.
    pub fn get_mut(&mut self, key: WatchKey) -> Option<&mut W> {
        let index = self.table.find(key)?;
        self.table.at_mut(index).payload.as_mut()
    }

    /// The descriptor number a watcher was added for; `None` for a stale key.
    pub fn fd(&self, key: WatchKey) -> Option<RawFd> {
        self.table.find(key).map(|index| self.table.at(index).fd)
    }

    /// Whether a watcher's file was found to be gone: it will be told nothing more.
    pub fn is_orphaned(&self, key: WatchKey) -> bool {
        self.table
            .find(key)
            .is_some_and(|index| !self.table.at(index).attached)
    }

    /// Ends a watcher and returns it; a stale key ends nothing.
    ///
    /// Complaints of the kernel are not passed on, because each says that what was to be
    /// removed is gone already: ENOENT (the file was closed and another has its number),
    /// EBADF (closed), EPERM (another has its number, and cannot be watched).
    pub fn remove(&mut self, poller: &Poller, key: WatchKey) -> Option<W> {
        let index = self.table.find(key)?;
        let &Watcher {
            fd,
            interest,
            attached,
            ..
        } = self.table.at(index);
        if attached {
            let result = self.reregister(poller, fd, interest, Interest::NONE);
            self.table.detach(index);
            if result.is_err() {
                // The others' file is gone as well, or the kernel failed otherwise and
                // they would be watched for too much, which dispatch filters.
                if result.is_err_and(|error| is_gone(&error)) {
                    self.table.orphan_all(fd);
                }
            }
        }
        self.table.vacate(index)
    }

    /// Adds to `out` whom an event concerns: each watcher of the descriptor with what it
    /// asked for, in the order they were added. Hang-ups and errors go to all who want
    /// anything.
    ///
    /// `out` should live where the rest of the loop's state does, and be used up from its
    /// front: a runner that is suspended in a callback can then be replaced half-way.
    /// Callbacks that run on what is in `out` may end other watchers in it: before each,
    /// look whether its key still has a watcher ([`get`](Self::get)) and what it still
    /// wants ([`interest`](Self::interest)).
    pub fn dispatch(
        &self,
        token: Token,
        readiness: Readiness,
        out: &mut impl Extend<(WatchKey, Readiness)>,
    ) -> Dispatch {
        let slot = match self.table.slots.get(token.slot() as usize) {
            Some(slot) if slot.generation == token.generation() && !slot.registered.is_none() => {
                slot
            }
            _ => return Dispatch::Stale,
        };
        out.extend(self.table.list(slot).filter_map(|index| {
            let asked = readiness.asked_by(self.table.at(index).interest)?;
            Some((self.table.key(index), asked))
        }));
        Dispatch::Current
    }

    /// Lets go of a descriptor whose owner is about to close it: takes it out of the
    /// kernel's set while its number still reaches the registration, and orphans its
    /// watchers. They are the caller's to tell ([`watchers`](Self::watchers), asked before)
    /// and to remove, sooner or later: the number may serve another file meanwhile.
    ///
    /// This, and not `remove` after the close, is what works when a copy of the
    /// descriptor lives on (`dup`, a forked child). A complaint of the kernel is not passed
    /// on, as in [`remove`](Self::remove).
    pub fn release(&mut self, poller: &Poller, fd: RawFd) {
        let slot = self.table.slot(fd);
        if slot.is_some_and(|slot| !slot.registered.is_none()) {
            let _ = poller.delete(fd);
        }
        self.table.orphan_all(fd);
    }

    /// The watchers of a descriptor, in the order they were added; orphans are not among them.
    pub fn watchers(&self, fd: RawFd) -> impl Iterator<Item = WatchKey> {
        let slot = self.table.slot(fd).unwrap_or(&Slot::EMPTY);
        self.table.list(slot).map(|index| self.table.key(index))
    }

    /// How many watchers there are, orphans included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no watcher.
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Every watcher, orphans included, in no order: for a garbage collector's traversal.
    pub fn iter(&self) -> impl Iterator<Item = (WatchKey, &W)> {
        self.table
            .watchers
            .iter()
            .enumerate()
            .filter_map(|(index, it)| {
                let payload = it.payload.as_ref()?;
                Some((self.table.key(index as u32), payload))
            })
    }

    /// Ends and returns every watcher without a word to the kernel.
    ///
    /// For when the poller is dropped too, and for a forked child, which shares the
    /// parent's epoll instance and would end the parent's registrations.
    pub fn take_all(&mut self) -> Vec<W> {
        self.table.take_all()
    }

    /// Ends and returns every watcher, and takes their descriptors out of the kernel's set.
    pub fn remove_all(&mut self, poller: &Poller) -> Vec<W> {
        for (fd, slot) in self.table.slots.iter().enumerate() {
            if !slot.registered.is_none() {
                // As in `remove`: a complaint says that it is gone already.
                let _ = poller.delete(fd as RawFd);
            }
        }
        self.take_all()
    }

    /// Replaces the kernel's set by a new one with the same registrations.
    ///
    /// The cure for events that are [`Dispatch::Stale`] directly after a poll. It costs a
    /// system call a descriptor. Watchers whose descriptor is closed are orphaned.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: no new set; everything is as before. ENOSPC, ENOMEM for a
    /// descriptor: its watchers are orphaned, the others are registered.
    pub fn rebuild(&mut self, poller: &Poller) -> Result<()> {
        poller.renew()?;
        let mut result = Ok(());
        for fd in 0..self.table.slots.len() {
            let interest = self.table.slots[fd].registered;
            if interest.is_none() {
                continue;
            }
            if let Err(error) = self.register(poller, fd as RawFd, interest) {
                self.table.orphan_all(fd as RawFd);
                if !is_gone(&error) && result.is_ok() {
                    result = Err(error);
                }
            }
        }
        result
    }

    // The kernel's side.

    /// Asks the kernel to report `interest` for a watcher that is about to be attached,
    /// and orphans the others if their file turns out to be gone.
    fn admit(&mut self, poller: &Poller, fd: RawFd, interest: Interest) -> Result<()> {
        let slot = self.table.slot(fd);
        if let Some(slot) = slot.filter(|slot| !slot.registered.is_none()) {
            let union = slot.union().merged(interest);
            let token = Token::new(fd as u32, slot.generation);
            match poller.modify(fd, union, token) {
                Ok(()) => {
                    self.table.slots[fd as usize].registered = union;
                    return Ok(());
                }
                Err(error) if is_gone(&error) => self.table.orphan_all(fd),
                Err(error) => return Err(error),
            }
        }
        // Here no attached watcher wants anything.
        if interest.is_none() {
            return check_open(fd);
        }
        self.register(poller, fd, interest)
    }

    /// Asks the kernel for what is wanted once one watcher's interest has changed.
    fn reregister(
        &mut self,
        poller: &Poller,
        fd: RawFd,
        old: Interest,
        new: Interest,
    ) -> Result<()> {
        let slot = &self.table.slots[fd as usize];
        let union = slot.union_after(old, new);
        if union == slot.registered {
            return Ok(());
        }
        if slot.registered.is_none() {
            return self.register(poller, fd, union);
        }
        if union.is_none() {
            self.table.slots[fd as usize].registered = Interest::NONE;
            return match poller.delete(fd) {
                Err(error) if !is_gone(&error) => Err(error),
                // Gone by itself is as good: there is nobody left who wants anything.
                _ => Ok(()),
            };
        }
        poller.modify(fd, union, Token::new(fd as u32, slot.generation))?;
        self.table.slots[fd as usize].registered = union;
        Ok(())
    }

    /// Puts a descriptor into the kernel's set, under a new generation.
    fn register(&mut self, poller: &Poller, fd: RawFd, interest: Interest) -> Result<()> {
        let slot = self.table.slot(fd);
        let generation = slot.map_or(0, |slot| slot.generation).wrapping_add(1);
        let token = Token::new(fd as u32, generation);
        match poller.add(fd, interest, token) {
            Err(error) if error.errno == libc::EEXIST => poller.modify(fd, interest, token)?,
            result => result?,
        }
        // Only now, when the kernel has confirmed that there is such a descriptor: a
        // number from a user could be any.
        let slot = self.table.slot_mut(fd);
        slot.generation = generation;
        slot.registered = interest;
        Ok(())
    }
}

impl<W> Default for Registry<W> {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an `epoll_ctl` failed because what it was about no longer exists.
fn is_gone(error: &Error) -> bool {
    matches!(error.errno, libc::ENOENT | libc::EBADF | libc::EPERM)
}
