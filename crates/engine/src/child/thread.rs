//! One thread of the process that waits for children where there are no pidfds.
//!
//! It asks the kernel to be woken when any child of the process ends (waitid(2) with `WNOWAIT`, which reaps nothing),
//! and then looks after each of those that are watched. The kernel has no way to wait for a set of children, so a child
//! of somebody else's that has ended, and that its parent does not reap, would end each such wait at once. As long as one
//! is there, every watched child is given a thread of its own, which waits for that child alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::Ended;
use crate::error::{Error, Result};
use crate::fork;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A watched child, and how it ended once that is known.
#[derive(Debug)]
pub struct Slot {
    pid: Pid,
    told: OwnedFd,
    ended: Mutex<Option<Ended>>,
}

impl Slot {
    /// Readable once the child has ended.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }

    /// How the child ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        *lock(&self.ended)
    }

    /// Does something with the child, which is not reaped meanwhile.
    ///
    /// # Errors
    ///
    /// ESRCH when it was; those of `body`.
    pub fn while_unreaped(&self, body: impl FnOnce() -> Result<()>) -> Result<()> {
        let ended = lock(&self.ended);
        match *ended {
            None => body(),
            Some(_) => Err(Error::from_rustix("kill", Errno::SRCH)),
        }
    }

    /// Reaps the child if it has ended, and tells; whether it has.
    fn settle(&self) -> bool {
        let mut ended = lock(&self.ended);
        if ended.is_some() {
            return true;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        *ended = match waitid(WaitId::Pid(self.pid), options) {
            Ok(Some(status)) => Some(Ended::from_status(&status)),
            Ok(None) | Err(Errno::INTR) => return false,
            Err(_) => Some(Ended::Unknown),
        };
        drop(ended);
        // An eventfd that was written once has room.
        let _ = rustix::io::write(&self.told, &1_u64.to_ne_bytes());
        true
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

/// What the thread and those who watch share.
struct Waiter {
    /// A forked child has no such thread: it begins its own.
    generation: u64,
    watched: Mutex<Vec<Arc<Slot>>>,
    added: Condvar,
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
    let slot = Arc::new(Slot {
        pid,
        told,
        ended: Mutex::new(None),
    });
    let waiter = waiter()?;
    lock(&waiter.watched).push(slot.clone());
    waiter.added.notify_one();
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
        watched: Mutex::new(Vec::new()),
        added: Condvar::new(),
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
            let mut watched = lock(&self.watched);
            while watched.is_empty() {
                watched = self
                    .added
                    .wait(watched)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(watched);
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let answer = waitid(WaitId::All, options);
            if matches!(answer, Err(Errno::INTR)) {
                continue;
            }
            if !self.settle_some() && answer.is_ok() {
                self.disperse();
            }
        }
    }

    /// Looks after all that are watched; whether any has ended.
    fn settle_some(&self) -> bool {
        let watched = lock(&self.watched).clone();
        let ended: Vec<_> = watched.into_iter().filter(|slot| slot.settle()).collect();
        let gone = |slot: &Arc<Slot>| ended.iter().any(|it| Arc::ptr_eq(it, slot));
        lock(&self.watched).retain(|slot| !gone(slot));
        !ended.is_empty()
    }

    /// A child that is not watched has ended, and hides the others: each gets a thread of its own.
    fn disperse(&self) {
        for slot in std::mem::take(&mut *lock(&self.watched)) {
            let theirs = slot.clone();
            if begin_thread("riata_child", move || theirs.wait()).is_err() {
                // No more threads: this one waits, and the others of this kind with it.
                slot.wait();
            }
        }
    }
}
