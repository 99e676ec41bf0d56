//! How the end of a child is noticed: by a descriptor that becomes readable.
//!
//! A pidfd where the kernel has them (Linux 5.3); else the end of a pipe that a thread holds,
//! which waits for that one child and leaves it to be reaped. Nothing here reaps.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

/// A descriptor that becomes readable when the child, which nobody has reaped yet, ends.
pub(super) fn watch(child: Pid) -> io::Result<OwnedFd> {
    match pidfd_open(child, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(pidfd),
        // No such call, or a sandbox forbids it.
        Err(Errno::NOSYS | Errno::PERM) => watch_by_thread(child),
        Err(error) => Err(error.into()),
    }
}

fn watch_by_thread(child: Pid) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let wait = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(child), options) {}
        // A forked process may hold a copy of the end that is closed now: hence the byte.
        // Nobody listens any more if it cannot be written.
        let _ = rustix::io::write(&writer, &[0]);
    };
    thread::Builder::new()
        .name(format!("riata_wait_{child}"))
        .spawn(wait)?;
    Ok(reader)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::Source;

    #[test]
    fn the_thread_and_the_pidfd_notice_the_end_and_leave_the_child_to_its_owner() {
        for watch in [watch_by_thread, watch] {
            let mut command = Command::new("cat");
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            let pid = Pid::from_child(&child);
            crate::run(async {
                let exit = Source::new(watch(pid).unwrap()).unwrap();
                assert!(child.try_wait().unwrap().is_none());
                drop(child.stdin.take());
                exit.readable().await.unwrap();
            });
            assert!(child.try_wait().unwrap().unwrap().success());
        }
    }
}
