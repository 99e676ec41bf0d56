//! Children whose owner has gone: they are reaped all the same, and live on until then.

use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riata_engine::child::Child;

use crate::source::Source;

/// Those that no loop waits for any more, to be asked after now and then.
static LEFT: Mutex<Vec<Arc<Child>>> = Mutex::new(Vec::new());

fn left() -> MutexGuard<'static, Vec<Arc<Child>>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps those that have ended meanwhile. Called whenever another child begins.
pub(super) fn reap() {
    left().retain(is_running);
}

/// Reaps a child if it has ended, to be asked no more; whether it has not.
fn is_running(child: &Arc<Child>) -> bool {
    matches!(child.reap(), Ok(None))
}

/// A child that nobody asks after. If this is dropped before it has ended, as its loop
/// closes, it is left to [`reap`].
struct Orphan(Option<Arc<Child>>);

impl Orphan {
    fn is_running(&mut self) -> bool {
        let _ended = self.0.take_if(|child| !is_running(child));
        self.0.is_some()
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if self.is_running() {
            left().extend(self.0.take());
        }
    }
}

/// Leaves a child to [`reap`].
pub(super) fn leave(child: Arc<Child>) {
    drop(Orphan(Some(child)));
}

/// Sees to it that a child is reaped when it ends.
pub(super) fn adopt(child: Arc<Child>) {
    let mut orphan = Orphan(Some(Arc::clone(&child)));
    if !orphan.is_running() || !crate::context::is_running() {
        return;
    }
    let wait = async move {
        // What cannot be watched is left to `reap`.
        let Ok(exit) = Source::new(child) else { return };
        while orphan.is_running() && exit.readable().await.is_ok() {}
    };
    crate::spawn(wait).detach();
}

/// Ends and reaps a child that began, but cannot be watched. It is killed, so this does not
/// take long.
pub(super) fn put_down(mut child: std::process::Child) -> io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}
