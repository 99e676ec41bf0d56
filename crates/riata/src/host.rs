//! The seam: what a loop offers to futures, and what futures give it to run.
//!
//! A loop that implements [`Host`] and hands itself to [`Guests::new`] can run everything in
//! this crate: [`Runtime`](crate::Runtime) is one such loop. The calls go both ways:
//!
//! * futures call the [`Host`]: start this timer, watch this descriptor, run this [`Job`]
//!   in its turn;
//! * the host calls [`Guests::run`] with each job when its turn has come, and
//!   [`Watcher::notify`] when a descriptor is ready, both on its own thread.
//!
//! From other threads only [`RemoteHost`] is called. Hosts are built on `riata-engine`,
//! whose keys name timers and watchers here.

use std::fmt;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

pub use riata_engine::driver::{Interest, Readiness, WatchKey};
pub use riata_engine::{Error, Nanos, TimerKey};

pub use crate::context::Guests;
pub use crate::source::Watcher;

use crate::call::Callback;
use crate::task::Key;

/// What a loop offers to the futures on it; called on the loop's own thread only.
///
/// Any method may be called from inside [`Guests::run`] and [`Watcher::notify`], so none of
/// the loop's state may be borrowed while it calls these. Nothing that a method is given or
/// gives back may be dropped while state is borrowed: a drop may run foreign code.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
/// # fn main() {
/// // `Foreign` implements it with the engine's queue, timers, registry and poller.
/// let host: Rc<dyn Host> = Foreign::new();
/// let guests = Guests::new(host.clone());
/// let before = host.now();
/// let task = guests.spawn(async {}); // schedules a job
/// assert!(host.now() >= before && !task.is_done());
/// # }
/// ```
pub trait Host {
    /// What the loop's clock shows.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// let before = host.now();
    /// assert!(host.now() >= before);
    /// # }
    /// ```
    fn now(&self) -> Nanos;

    /// Queues `job` behind everything that is ready.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// guests.spawn(async {}).detach();
    /// let Some(Work::Job(job)) = host.next() else { panic!("spawning schedules a step") };
    /// host.schedule(job);
    /// assert!(host.next().is_some());
    /// # }
    /// ```
    fn schedule(&self, job: Job);

    /// Sees to it that `job` is run once the clock shows `deadline`.
    ///
    /// If the job [is a wake](Job::is_wake) it may be run as soon as it is due, without being
    /// queued: all it does is to schedule another.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// guests.spawn(async {}).detach();
    /// let Some(Work::Job(job)) = host.next() else { panic!("spawning schedules a step") };
    /// host.start_timer(host.now(), job);
    /// host.turn(&guests); // it is due
    /// assert!(guests.is_empty());
    /// # }
    /// ```
    fn start_timer(&self, deadline: Nanos, job: Job) -> TimerKey;

    /// Whether a timer has neither come due nor been cancelled.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// guests.spawn(async {}).detach();
    /// let Some(Work::Job(job)) = host.next() else { panic!("spawning schedules a step") };
    /// let timer = host.start_timer(host.now(), job);
    /// assert!(host.is_pending(timer));
    /// host.turn(&guests);
    /// assert!(!host.is_pending(timer));
    /// # }
    /// ```
    fn is_pending(&self, timer: TimerKey) -> bool;

    /// Ends a timer and returns its job; `None` if it is not pending.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// guests.spawn(async {}).detach();
    /// let Some(Work::Job(job)) = host.next() else { panic!("spawning schedules a step") };
    /// let timer = host.start_timer(host.now(), job);
    /// assert!(host.cancel_timer(timer).is_some() && host.cancel_timer(timer).is_none());
    /// # }
    /// ```
    fn cancel_timer(&self, timer: TimerKey) -> Option<Job>;

    /// Begins to watch a descriptor: level-triggered, unless `interest` has
    /// [`EDGE`](Interest::EDGE).
    ///
    /// # Errors
    ///
    /// As [`Registry::add`](riata_engine::driver::Registry::add).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// // What a source asks its loop for.
    /// guests.enter(|| riata::Source::new(near)).unwrap();
    /// # }
    /// ```
    fn watch(&self, fd: RawFd, interest: Interest, watcher: Watcher) -> Result<WatchKey, Error>;

    /// Changes what a watcher wants to know.
    ///
    /// # Errors
    ///
    /// As [`Registry::set_interest`](riata_engine::driver::Registry::set_interest).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// // Nothing is asked of the kernel before somebody waits.
    /// let task = guests.spawn(async { riata::Source::new(near)?.writable().await });
    /// host.run_until(&guests, || task.is_done());
    /// # }
    /// ```
    fn set_interest(&self, key: WatchKey, interest: Interest) -> Result<(), Error>;

    /// Ends a watcher and returns it; `None` for a stale key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    /// near.set_nonblocking(true).unwrap();
    /// let source = guests.enter(|| riata::Source::new(near)).unwrap();
    /// guests.enter(|| drop(source)); // before its descriptor is closed
    /// # }
    /// ```
    fn unwatch(&self, key: WatchKey) -> Option<Watcher>;

    /// Says that something outside the loop (a thread) has begun to work for it, so that a
    /// loop whose clock is its own must not let time jump; `false`: that it has ended.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// let task = guests.spawn(async { riata::run_in_executor(|| 7).await });
    /// host.run_until(&guests, || task.is_done()); // `true` before, `false` after
    /// # }
    /// ```
    fn set_busy_elsewhere(&self, busy: bool);

    /// The way in from other threads.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// let remote: Arc<dyn RemoteHost> = host.remote();
    /// # }
    /// ```
    fn remote(&self) -> Arc<dyn RemoteHost>;
}

/// The part of a loop that other threads may call.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
/// # fn main() {
/// let remote: Arc<dyn RemoteHost> = Foreign::new().remote();
/// std::thread::spawn(move || drop(remote)).join().unwrap();
/// # }
/// ```
pub trait RemoteHost: Send + Sync {
    /// Brings `parcel` to the loop's thread, to be opened by [`Guests::open`] there, and ends
    /// the loop's sleep. Order is kept for each sending thread; a parcel that
    /// [merges](Parcel::merges_as) with one that waits may be dropped.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// # let host = Foreign::new();
    /// # let guests = Guests::new(host.clone());
    /// guests.handle().call_soon_threadsafe(|| println!("here")).unwrap();
    /// for parcel in host.parcels() {
    ///     host.remote().send(parcel); // and again
    /// }
    /// assert_eq!(host.parcels().len(), 1);
    /// # }
    /// ```
    fn send(&self, parcel: Parcel);
}

const _: () = assert!(size_of::<Job>() == 16);

/// Something to run once, on the loop's thread: give it to [`Guests::run`].
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
/// # fn main() {
/// let host = Foreign::new();
/// let guests = Guests::new(host.clone());
/// guests.spawn(async {}).detach();
/// let Some(Work::Job(job)) = host.next() else { panic!("spawning schedules a step") };
/// guests.run(job);
/// assert!(guests.is_empty());
/// # }
/// ```
pub struct Job(pub(crate) Work);

pub(crate) enum Work {
    /// Step a task.
    Step(Key),
    /// Wake a task.
    WakeTask(Key),
    /// Wake whoever this is, who is no task.
    Wake(Box<Waker>),
    /// Call what `call_soon` was given.
    Call(Rc<Callback>),
}

impl Job {
    /// Whether all it does is to schedule another job.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let host = Foreign::new();
    /// let guests = Guests::new(host.clone());
    /// guests.spawn(async {}).detach();
    /// let Some(Work::Job(step)) = host.next() else { panic!("spawning schedules a step") };
    /// assert!(!step.is_wake());
    /// # }
    /// ```
    pub fn is_wake(&self) -> bool {
        matches!(self.0, Work::Wake(_) | Work::WakeTask(_))
    }

    pub(crate) fn wake(waker: &Waker) -> Self {
        Self(match Key::of(waker) {
            Some(key) => Work::WakeTask(key),
            None => Work::Wake(Box::new(waker.clone())),
        })
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Work::Step(_) => "Job::Step",
            Work::Wake(_) | Work::WakeTask(_) => "Job::Wake",
            Work::Call(_) => "Job::Call",
        })
    }
}

/// Something that another thread sent: give it to [`Guests::open`].
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
/// # fn main() {
/// let host = Foreign::new();
/// let guests = Guests::new(host.clone());
/// guests.handle().call_soon_threadsafe(|| println!("here")).unwrap();
/// let parcel: Parcel = host.parcels().pop_front().unwrap();
/// guests.open(parcel);
/// # }
/// ```
pub struct Parcel(pub(crate) Content);

pub(crate) enum Content {
    /// Wake a task.
    Wake(Key),
    /// Call this.
    Call(Box<dyn FnOnce() + Send>),
}

impl Parcel {
    /// Parcels of one name may be merged: of those that wait to be opened, one will do. So a
    /// thread that wakes a task a million times while the loop is busy fills no memory.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let host = Foreign::new();
    /// let guests = Guests::new(host.clone());
    /// guests.handle().call_soon_threadsafe(|| println!("each of them")).unwrap();
    /// assert_eq!(host.parcels()[0].merges_as(), None);
    /// # }
    /// ```
    pub fn merges_as(&self) -> Option<u64> {
        match self.0 {
            Content::Wake(key) => Some(key.number()),
            Content::Call(_) => None,
        }
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Content::Wake(_) => "Parcel::Wake",
            Content::Call(_) => "Parcel::Call",
        })
    }
}
