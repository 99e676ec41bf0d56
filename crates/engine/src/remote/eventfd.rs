//! The notifier of a real loop: an eventfd.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Notifier(OwnedFd);

impl Notifier {
    pub(super) fn new() -> Result<Self> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Self)
            .map_err(|errno| Error::from_rustix("eventfd", errno))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Makes the descriptor readable.
    pub(super) fn notify(&self) {
        // The counter is 0 or 1, so EAGAIN (it would overflow) cannot happen, and an
        // eventfd knows no other failure than an interrupted call.
        while write(&self.0, &1u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    /// Makes the descriptor unreadable; false if it was so already.
    pub(super) fn drain(&self) -> bool {
        let mut counter = [0; 8];
        loop {
            match read(&self.0, &mut counter) {
                Err(Errno::INTR) => {}
                result => return result != Err(Errno::AGAIN),
            }
        }
    }
}
