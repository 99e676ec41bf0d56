//! The way into a loop from other threads.

use std::fmt;
use std::sync::Arc;

use crate::context::{self, Guests};
use crate::error::LoopClosed;
use crate::host::{Content, Parcel};

/// A loop, as other threads see it. It keeps nothing alive.
///
/// ```
/// riata::run(async {
///     let handle = riata::Handle::current();
///     std::thread::spawn(move || {
///         let _ = handle.call_soon_threadsafe(|| assert!(riata::current_task().is_none()));
///     });
/// });
/// ```
#[derive(Clone)]
pub struct Handle {
    /// The loop's number, in 16 bits, and how many loops have had it.
    serial: u64,
}

impl Handle {
    /// The handle of this thread's loop.
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// riata::run(async { riata::Handle::current(); });
    /// ```
    #[track_caller]
    pub fn current() -> Self {
        context::with(|guests| guests.handle().clone())
    }

    /// Calls `f` on the loop's thread, in its turn, and wakes the loop if it sleeps.
    ///
    /// Calls of one thread come in order. A loop that closes drops what has not been called.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`].
    ///
    /// ```
    /// riata::run(async {
    ///     let handle = riata::Handle::current();
    ///     std::thread::spawn(move || handle.call_soon_threadsafe(|| println!("on the loop")));
    /// });
    /// ```
    pub fn call_soon_threadsafe(
        &self,
        f: impl FnOnce() + Send + 'static,
    ) -> Result<(), LoopClosed> {
        let sent = registry::send_to(self, || Parcel(Content::Call(Box::new(f))));
        if sent { Ok(()) } else { Err(LoopClosed) }
    }

    /// Whether the loop is closed.
    ///
    /// ```
    /// let handle = riata::run(async { riata::Handle::current() });
    /// assert!(handle.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        !registry::is_there(self)
    }

    /// Whether both are of one loop.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.serial == other.serial
    }

    pub(crate) fn event_loop(&self) -> u16 {
        self.serial as u16
    }

    /// Calls `f` with the loop, if it is the one of this thread now.
    pub(crate) fn if_here<R>(&self, f: impl FnOnce(&Guests) -> R) -> Option<R> {
        context::try_with(|guests| guests.handle().is_same(self).then(|| f(guests))).flatten()
    }

    /// Calls `f` on the loop, now or when it comes to it; not if it is closed.
    pub(crate) fn call_there(&self, f: impl FnOnce(&Guests) + Send + 'static) {
        let mut f = Some(f);
        let here = self.if_here(|guests| f.take().map(|f| f(guests)));
        if let (None, Some(f)) = (here, f) {
            // What `f` sees to has ended with the loop.
            let _ = self.call_soon_threadsafe(move || context::with(f));
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.serial).finish()
    }
}

/// The loops of the process, so that a waker on a foreign thread finds its own.
pub(crate) mod registry {
    use super::{Arc, Handle, Parcel};
    use crate::host::RemoteHost;
    use crate::registry::Registry;

    static LOOPS: Registry<dyn RemoteHost> = Registry::new();

    pub(crate) fn add(remote: Arc<dyn RemoteHost>) -> Handle {
        match LOOPS.add(remote) {
            Some(serial) => Handle { serial },
            None => panic!("65,536 event loops at once"),
        }
    }

    pub(crate) fn remove(handle: &Handle) {
        let remote = LOOPS.remove(handle.serial);
        drop(remote);
    }

    /// Sends to the loop of this number, if there is one.
    pub(crate) fn send(event_loop: u16, parcel: impl FnOnce() -> Parcel) {
        LOOPS.with_number(event_loop, |remote| remote.send(parcel()));
    }

    /// Sends to this very loop; says whether it is there. If not, `parcel` is dropped
    /// without the lock.
    pub(crate) fn send_to(handle: &Handle, parcel: impl FnOnce() -> Parcel) -> bool {
        LOOPS.with_serial(handle.serial, |remote| remote.send(parcel()))
    }

    pub(crate) fn is_there(handle: &Handle) -> bool {
        LOOPS.with_serial(handle.serial, |_| ())
    }
}
