//! What a system call answered when it failed.
//!
//! The number is kept raw, beside the name of the call: who translates it for a user
//! (Python picks a subclass of `OSError` by errno) needs exactly that and nothing else.

use std::fmt;

use rustix::io::Errno;

/// The result of something that may fail in the kernel.
pub type Result<T> = std::result::Result<T, Error>;

/// A system call that failed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The call that failed, as its manual page names it.
    pub call: &'static str,
    /// The errno it failed with, positive.
    pub errno: i32,
}

impl Error {
    /// The error of `call` as rustix reports it.
    pub const fn from_rustix(call: &'static str, errno: Errno) -> Self {
        Self {
            call,
            errno: errno.raw_os_error(),
        }
    }

    /// The error of `call`, from this thread's `errno`: for calls made through libc.
    pub(crate) fn last(call: &'static str) -> Self {
        let errno = std::io::Error::last_os_error().raw_os_error();
        Self {
            call,
            errno: errno.unwrap_or(libc::EIO),
        }
    }

    /// Whether nothing could be done now and a later try may succeed (EAGAIN).
    pub const fn is_would_block(&self) -> bool {
        self.errno == libc::EAGAIN || self.errno == libc::EWOULDBLOCK
    }

    /// Whether what was asked for goes on, and its outcome is told later: connecting.
    pub const fn is_under_way(&self) -> bool {
        self.is_would_block()
            || self.is_interrupted()
            || self.errno == libc::EINPROGRESS
            || self.errno == libc::EALREADY
    }

    /// Whether a signal handler ran before anything was done (EINTR).
    pub const fn is_interrupted(&self) -> bool {
        self.errno == libc::EINTR
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = std::io::Error::from_raw_os_error(self.errno);
        write!(f, "{}: {reason}", self.call)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_and_the_errno_are_told() {
        let error = Error::from_rustix("epoll_ctl", Errno::PERM);
        assert_eq!(error.errno, libc::EPERM);
        let text = error.to_string();
        assert!(text.starts_with("epoll_ctl: ") && text.contains("os error 1"));
    }

    #[test]
    fn kinds_are_told_apart() {
        assert!(Error::from_rustix("recv", Errno::AGAIN).is_would_block());
        assert!(Error::from_rustix("recv", Errno::INTR).is_interrupted());
        assert!(!Error::from_rustix("recv", Errno::CONNRESET).is_would_block());
    }
}
