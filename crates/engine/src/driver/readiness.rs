//! Readiness by epoll, level-triggered.
//!
//! Level-triggered because that is what asyncio's `add_reader` and gevent's io watchers
//! promise: a callback that leaves bytes unread is called again. Edge-triggered only for who
//! asks for it ([`Interest::EDGE`](super::Interest::EDGE)).
//!
//! A deadline is waited for to the nanosecond, with epoll_pwait2. Kernels before 5.11 do
//! not have it (ENOSYS) and some containers forbid it (EPERM, from older seccomp
//! profiles); there a timerfd in the epoll set keeps the deadline instead. Rounding to
//! epoll_wait's milliseconds would be early or late by up to one.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::events::{Events, Token};
use super::interest::Interest;
use crate::clock::Nanos;
use crate::error::{Error, Result};

/// An epoll instance.
///
/// Every method takes `&self`: while one thread waits, another may change what is watched,
/// as epoll allows. Only one thread should wait at a time: two would share the one timerfd
/// where the kernel has no epoll_pwait2, and one of them could oversleep.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    /// Present once epoll_pwait2 has been found missing.
    timer: OnceLock<OwnedFd>,
    /// The timer was set and not unset since.
    timer_armed: AtomicBool,
}

impl Poller {
    /// A new epoll instance (close-on-exec).
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: the kernel refused.
    pub fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll_create()?,
            timer: OnceLock::new(),
            timer_armed: AtomicBool::new(false),
        })
    }

    /// A new epoll instance that keeps deadlines with a timerfd, as if the kernel had no
    /// epoll_pwait2.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: the kernel refused.
    pub fn with_timerfd() -> Result<Self> {
        let poller = Self::new()?;
        poller.use_timerfd()?;
        Ok(poller)
    }

    /// The epoll instance's descriptor, for instance to close it after a fork.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Waits until something watched is ready or `timeout` has passed (`None`: for ever),
    /// puts what is ready into `events` and says how much that is.
    ///
    /// Never returns early for want of precision. An event stays ready until the cause is
    /// gone, so what does not fit into `events` comes with the next call.
    ///
    /// # Errors
    ///
    /// EINTR, if a signal handler ran: the caller decides whether that means work. EMFILE,
    /// ENFILE, ENOMEM where a timerfd is needed and refused.
    pub fn wait(&self, events: &mut Events, timeout: Option<Nanos>) -> Result<usize> {
        if self.timer.get().is_none() {
            match self.wait_precisely(events, timeout) {
                Err(error) if matches!(error.errno, libc::ENOSYS | libc::EPERM) => {
                    self.use_timerfd()?;
                }
                result => return result,
            }
        }
        self.wait_with_timer(events, timeout)
    }

    fn wait_precisely(&self, events: &mut Events, timeout: Option<Nanos>) -> Result<usize> {
        events.prepare();
        let timeout = timeout.map(timespec);
        epoll::wait(
            &self.epoll,
            spare_capacity(&mut events.list),
            timeout.as_ref(),
        )
        .map_err(|errno| Error::from_rustix("epoll_pwait2", errno))?;
        events.settle();
        Ok(events.len())
    }

    fn wait_with_timer(&self, events: &mut Events, timeout: Option<Nanos>) -> Result<usize> {
        events.prepare();
        let milliseconds = match timeout {
            Some(Nanos(0)) => 0,
            Some(timeout) => {
                self.set_timer(timeout)?;
                -1
            }
            None => {
                // A timer left from an earlier call would end this one.
                if self.timer_armed.load(Ordering::Relaxed) {
                    self.set_timer(Nanos(0))?;
                }
                -1
            }
        };
        epoll_wait(&self.epoll, &mut events.list, milliseconds)?;
        events.settle();
        Ok(events.len())
    }

    /// Makes the timerfd readable in `timeout`, and not before; zero stops it.
    fn set_timer(&self, timeout: Nanos) -> Result<()> {
        let Some(timer) = self.timer.get() else {
            return Ok(());
        };
        let setting = Itimerspec {
            it_interval: timespec(Nanos(0)),
            it_value: timespec(timeout),
        };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &setting)
            .map_err(|errno| Error::from_rustix("timerfd_settime", errno))?;
        self.timer_armed.store(timeout.0 != 0, Ordering::Relaxed);
        Ok(())
    }

    fn use_timerfd(&self) -> Result<()> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|errno| Error::from_rustix("timerfd_create", errno))?;
        let raw = timer.as_raw_fd();
        self.add(raw, Interest::READABLE, Token::TIMER)?;
        if let Err(second) = self.timer.set(timer) {
            // Another thread was quicker; closing ours takes it out of the set.
            drop(second);
        }
        Ok(())
    }

    /// Replaces the kernel's set by an empty one, under the same descriptor number.
    ///
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: the kernel refused, and nothing has changed.
    pub(super) fn renew(&self) -> Result<()> {
        let fresh = epoll_create()?;
        if let Some(timer) = self.timer.get() {
            control_add(&fresh, timer.as_raw_fd(), Interest::READABLE, Token::TIMER)?;
        }
        replace(&self.epoll, &fresh)
    }

    pub(super) fn add(&self, fd: RawFd, interest: Interest, token: Token) -> Result<()> {
        control_add(&self.epoll, fd, interest, token)
    }

    pub(super) fn modify(&self, fd: RawFd, interest: Interest, token: Token) -> Result<()> {
        epoll::modify(
            &self.epoll,
            borrow(fd)?,
            token.data(),
            interest.event_flags(),
        )
        .map_err(|errno| Error::from_rustix("epoll_ctl", errno))
    }

    pub(super) fn delete(&self, fd: RawFd) -> Result<()> {
        epoll::delete(&self.epoll, borrow(fd)?)
            .map_err(|errno| Error::from_rustix("epoll_ctl", errno))
    }
}

/// Whether `fd` is an open descriptor.
///
/// # Errors
///
/// EBADF, unless it is.
pub fn check_open(fd: RawFd) -> Result<()> {
    rustix::io::fcntl_getfd(borrow(fd)?)
        .map(drop)
        .map_err(|errno| Error::from_rustix("fcntl", errno))
}

fn timespec(span: Nanos) -> Timespec {
    const NANOS_PER_SEC: u64 = 1_000_000_000;
    Timespec {
        // At most 2^64 / 10^9, which fits.
        tv_sec: (span.0 / NANOS_PER_SEC) as i64,
        tv_nsec: (span.0 % NANOS_PER_SEC) as _,
    }
}

fn epoll_create() -> Result<OwnedFd> {
    epoll::create(epoll::CreateFlags::CLOEXEC)
        .map_err(|errno| Error::from_rustix("epoll_create1", errno))
}

fn control_add(epoll: &OwnedFd, fd: RawFd, interest: Interest, token: Token) -> Result<()> {
    epoll::add(epoll, borrow(fd)?, token.data(), interest.event_flags())
        .map_err(|errno| Error::from_rustix("epoll_ctl", errno))
}

/// A number from a user as a descriptor, for one `epoll_ctl` or `fcntl`.
#[allow(unsafe_code)]
fn borrow<'a>(fd: RawFd) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        return Err(Error::from_rustix("epoll_ctl", Errno::BADF));
    }
    // SAFETY: E1. Not -1, and only named to the kernel in calls that neither transfer
    // bytes nor close it; if it is not open the kernel answers EBADF.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Plain epoll_wait, which rustix does not offer beside epoll_pwait2.
#[allow(unsafe_code)]
fn epoll_wait(epoll: &OwnedFd, list: &mut Vec<epoll::Event>, milliseconds: i32) -> Result<()> {
    const {
        assert!(size_of::<epoll::Event>() == size_of::<libc::epoll_event>());
        assert!(align_of::<epoll::Event>() == align_of::<libc::epoll_event>());
    }
    list.clear();
    let room = i32::try_from(list.capacity()).unwrap_or(i32::MAX);
    // SAFETY: E2. The pointer is good for `capacity` events of the kernel's own layout.
    let count = unsafe {
        libc::epoll_wait(
            epoll.as_raw_fd(),
            list.as_mut_ptr().cast(),
            room,
            milliseconds,
        )
    };
    let count = usize::try_from(count).map_err(|_| Error::last("epoll_wait"))?;
    // SAFETY: E2. The kernel has written `count` events, at most `capacity`.
    unsafe { list.set_len(count) };
    Ok(())
}

/// Makes `old`'s number a name for what `new` names.
#[allow(unsafe_code)]
fn replace(old: &OwnedFd, new: &OwnedFd) -> Result<()> {
    // SAFETY: E3. Both are owned and open; the number stays open and owned by `old`
    // throughout, dup3 being atomic. (rustix wants `&mut` here, which would forbid a poll
    // that blocks at the same time.)
    let result = unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) };
    if result < 0 {
        return Err(Error::last("dup3"));
    }
    Ok(())
}
