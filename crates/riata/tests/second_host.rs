//! Futures on a loop that is not `Runtime`: the seam, from the other side.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use riata::host::{
    Error, Guests, Host, Interest, Job, Nanos, Parcel, RemoteHost, TimerKey, WatchKey, Watcher,
};
use riata_engine::driver::{Events, Poller, Registry};
use riata_engine::{Ready, Remote, Timers, monotonic};

/// A loop that runs its own work, as Python's would, with jobs in between.
enum Work {
    Own(Box<dyn FnOnce()>),
    Job(Job),
}

struct Foreign {
    ready: RefCell<Ready<Work>>,
    timers: RefCell<Timers<Job>>,
    registry: RefCell<Registry<Option<Watcher>>>,
    poller: Poller,
    remote: Arc<Mailbox>,
    stopped: Cell<bool>,
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
        self.registry
            .borrow_mut()
            .remove(&self.poller, key)
            .flatten()
    }
    fn set_busy_elsewhere(&self, _: bool) {}
    fn remote(&self) -> Arc<dyn RemoteHost> {
        Arc::<Mailbox>::clone(&self.remote)
    }
}

impl Foreign {
    fn new() -> Rc<Self> {
        let poller = Poller::new().unwrap();
        let remote = Arc::new(Mailbox(Remote::new().unwrap()));
        let mut registry = Registry::new();
        let fd = remote.0.fd().as_raw_fd();
        registry.add(&poller, fd, Interest::READABLE, None).unwrap();
        Rc::new(Self {
            ready: RefCell::default(),
            timers: RefCell::default(),
            registry: RefCell::new(registry),
            poller,
            remote,
            stopped: Cell::new(false),
        })
    }

    fn run_forever(&self, guests: &Guests) {
        let mut events = Events::with_capacity(8);
        while !self.stopped.get() {
            let deadline = self.timers.borrow().next_deadline();
            let timeout = match deadline {
                _ if !self.ready.borrow().is_empty() => Some(Nanos(0)),
                deadline => deadline.map(|it| it.saturating_sub(monotonic())),
            };
            let may_block = self.remote.0.before_sleep() == riata_engine::Sleep::MayBlock;
            let timeout = if may_block { timeout } else { Some(Nanos(0)) };
            self.poller.wait(&mut events, timeout).unwrap();
            self.remote.0.after_sleep();
            let mut reports = VecDeque::new();
            for (token, readiness) in events.iter() {
                let _ = self
                    .registry
                    .borrow()
                    .dispatch(token, readiness, &mut reports);
            }
            for (key, readiness) in reports {
                let watcher = self.registry.borrow().get(key).cloned().flatten();
                if let Some(watcher) = watcher {
                    guests.enter(|| watcher.notify(readiness));
                }
            }
            let mut parcels = VecDeque::new();
            self.remote.0.take(&mut parcels);
            parcels.into_iter().for_each(|it| guests.open(it));
            while let Some(job) = { self.timers.borrow_mut().pop_due(monotonic()) } {
                self.schedule(job);
            }
            self.ready.borrow_mut().begin_batch();
            while let Some(work) = { self.ready.borrow_mut().pop_batch() } {
                match work {
                    Work::Own(f) => f(),
                    Work::Job(job) => guests.run(job),
                }
            }
        }
    }
}

#[test]
fn futures_run_on_another_loop() {
    let host = Foreign::new();
    let shared = Rc::clone(&host);
    let guests = Guests::new(shared);
    let log = Rc::new(RefCell::new(Vec::new()));
    let (stopper, seen) = (Rc::clone(&host), Rc::clone(&log));
    let task = guests.spawn(async move {
        seen.borrow_mut().push("task");
        riata::sleep(Duration::from_millis(1)).await;
        seen.borrow_mut().push("slept");
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = riata::Source::new(near).unwrap();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut &far, b"x"));
        near.readable().await.unwrap();
        writer.join().unwrap().unwrap();
        seen.borrow_mut().push("readable");
        let handle = riata::Handle::current();
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || handle.call_soon_threadsafe(move || send.send(()).unwrap()));
        while receive.try_recv().is_err() {
            riata::sleep(Duration::from_micros(100)).await;
        }
        seen.borrow_mut().push("called");
        let child = riata::spawn(async { panic!("in the child") as u8 });
        assert!(child.await.unwrap_err().is_panic());
        stopper.stopped.set(true);
        7
    });
    let seen = Rc::clone(&log);
    let own = Work::Own(Box::new(move || seen.borrow_mut().push("own")));
    host.ready.borrow_mut().push(own);
    host.run_forever(&guests);
    assert!(task.is_done());
    assert_eq!(
        *log.borrow(),
        ["task", "own", "slept", "readable", "called"]
    );
    guests.close();
}
