//! One thread of the process that waits for children where there are no pidfds.
//!
//! It asks the kernel to be woken when any child of the process ends (waitid(2) with `WNOWAIT`, which reaps nothing),
//! looks after each of those that are watched, and tells. It reaps only what nobody asks after any more: who watches a
//! child reaps it, so that its number is nobody else's before its end is known there (CPython gh-127049).
//!
//! The kernel has no way to wait for a set of children, so any child that has ended and is not reaped ends each such
//! wait at once. One that is watched will be reaped soon: the thread waits for that, within `PATIENCE`. As long as
//! another is there, or a loop that does not run, every watched child is given a thread of its own, which waits for that
//! child alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::Ended;
use crate::error::{Error, Result};
use crate::fork;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the thread waits until children whose end was told are reaped, before it no longer relies on it.
const PATIENCE: Duration = Duration::from_millis(250);

/// What is known of a watched child.
#[derive(Clone, Copy, Debug)]
enum State {
    /// It ran when it was last looked at.
    Running,
    /// It has ended, which was told; whoever watches it is to reap it.
    Told,
    /// Nobody asks after it any more: it is reaped as soon as it ends.
    Left,
    /// It was reaped.
    Reaped(Ended),
}

/// A watched child.
#[derive(Debug)]
pub struct Slot {
    pid: Pid,
    told: OwnedFd,
    state: Mutex<State>,
    waiter: Arc<Waiter>,
}

impl Slot {
    /// Readable once the child has ended.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }

    /// Whether the child has ended; it is not reaped by asking.
    pub fn has_ended(&self) -> bool {
        self.is_strange() || self.settle()
    }

    /// Reaps the child, if it has ended, and says how; `None` while it runs.
    ///
    /// # Errors
    ///
    /// Those of waitid(2) that say nothing of the child.
    pub fn reap(&self) -> Result<Option<Ended>> {
        if self.is_strange() {
            return Ok(Some(Ended::Unknown));
        }
        let mut state = lock(&self.state);
        if let State::Reaped(ended) = *state {
            return Ok(Some(ended));
        }
        let ended = look(self.pid, WaitIdOptions::empty())?;
        if let Some(ended) = ended {
            self.note_reaped(&mut state, ended);
        }
        Ok(ended)
    }

    /// Does something with the child, which is not reaped meanwhile.
    ///
    /// # Errors
    ///
    /// ESRCH when it was; those of `body`.
    pub fn while_unreaped(&self, body: impl FnOnce() -> Result<()>) -> Result<()> {
        let gone = || Err(Error::from_rustix("kill", Errno::SRCH));
        if self.is_strange() {
            return gone();
        }
        let state = lock(&self.state);
        match *state {
            State::Reaped(_) => gone(),
            State::Running | State::Told | State::Left => body(),
        }
    }

    /// Nobody asks after the child any more: it is reaped as soon as it ends.
    pub fn leave(&self) {
        if self.is_strange() {
            return;
        }
        let mut state = lock(&self.state);
        match *state {
            State::Running => *state = State::Left,
            State::Told => {
                if let Ok(Some(ended)) = look(self.pid, WaitIdOptions::empty()) {
                    self.note_reaped(&mut state, ended);
                }
            }
            State::Left | State::Reaped(_) => {}
        }
    }

    /// Whether this is a forked child's copy: the process that is watched is no child of its own, and no thread of its
    /// own unlocks what is locked here.
    fn is_strange(&self) -> bool {
        self.waiter.generation != fork::generation()
    }

    /// Tells of the child's end if it has ended, or reaps it if nobody cares; whether it has ended.
    fn settle(&self) -> bool {
        let mut state = lock(&self.state);
        let reaped = match *state {
            State::Told | State::Reaped(_) => return true,
            State::Running => WaitIdOptions::NOWAIT,
            State::Left => WaitIdOptions::empty(),
        };
        match (look(self.pid, reaped), *state) {
            (Ok(None) | Err(_), _) => return false,
            (Ok(Some(ended)), State::Left) | (Ok(Some(ended @ Ended::Unknown)), _) => {
                self.note_reaped(&mut state, ended);
            }
            (Ok(Some(_)), _) => {
                *state = State::Told;
                lock(&self.waiter.lists).told.push(self.pid);
            }
        }
        drop(state);
        self.tell();
        true
    }

    /// Notes that the child has been reaped, and lets the thread go on that waits for it.
    fn note_reaped(&self, state: &mut State, ended: Ended) {
        if matches!(std::mem::replace(state, State::Reaped(ended)), State::Told) {
            lock(&self.waiter.lists).told.retain(|pid| *pid != self.pid);
            self.waiter.changed.notify_one();
        } else {
            self.tell();
        }
    }

    fn tell(&self) {
        // An eventfd that was written a few times has room.
        let _ = rustix::io::write(&self.told, &1_u64.to_ne_bytes());
    }

    /// Waits for this child alone.
    fn wait(&self) {
        while !self.settle() {
            // Whatever it says, `settle` looks.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(self.pid), options);
        }
    }
}

/// Reaps the child if it has ended, or only looks.
fn look(pid: Pid, how: WaitIdOptions) -> Result<Option<Ended>> {
    super::look(WaitId::Pid(pid), how)
}

/// What the thread and those who watch share. Whoever locks a slot's state and the lists locks the state first.
#[derive(Debug)]
struct Waiter {
    /// A forked child has no such thread: it begins its own.
    generation: u64,
    lists: Mutex<Lists>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lists {
    /// Those that the thread looks after.
    watched: Vec<Arc<Slot>>,
    /// Those whose end was told, and that are not reaped yet.
    told: Vec<Pid>,
}

static WAITER: Mutex<Option<Arc<Waiter>>> = Mutex::new(None);

/// Has the thread watch a child, and begins it if there is none.
///
/// # Errors
///
/// EMFILE, ENFILE, ENOMEM; EAGAIN when the thread cannot be begun.
pub fn watch(pid: Pid) -> Result<Arc<Slot>> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let told = eventfd(0, flags).map_err(|errno| Error::from_rustix("eventfd", errno))?;
    let waiter = waiter()?;
    let slot = Arc::new(Slot {
        pid,
        told,
        state: Mutex::new(State::Running),
        waiter: waiter.clone(),
    });
    lock(&waiter.lists).watched.push(slot.clone());
    waiter.changed.notify_one();
    // The thread may be waiting for other children already, and this one may have ended before it was watched.
    slot.settle();
    Ok(slot)
}

fn waiter() -> Result<Arc<Waiter>> {
    let mut current = lock(&WAITER);
    let generation = fork::generation();
    if let Some(waiter) = &*current
        && waiter.generation == generation
    {
        return Ok(waiter.clone());
    }
    let waiter = Arc::new(Waiter {
        generation,
        lists: Mutex::new(Lists::default()),
        changed: Condvar::new(),
    });
    let theirs = waiter.clone();
    begin_thread("riata_children", move || theirs.run())?;
    // In a forked child nobody unlocks what the parent's thread had locked: it is not dropped.
    std::mem::forget(current.replace(waiter.clone()));
    Ok(waiter)
}

fn begin_thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let begun = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body);
    begun.map(drop).map_err(|error| Error {
        call: "pthread_create",
        errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
    })
}

impl Waiter {
    fn run(&self) {
        loop {
            let ended = if self.wait_for_work() {
                super::wait_for_any()
            } else {
                Err(Errno::AGAIN)
            };
            self.settle_all();
            let hidden = match ended {
                Ok(pid) => self.is_left_lying(pid),
                // Children that were told of are not reaped.
                Err(Errno::AGAIN) => true,
                // Interrupted, or there are no children.
                Err(_) => false,
            };
            if hidden {
                self.disperse();
            }
        }
    }

    /// Waits until a child is watched, and those that have ended are reaped; false if that takes too long.
    fn wait_for_work(&self) -> bool {
        let lists = lock(&self.lists);
        let wanting = self
            .changed
            .wait_while(lists, |lists| lists.watched.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let (lists, _) = self
            .changed
            .wait_timeout_while(wanting, PATIENCE, |lists| !lists.told.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        lists.told.is_empty()
    }

    /// Looks after all that are watched, and keeps those that run.
    fn settle_all(&self) {
        let watched = lock(&self.lists).watched.clone();
        let ended: Vec<_> = watched.into_iter().filter(|slot| slot.settle()).collect();
        let gone = |slot: &Arc<Slot>| ended.iter().any(|it| Arc::ptr_eq(it, slot));
        lock(&self.lists).watched.retain(|slot| !gone(slot));
    }

    /// Whether a child that is not watched has ended, and is there still: it hides the others.
    fn is_left_lying(&self, pid: Pid) -> bool {
        // If it is one that was told of and has been reaped since, it is not there any more.
        !lock(&self.lists).told.contains(&pid)
            && matches!(look(pid, WaitIdOptions::NOWAIT), Ok(Some(ended)) if ended != Ended::Unknown)
    }

    /// Gives each that is watched a thread of its own.
    fn disperse(&self) {
        let watched = std::mem::take(&mut lock(&self.lists).watched);
        for slot in watched {
            let theirs = slot.clone();
            if begin_thread("riata_child", move || theirs.wait()).is_err() {
                // No more threads: this one waits, and the others of this kind with it.
                slot.wait();
            }
        }
    }
}
