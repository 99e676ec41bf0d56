//! Signals of the operating system.
//!
//! Each listener has a socket pair into which signal-hook's handler puts a byte; the loop
//! waits for it as for any other descriptor. Other handlers of the signal, of this program or
//! of an interpreter around it, are called as before.
//!
//! ```no_run
//! use riata::signal::{SIGTERM, signal};
//! riata::run(async {
//!     let mut terminate = signal(SIGTERM).unwrap();
//!     terminate.recv().await.unwrap();
//!     println!("asked to go");
//! });
//! ```

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use riata_engine::net;
use signal_hook::SigId;
use signal_hook::low_level::{pipe, unregister};

pub use signal_hook::consts::signal::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};

use crate::source::Source;

/// Begins to listen for a signal, by its number.
///
/// Any number of listeners may, on any number of loops, and each gets each signal. The first
/// one replaces what the signal does by default for the rest of the process's life: with every
/// listener gone SIGTERM does not end it any more.
///
/// # Errors
///
/// `InvalidInput` for what cannot be listened for: SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV,
/// numbers that are none. What the kernel says when asked for a socket pair.
///
/// # Panics
///
/// Outside a running loop.
///
/// ```
/// use riata::signal::{SIGUSR1, signal};
/// riata::run(async {
///     let mut listener = signal(SIGUSR1).unwrap();
///     signal_hook::low_level::raise(SIGUSR1).unwrap();
///     listener.recv().await.unwrap();
/// });
/// ```
#[track_caller]
pub fn signal(number: i32) -> io::Result<Signal> {
    // signal-hook panics at these.
    if signal_hook::consts::FORBIDDEN.contains(&number) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let source = Source::new(reader)?;
    let id = pipe::register(number, writer)?;
    Ok(Signal { source, id, number })
}

/// A listener: a stream of arrivals of one signal, from [`signal`].
///
/// Arrivals between two looks are kept, though the kernel itself makes one of several that
/// arrive before it could deliver the first.
///
/// ```
/// use riata::signal::{SIGUSR2, Signal, signal};
/// riata::run(async {
///     let mut listener: Signal = signal(SIGUSR2).unwrap();
///     signal_hook::low_level::raise(SIGUSR2).unwrap();
///     listener.recv().await.unwrap();
/// });
/// ```
pub struct Signal {
    source: Source<UnixStream>,
    id: SigId,
    number: i32,
}

impl Signal {
    /// Waits for the next arrival. Dropping the future loses none.
    ///
    /// # Errors
    ///
    /// What the kernel says when asked to watch.
    ///
    /// ```
    /// use riata::signal::{SIGUSR1, signal};
    /// riata::run(async {
    ///     let mut listener = signal(SIGUSR1).unwrap();
    ///     signal_hook::low_level::raise(SIGUSR1).unwrap();
    ///     listener.recv().await.unwrap();
    /// });
    /// ```
    pub async fn recv(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`recv`](Self::recv), to be polled; the last who did is woken.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use riata::signal::{SIGUSR1, signal};
    /// riata::run(async {
    ///     let mut listener = signal(SIGUSR1).unwrap();
    ///     signal_hook::low_level::raise(SIGUSR1).unwrap();
    ///     std::future::poll_fn(|context| listener.poll_recv(context)).await.unwrap();
    /// });
    /// ```
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut arrival = [0];
        // The writing end is registered, and so open, as long as this lives.
        let read = |socket| Ok(net::recv(socket, &mut arrival)?);
        self.source.poll_read_with(context, read).map_ok(|_| ())
    }

    /// The signal's number.
    ///
    /// ```
    /// use riata::signal::{SIGHUP, signal};
    /// riata::run(async { assert_eq!(signal(SIGHUP).unwrap().number(), SIGHUP) });
    /// ```
    pub fn number(&self) -> i32 {
        self.number
    }
}

impl futures_core::Stream for Signal {
    type Item = io::Result<()>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(context).map(Some)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        unregister(self.id);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.number).finish()
    }
}

/// Waits for the next Ctrl-C (SIGINT), counted from the first poll.
///
/// From then on Ctrl-C does not end the process by itself: see [`signal`].
///
/// # Errors
///
/// As [`signal`].
///
/// ```
/// use riata::signal::{SIGINT, ctrl_c};
/// riata::run(async {
///     riata::call_soon(|| signal_hook::low_level::raise(SIGINT).unwrap());
///     ctrl_c().await.unwrap();
/// });
/// ```
pub async fn ctrl_c() -> io::Result<()> {
    signal(SIGINT)?.recv().await
}
