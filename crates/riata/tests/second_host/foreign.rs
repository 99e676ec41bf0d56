// A loop that is not `Runtime`, with work of its own between the futures' jobs, as Python's would have. The tests
// include it, and so do the examples of `riata::host`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use riata::host::{
    Error, Guests, Host, Interest, Job, Nanos, Parcel, Readiness, RemoteHost, TimerKey, WatchKey,
    Watcher,
};
use riata_engine::driver::{Events, Poller, Registry};
use riata_engine::{Ready, Remote, Sleep, Timers, monotonic};

enum Work {
    Own(Box<dyn FnOnce()>),
    Job(Job),
}

struct Foreign {
    ready: RefCell<Ready<Work>>,
    timers: RefCell<Timers<Job>>,
    /// `None`: the mailbox's own descriptor.
    registry: RefCell<Registry<Option<Watcher>>>,
    poller: Poller,
    mailbox: Arc<Mailbox>,
}

struct Mailbox(Remote<Parcel>);

impl RemoteHost for Mailbox {
    fn send(&self, parcel: Parcel) {
        self.0.push(parcel);
    }
}

impl Host for Foreign {
    fn now(&self) -> Nanos {
        monotonic()
    }

    fn schedule(&self, job: Job) {
        self.ready.borrow_mut().push(Work::Job(job));
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

    fn watch(&self, fd: RawFd, interest: Interest, watcher: Watcher) -> Result<WatchKey, Error> {
        let mut registry = self.registry.borrow_mut();
        Ok(registry.add(&self.poller, fd, interest, Some(watcher))?)
    }

    fn set_interest(&self, key: WatchKey, interest: Interest) -> Result<(), Error> {
        let mut registry = self.registry.borrow_mut();
        registry.set_interest(&self.poller, key, interest)
    }

    fn unwatch(&self, key: WatchKey) -> Option<Watcher> {
        let mut registry = self.registry.borrow_mut();
        registry.remove(&self.poller, key).flatten()
    }

    /// Its clock is the system's, which goes on anyway.
    fn set_busy_elsewhere(&self, _: bool) {}

    fn remote(&self) -> Arc<dyn RemoteHost> {
        Arc::<Mailbox>::clone(&self.mailbox)
    }
}

impl Foreign {
    fn new() -> Rc<Self> {
        let poller = Poller::new().unwrap();
        let mailbox = Arc::new(Mailbox(Remote::new().unwrap()));
        let mut registry = Registry::new();
        let fd = mailbox.0.fd().as_raw_fd();
        registry.add(&poller, fd, Interest::READABLE, None).unwrap();
        Rc::new(Self {
            ready: RefCell::default(),
            timers: RefCell::default(),
            registry: RefCell::new(registry),
            poller,
            mailbox,
        })
    }

    /// What is to be run next in this turn; after the last, the turn ends.
    fn next(&self) -> Option<Work> {
        let mut ready = self.ready.borrow_mut();
        if ready.batch_left() == 0 {
            ready.begin_batch();
        }
        ready.pop_batch()
    }

    /// What other threads have sent.
    fn parcels(&self) -> VecDeque<Parcel> {
        let mut parcels = VecDeque::new();
        self.mailbox.0.take(&mut parcels);
        parcels
    }

    /// Waits for a report if nothing is ready.
    fn poll(&self) -> Vec<(Watcher, Readiness)> {
        let deadline = self.timers.borrow().next_deadline();
        let timeout = match self.mailbox.0.before_sleep() {
            Sleep::MayBlock if self.ready.borrow().is_empty() => {
                deadline.map(|it| it.saturating_sub(monotonic()))
            }
            _ => Some(Nanos(0)),
        };
        let mut events = Events::with_capacity(8);
        self.poller.wait(&mut events, timeout).unwrap();
        self.mailbox.0.after_sleep();
        let registry = self.registry.borrow();
        let mut reports = VecDeque::new();
        for (token, readiness) in events.iter() {
            let _ = registry.dispatch(token, readiness, &mut reports);
        }
        let known = |(key, readiness)| Some((registry.get(key)?.clone()?, readiness));
        reports.into_iter().filter_map(known).collect()
    }

    fn turn(&self, guests: &Guests) {
        for (watcher, readiness) in self.poll() {
            guests.enter(|| watcher.notify(readiness));
        }
        for parcel in self.parcels() {
            guests.open(parcel);
        }
        while let Some(job) = { self.timers.borrow_mut().pop_due(monotonic()) } {
            self.schedule(job);
        }
        let batch = self.ready.borrow_mut().begin_batch();
        for _ in 0..batch {
            match self.next() {
                Some(Work::Own(call)) => call(),
                Some(Work::Job(job)) => guests.run(job),
                None => break,
            }
        }
    }

    fn run_until(&self, guests: &Guests, is_done: impl Fn() -> bool) {
        while !is_done() {
            self.turn(guests);
        }
    }
}
