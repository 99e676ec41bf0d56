//! Children whose owner has gone: they are reaped all the same, and live on until then.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::source::Source;

/// Those that no loop waits for any more, to be asked after now and then.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

fn left() -> MutexGuard<'static, Vec<Child>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps those that have ended meanwhile. Called whenever another child begins.
pub(super) fn reap() {
    left().retain_mut(is_running);
}

fn is_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

/// A child that nobody asks after. If this is dropped before it has ended, as its loop
/// closes, it is left to [`reap`].
struct Orphan(Option<Child>);

impl Orphan {
    fn is_running(&mut self) -> bool {
        self.0.as_mut().is_some_and(is_running)
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if self.is_running() {
            left().extend(self.0.take());
        }
    }
}

/// Sees to it that a child is reaped when it ends; `exit` is what tells it.
pub(super) fn adopt<T: std::os::fd::AsFd + 'static>(child: Child, exit: Option<T>) {
    let mut orphan = Orphan(Some(child));
    let Some(exit) = exit.filter(|_| crate::context::is_running()) else {
        return;
    };
    let wait = async move {
        // What cannot be watched is left to `reap`.
        let Ok(exit) = Source::new(exit) else { return };
        while orphan.is_running() && exit.readable().await.is_ok() {}
    };
    crate::spawn(wait).detach();
}

/// Ends and reaps a child that began, but cannot be watched. It is killed, so this does not
/// take long.
pub(super) fn put_down(mut child: Child) -> io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}
