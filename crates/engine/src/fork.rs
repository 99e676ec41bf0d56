//! Which side of a `fork` this is.
//!
//! A child has copies of everything its parent's loop was made of, and shares the open
//! file descriptions behind it: a registration it removed would be gone for the parent as
//! well. So whatever holds descriptors notes the [`generation`] it was made in, and keeps
//! its hands off when another is current. A number is compared rather than the pid because
//! reading it is a load and not a system call, and because a pid may come back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between the process that called [`install`] and this one.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Sees to it that [`generation`] counts from now on; further calls do nothing.
///
/// Only `fork(3)` is counted. A bare `clone(2)`, `vfork` and `posix_spawn` run no
/// handlers, and none of their children goes on to run a loop.
///
/// # Errors
///
/// ENOMEM, if the C library has no room for the handler.
pub fn install() -> Result<()> {
    static INSTALLED: OnceLock<Result<()>> = OnceLock::new();
    *INSTALLED.get_or_init(|| match register() {
        0 => Ok(()),
        errno => Err(Error {
            call: "pthread_atfork",
            errno,
        }),
    })
}

/// Runs in the child, before `fork` returns there.
extern "C" fn count_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

#[allow(unsafe_code)]
fn register() -> i32 {
    // SAFETY: E4. The handler is a plain function that adds to a static atomic.
    unsafe { libc::pthread_atfork(None, None, Some(count_in_child)) }
}
