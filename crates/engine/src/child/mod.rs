//! Child processes: their end is told by a descriptor, and each is reaped by itself.
//!
//! Whoever begins a child (the binding lets CPython's `subprocess` do it) watches it here, and waits for the
//! descriptor as for any other. It is a pidfd where the kernel has them (Linux 5.3) and lets us have them; else an
//! eventfd, written by one thread of the process that waits for all of them (`thread`). Nothing here polls, and only
//! children that are watched are reaped, by those who watch them: those of others are left to them.

mod thread;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};

use crate::error::{Error, Result};
use thread::Slot;

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// By exiting with this code, from 0 to 255.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// By this signal, and left a core dump.
    Dumped(i32),
    /// Somebody else has reaped it, or the process ignores SIGCHLD: nobody can tell.
    Unknown,
}

impl Ended {
    fn from_status(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) if status.dumped() => Self::Dumped(signal),
            (None, Some(signal)) => Self::Killed(signal),
            (None, None) => Self::Unknown,
        }
    }
}

/// A child process that is watched until it is reaped.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    exit: Exit,
}

#[derive(Debug)]
enum Exit {
    Pidfd(OwnedFd),
    Told(Arc<Slot>),
}

impl Child {
    /// Watches the child with this process id, which nobody has reaped yet.
    ///
    /// # Errors
    ///
    /// ESRCH when there is no such child any more; EINVAL for a number that is no process id; EMFILE, ENFILE, ENOMEM;
    /// EAGAIN when a thread is needed and the system allows none.
    pub fn watch(pid: i32) -> Result<Self> {
        let pid = Self::process_id(pid)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self {
                pid,
                exit: Exit::Pidfd(pidfd),
            }),
            // No such call, or a sandbox forbids it.
            Err(Errno::NOSYS | Errno::PERM) => Self::watch_by_thread(pid),
            Err(errno) => Err(Error::from_rustix("pidfd_open", errno)),
        }
    }

    /// As [`watch`](Self::watch), as on a kernel that has no pidfds.
    ///
    /// # Errors
    ///
    /// As there, but for ESRCH: that the child is gone is told by the descriptor.
    #[doc(hidden)]
    pub fn watch_without_pidfd(pid: i32) -> Result<Self> {
        Self::watch_by_thread(Self::process_id(pid)?)
    }

    fn process_id(pid: i32) -> Result<Pid> {
        let pid = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
        pid.ok_or(Error::from_rustix("pidfd_open", Errno::INVAL))
    }

    fn watch_by_thread(pid: Pid) -> Result<Self> {
        Ok(Self {
            pid,
            exit: Exit::Told(thread::watch(pid)?),
        })
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What becomes readable when the child ends, and stays so.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.exit {
            Exit::Pidfd(pidfd) => pidfd.as_fd(),
            Exit::Told(slot) => slot.fd(),
        }
    }

    /// Whether the child has not ended yet. It is not reaped by asking.
    pub fn is_running(&self) -> bool {
        match &self.exit {
            Exit::Pidfd(pidfd) => {
                matches!(self.look(pidfd, WaitIdOptions::NOWAIT), Ok(None))
            }
            Exit::Told(slot) => !slot.has_ended(),
        }
    }

    /// Reaps the child, if it has ended, and says how; `None` while it runs. To be asked once after that.
    ///
    /// # Errors
    ///
    /// Those of waitid(2) that say nothing of the child.
    pub fn reap(&self) -> Result<Option<Ended>> {
        match &self.exit {
            Exit::Pidfd(pidfd) => self.look(pidfd, WaitIdOptions::empty()),
            Exit::Told(slot) => slot.reap(),
        }
    }

    /// Sends the child a signal by its number; nobody else gets it, even when the child has been reaped and its
    /// process id is another's by now.
    ///
    /// # Errors
    ///
    /// ESRCH when the child was reaped; EPERM when it may not be signalled; EINVAL for what is no signal.
    pub fn send_signal(&self, signal: i32) -> Result<()> {
        match &self.exit {
            Exit::Pidfd(pidfd) => signal_by(pidfd, signal),
            Exit::Told(slot) => slot.while_unreaped(|| signal_to(self.pid, signal)),
        }
    }

    /// Reaps the child, or only looks.
    fn look(&self, pidfd: &OwnedFd, how: WaitIdOptions) -> Result<Option<Ended>> {
        match look(WaitId::PidFd(pidfd.as_fd()), how) {
            // Linux 5.3 has pidfds, but does not wait by them.
            Err(error) if error.errno == libc::EINVAL => look(WaitId::Pid(self.pid), how),
            answer => answer,
        }
    }
}

impl Drop for Child {
    /// Without a pidfd the thread reaps a child that nobody has reaped; with one it is left to whoever began it.
    fn drop(&mut self) {
        if let Exit::Told(slot) = &self.exit {
            slot.leave();
        }
    }
}

impl AsFd for Child {
    /// As [`fd`](Child::fd).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

/// The process id of a child of this process that has ended and that nobody has reaped; it is not reaped by asking.
///
/// # Errors
///
/// Those of waitid(2), but for ECHILD and EINTR.
pub fn any_ended() -> Result<Option<i32>> {
    loop {
        return match find_any(libc::WNOHANG) {
            Ok(pid) => Ok(pid.map(|pid| pid.as_raw_nonzero().get())),
            Err(Errno::CHILD) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(Error::from_rustix("waitid", errno)),
        };
    }
}

/// Waits until there is a child that has ended and that nobody has reaped; it is not reaped by asking.
fn wait_for_any() -> std::result::Result<Pid, Errno> {
    find_any(0)?.ok_or(Errno::INTR)
}

#[allow(unsafe_code)]
fn find_any(options: i32) -> std::result::Result<Option<Pid>, Errno> {
    let options = options | libc::WEXITED | libc::WNOWAIT;
    // SAFETY: E8: a siginfo_t is numbers, all of which may be nought; the kernel fills it during the call. It has
    // the fields of a child's end, or is nought where there is none.
    let (result, pid) = unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        let result = libc::waitid(libc::P_ALL, 0, &mut found, options);
        (result, found.si_pid())
    };
    match result {
        0 => Ok(Pid::from_raw(pid)),
        _ => Err(Errno::from_raw_os_error(Error::last("waitid").errno)),
    }
}

/// Reaps a child if it has ended, or only looks.
fn look(which: WaitId<'_>, how: WaitIdOptions) -> Result<Option<Ended>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | how;
    loop {
        return match waitid(which.clone(), options) {
            Ok(status) => Ok(status.as_ref().map(Ended::from_status)),
            Err(Errno::CHILD) => Ok(Some(Ended::Unknown)),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(Error::from_rustix("waitid", errno)),
        };
    }
}

#[allow(unsafe_code)]
fn signal_by(pidfd: &OwnedFd, signal: i32) -> Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: E8: numbers and a null pointer, which stands for what kill(2) would send along.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            no_info,
            0_u32,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Error::last("pidfd_send_signal")),
    }
}

#[allow(unsafe_code)]
fn signal_to(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: E8: two numbers.
    match unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) } {
        0 => Ok(()),
        _ => Err(Error::last("kill")),
    }
}
