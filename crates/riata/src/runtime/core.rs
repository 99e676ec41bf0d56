//! The loop itself: what is ready, what is due, what is watched, and one turn of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use riata_engine::driver::{Dispatch, Events, Poller, Registry};
use riata_engine::remote::Notice;
use riata_engine::{Error, Nanos, Ready, Remote, Result, Sleep, TimerKey, Timers, monotonic};

use crate::context::Guests;
use crate::host::{Host, Interest, Job, Parcel, Readiness, RemoteHost, WatchKey, Watcher, Work};
use crate::task::TaskRef;
use crate::time::nanos;

/// How many jobs run, at most about, between two polls of a loop that watches nothing but its
/// own notifier. A poll costs as much as several task steps.
const JOBS_BETWEEN_POLLS: usize = 61;

/// How many events one poll takes in; the others come first in the next. What the poll and the
/// reports have touched is in the nearer caches still when the tasks run (`make bench-rust`,
/// connections: a fifth less of the loop's own time with 10,000 of them).
const EVENTS: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) name: Box<str>,
    pub(super) slow_callback: Option<Duration>,
    pub(super) virtual_clock: bool,
}

pub(super) struct Core {
    options: Options,
    ready: RefCell<Ready<Job>>,
    timers: RefCell<Timers<Job>>,
    /// `None`: the remote's own notifier.
    registry: RefCell<Registry<Option<Watcher>>>,
    poller: Poller,
    /// Lent out for a poll.
    events: Cell<Option<Events>>,
    /// Who is to be told of events, in order.
    reports: RefCell<VecDeque<(WatchKey, Readiness)>>,
    remote: Arc<Remote<Parcel>>,
    parcels: RefCell<VecDeque<Parcel>>,
    /// What the virtual clock shows.
    now: Cell<Nanos>,
    busy_elsewhere: Cell<bool>,
    jobs_since_poll: Cell<usize>,
}

impl RemoteHost for Remote<Parcel> {
    fn send(&self, parcel: Parcel) {
        match parcel.merges_as() {
            Some(name) => self.push_once(name, parcel),
            None => self.push(parcel),
        }
    }
}

impl Core {
    pub(super) fn new(options: Options) -> Result<Self> {
        let poller = Poller::new()?;
        let remote = Arc::new(Remote::with_notice(Notice::Edge)?);
        let mut registry = Registry::new();
        let interest = Interest::READABLE | Interest::EDGE;
        registry.add(&poller, remote.fd().as_raw_fd(), interest, None)?;
        Ok(Self {
            options,
            ready: RefCell::default(),
            timers: RefCell::default(),
            registry: RefCell::new(registry),
            poller,
            events: Cell::new(Some(Events::with_limit(EVENTS))),
            reports: RefCell::default(),
            remote,
            parcels: RefCell::default(),
            now: Cell::new(Nanos(0)),
            busy_elsewhere: Cell::new(false),
            jobs_since_poll: Cell::new(0),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.options.name
    }

    /// Drops everything queued, and what that queues.
    pub(super) fn clear(&self) {
        loop {
            let jobs = self.ready.borrow_mut().take_all();
            let timers = self.timers.borrow_mut().take_all();
            let watchers = self.registry.borrow_mut().take_all();
            let mut parcels = VecDeque::new();
            self.remote.take(&mut parcels);
            parcels.append(&mut self.parcels.borrow_mut());
            if jobs.is_empty() && timers.is_empty() && watchers.is_empty() && parcels.is_empty() {
                break;
            }
        }
    }

    /// One turn: waits if nothing is ready, and runs what is, with `after_job` after each.
    ///
    /// # Errors
    ///
    /// What the kernel says to a poll, other than that a signal came.
    pub(super) fn turn(&self, guests: &Guests, mut after_job: impl FnMut()) -> Result<()> {
        self.receive(guests);
        let is_idle = self.ready.borrow().is_empty();
        // As asyncio does, each turn looks at what the program watches. If that is nothing, a
        // poll could tell nothing but that a signal came.
        let is_watching = self.registry.borrow().len() > 1;
        if is_idle || is_watching || self.jobs_since_poll.get() >= JOBS_BETWEEN_POLLS {
            self.look(guests, is_idle)?;
        } else {
            self.expire(guests);
        }
        let batch = self.ready.borrow_mut().begin_batch();
        self.jobs_since_poll.set(self.jobs_since_poll.get() + batch);
        loop {
            let job = self.ready.borrow_mut().pop_batch();
            let Some(job) = job else {
                return Ok(());
            };
            match self.options.slow_callback {
                None => guests.run_here(job),
                Some(limit) => self.run_timed(guests, job, limit),
            }
            after_job();
        }
    }

    /// Opens what other threads sent.
    fn receive(&self, guests: &Guests) {
        if self.remote.is_empty() {
            return;
        }
        self.remote.take(&mut self.parcels.borrow_mut());
        loop {
            let parcel = self.parcels.borrow_mut().pop_front();
            let Some(parcel) = parcel else {
                return;
            };
            guests.open_here(parcel);
        }
    }

    /// Looks at descriptors and timers, for as long as it takes if nothing is ready.
    fn look(&self, guests: &Guests, is_idle: bool) -> Result<()> {
        self.jobs_since_poll.set(0);
        let may_block = is_idle && self.remote.before_sleep() == Sleep::MayBlock;
        let deadline = self.timers.borrow().next_deadline();
        let timeout = match deadline {
            _ if !may_block => Some(Nanos(0)),
            // Time jumps, unless somebody is at work for whom it does not.
            Some(_) if self.options.virtual_clock && !self.busy_elsewhere.get() => Some(Nanos(0)),
            Some(_) if self.options.virtual_clock => None,
            Some(deadline) => Some(deadline.saturating_sub(monotonic())),
            None => None,
        };
        let polled = self.poll(timeout);
        if is_idle {
            self.remote.after_sleep();
        }
        let seen = polled?;
        self.receive(guests);
        self.tell();
        let nothing_came = may_block && seen == 0 && self.ready.borrow().is_empty();
        if self.options.virtual_clock && nothing_came && !self.busy_elsewhere.get() {
            self.now.set(deadline.unwrap_or(self.now.get()));
        }
        self.expire(guests);
        Ok(())
    }

    /// Polls and notes whom the events concern; says how many there were.
    fn poll(&self, timeout: Option<Nanos>) -> Result<usize> {
        let mut events = self
            .events
            .take()
            .unwrap_or_else(|| Events::with_limit(EVENTS));
        let result = match self.poller.wait(&mut events, timeout) {
            Err(error) if error.is_interrupted() => Ok(0),
            result => result,
        };
        let mut must_rebuild = false;
        if result.is_ok() {
            let registry = self.registry.borrow();
            let mut reports = self.reports.borrow_mut();
            for (token, readiness) in events.iter() {
                let dispatch = registry.dispatch(token, readiness, &mut *reports);
                must_rebuild |= dispatch == Dispatch::Stale;
            }
        }
        self.events.set(Some(events));
        if must_rebuild {
            self.registry.borrow_mut().rebuild(&self.poller)?;
        }
        result
    }

    /// Tells watchers what the poll reported.
    fn tell(&self) {
        loop {
            let report = self.reports.borrow_mut().pop_front();
            let Some((key, readiness)) = report else {
                return;
            };
            let watcher = self.registry.borrow().get(key).cloned().flatten();
            if let Some(watcher) = watcher {
                watcher.notify(readiness);
            }
        }
    }

    /// Makes ready what is due.
    fn expire(&self, guests: &Guests) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now = self.now();
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            match due {
                None => return,
                // A wake only queues.
                Some(job) if job.is_wake() => guests.run_here(job),
                Some(job) => self.schedule(job),
            }
        }
    }

    /// Runs a job and warns if it took long, in asyncio's words.
    fn run_timed(&self, guests: &Guests, job: Job, limit: Duration) {
        let task = match &job.0 {
            &Work::Step(key) => guests.find(key).map(TaskRef::new),
            _ => None,
        };
        let began = monotonic();
        guests.run_here(job);
        let took = monotonic().saturating_sub(began);
        if took >= nanos(limit) {
            let seconds = took.as_secs_f64();
            match task {
                Some(task) => log::warn!("Executing {task:?} took {seconds:.3} seconds"),
                None => log::warn!("Executing <Handle> took {seconds:.3} seconds"),
            }
        }
    }
}

impl Host for Core {
    fn now(&self) -> Nanos {
        if self.options.virtual_clock {
            self.now.get()
        } else {
            monotonic()
        }
    }

    fn schedule(&self, job: Job) {
        self.ready.borrow_mut().push(job);
    }

    fn start_timer(&self, deadline: Nanos, job: Job) -> TimerKey {
        self.timers.borrow_mut().insert(deadline, job)
    }

    fn is_pending(&self, timer: TimerKey) -> bool {
        self.timers.borrow().get(timer).is_some()
    }

    fn cancel_timer(&self, timer: TimerKey) -> Option<Job> {
        self.timers.borrow_mut().remove(timer)
    }

    fn watch(
        &self,
        fd: RawFd,
        interest: Interest,
        watcher: Watcher,
    ) -> std::result::Result<WatchKey, Error> {
        let added = self
            .registry
            .borrow_mut()
            .add(&self.poller, fd, interest, Some(watcher));
        added.map_err(Error::from)
    }

    fn set_interest(&self, key: WatchKey, interest: Interest) -> Result<()> {
        self.registry
            .borrow_mut()
            .set_interest(&self.poller, key, interest)
    }

    fn unwatch(&self, key: WatchKey) -> Option<Watcher> {
        self.registry
            .borrow_mut()
            .remove(&self.poller, key)
            .flatten()
    }

    fn set_busy_elsewhere(&self, busy: bool) {
        self.busy_elsewhere.set(busy);
    }

    fn remote(&self) -> Arc<dyn RemoteHost> {
        Arc::<Remote<Parcel>>::clone(&self.remote)
    }
}
