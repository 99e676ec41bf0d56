//! The guests of a loop: its tasks, and how code finds "the loop of this thread".

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

use crate::exception::ExceptionHandler;
use crate::handle::{Handle, registry};
use crate::host::{Content, Host, Job, Parcel, Work};
use crate::task::{Key, Step, Table, Task, new_task};
use crate::threads::Pool;

thread_local! {
    /// What `enter` is inside of, or null.
    static CURRENT: Cell<*const Guests> = const { Cell::new(ptr::null()) };
}

/// The futures that a [`Host`] runs, and what they share.
///
/// A loop makes one, calls [`enter`](Self::enter) around everything that may touch futures, and
/// [`close`](Self::close) at its end. See the [module's page](crate::host).
///
/// `tests/second_host/foreign.rs` is a whole loop of this kind in little space; the examples here
/// run on it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
/// # fn main() {
/// let host = Foreign::new();
/// let shared = host.clone();
/// let guests = Guests::new(shared);
/// let task = guests.spawn(async {
///     riata::sleep(std::time::Duration::from_millis(1)).await;
///     7
/// });
/// host.run_until(&guests, || task.is_done());
/// guests.close();
/// # }
/// ```
pub struct Guests {
    host: Rc<dyn Host>,
    handle: Handle,
    tasks: RefCell<Table>,
    /// The task being stepped.
    current: Cell<Key>,
    /// A future is being dropped because it was cancelled.
    cancelling: Cell<bool>,
    closed: Cell<bool>,
    /// How many threads work for this loop.
    busy_elsewhere: Cell<usize>,
    /// Counts tasks, for their names.
    counter: Cell<u64>,
    /// Who hears of what nobody else is told; `None`: the log.
    pub(crate) exception_handler: RefCell<Option<ExceptionHandler>>,
    /// Threads for what blocks, once there is any.
    pub(crate) executor: RefCell<Option<Pool>>,
}

impl Guests {
    /// No futures yet, to be run by `host`.
    ///
    /// # Panics
    ///
    /// At 65,536 loops at once in one process.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let host: Rc<dyn Host> = Foreign::new();
    /// assert!(Guests::new(host).is_empty());
    /// # }
    /// ```
    pub fn new(host: Rc<dyn Host>) -> Rc<Self> {
        let handle = registry::add(host.remote());
        Rc::new(Self {
            tasks: RefCell::new(Table::new(handle.event_loop())),
            host,
            handle,
            current: Cell::new(Key::NONE),
            cancelling: Cell::new(false),
            closed: Cell::new(false),
            busy_elsewhere: Cell::new(0),
            counter: Cell::new(0),
            exception_handler: RefCell::new(None),
            executor: RefCell::new(None),
        })
    }

    /// Calls `f` with this loop being "the loop of this thread", as [`spawn`](crate::spawn) and
    /// all other functions of this crate look for it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let guests = Guests::new(Foreign::new());
    /// let task = guests.enter(|| riata::spawn(async {}));
    /// assert!(!task.is_done() && guests.len() == 1);
    /// # }
    /// ```
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave(*const Guests);
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _leave = Leave(CURRENT.replace(self));
        f()
    }

    /// Runs a job whose turn has come.
    ///
    /// A panic in it is caught: it becomes the task's error, or is logged as asyncio logs an
    /// exception in a callback.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let host = Foreign::new();
    /// let guests = Guests::new(host.clone());
    /// let task = guests.spawn(async { 7 });
    /// while let Some(Work::Job(job)) = host.next() {
    ///     guests.run(job);
    /// }
    /// assert!(task.is_done());
    /// # }
    /// ```
    pub fn run(&self, job: Job) {
        self.enter(|| self.run_here(job));
    }

    /// Opens what another thread sent; caught as in [`run`](Self::run).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let host = Foreign::new();
    /// let guests = Guests::new(host.clone());
    /// let handle = guests.handle().clone();
    /// let sender = std::thread::spawn(move || handle.call_soon_threadsafe(|| println!("from there")));
    /// sender.join().unwrap().unwrap();
    /// for parcel in host.parcels() {
    ///     guests.open(parcel);
    /// }
    /// # }
    /// ```
    pub fn open(&self, parcel: Parcel) {
        self.enter(|| self.open_here(parcel));
    }

    /// As [`run`](Self::run), by who has entered already.
    pub(crate) fn run_here(&self, job: Job) {
        match job.0 {
            Work::Step(key) => self.step(key),
            Work::WakeTask(key) => key.wake(),
            Work::Wake(waker) => waker.wake(),
            Work::Call(callback) => callback.run(),
        }
    }

    pub(crate) fn open_here(&self, parcel: Parcel) {
        match parcel.0 {
            Content::Wake(key) => self.wake(key),
            Content::Call(call) => crate::call::guard(call),
        }
    }

    /// Drops every future, each where it stands, and refuses new ones; their tasks are
    /// cancelled. What other threads send from now on is dropped where they are.
    ///
    /// To be called before the host empties its queues: what the drops schedule is left in
    /// them.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let guests = Guests::new(Foreign::new());
    /// let task = guests.spawn(std::future::pending::<()>());
    /// guests.close();
    /// assert!(task.is_cancelled());
    /// # }
    /// ```
    pub fn close(&self) {
        self.closed.set(true);
        registry::remove(&self.handle);
        self.enter(|| {
            loop {
                let Some(task) = self.tasks.borrow_mut().pop() else {
                    break;
                };
                task.abandon();
            }
        });
        let executor = self.executor.borrow_mut().take();
        drop(executor);
    }

    /// How many tasks are not done.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let guests = Guests::new(Foreign::new());
    /// guests.spawn(async {}).detach();
    /// assert_eq!(guests.len(), 1);
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Whether every task is done.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// assert!(Guests::new(Foreign::new()).is_empty());
    /// # }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Spawns a task on this loop, also when it is not running.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let host = Foreign::new();
    /// let guests = Guests::new(host.clone());
    /// let task = guests.spawn(async { 7 });
    /// host.run_until(&guests, || task.is_done());
    /// # }
    /// ```
    pub fn spawn<F: Future + 'static>(&self, future: F) -> Task<F::Output> {
        self.counter.set(self.counter.get() + 1);
        let task = new_task(future, self.counter.get());
        if self.closed.get() {
            let task = Rc::clone(&task);
            self.enter(|| task.abandon());
        } else {
            let shared = Rc::clone(&task);
            let key = self.admit(shared);
            self.host.schedule(Job(Work::Step(key)));
        }
        Task::new(task)
    }

    /// Takes a task in, as scheduled: the caller schedules it.
    pub(crate) fn admit(&self, task: Rc<dyn Step>) -> Key {
        let shared = Rc::clone(&task);
        let key = self.tasks.borrow_mut().insert(shared);
        task.header().set_key(key);
        key
    }

    /// Ends a task's place in the table.
    pub(crate) fn dismiss(&self, key: Key) {
        let task = self.tasks.borrow_mut().remove(key);
        drop(task);
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// The loop's handle for other threads.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second_host/foreign.rs"));
    /// # fn main() {
    /// let guests = Guests::new(Foreign::new());
    /// assert!(!guests.handle().is_closed());
    /// # }
    /// ```
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The tasks that are not done, in no order.
    pub(crate) fn tasks(&self) -> Vec<Rc<dyn Step>> {
        self.tasks.borrow().iter().cloned().collect()
    }

    /// The task being stepped.
    pub(crate) fn current_task(&self) -> Option<Rc<dyn Step>> {
        self.tasks.borrow().get(self.current.get()).cloned()
    }

    /// Schedules a task, unless it is scheduled or gone.
    pub(crate) fn wake(&self, key: Key) {
        let must_schedule = self.tasks.borrow_mut().mark_scheduled(key);
        if must_schedule {
            self.host.schedule(Job(Work::Step(key)));
        }
    }

    /// Steps a task, once, unless it is gone.
    pub(crate) fn step(&self, key: Key) {
        let Some(task) = self.tasks.borrow_mut().begin_step(key) else {
            return;
        };
        let progress = self.as_current(key, || task.step(self));
        if progress.is_done() {
            self.dismiss(key);
        }
    }

    /// Calls `f`, which does not panic, with `key` being the current task.
    pub(crate) fn as_current<R>(&self, key: Key, f: impl FnOnce() -> R) -> R {
        let previous = self.current.replace(key);
        let result = f();
        self.current.set(previous);
        result
    }

    /// The task of this key, if it is not done.
    pub(crate) fn find(&self, key: Key) -> Option<Rc<dyn Step>> {
        self.tasks.borrow().get(key).cloned()
    }

    /// Whether a future is being dropped because it was cancelled.
    pub(crate) fn is_cancelling(&self) -> bool {
        self.cancelling.get()
    }

    /// Calls `f`, which drops a future that is cancelled: the tasks it awaits are cancelled too.
    pub(crate) fn cancelling<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Cell<bool>, bool);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _restore = Restore(&self.cancelling, self.cancelling.replace(true));
        f()
    }

    /// Counts one more, or one less, thread that works for this loop.
    pub(crate) fn count_busy(&self, change: isize) {
        let before = self.busy_elsewhere.get();
        let after = before.saturating_add_signed(change);
        self.busy_elsewhere.set(after);
        if (before == 0) != (after == 0) {
            self.host.set_busy_elsewhere(after != 0);
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        if !self.closed.get() {
            self.close();
        }
    }
}

impl std::fmt::Debug for Guests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guests")
            .field("tasks", &self.len())
            .finish()
    }
}

/// Calls `f` with the loop of this thread; `None` if none is running.
#[allow(unsafe_code)]
pub(crate) fn try_with<R>(f: impl FnOnce(&Guests) -> R) -> Option<R> {
    // SAFETY: R2. Not null only inside `enter`, whose caller keeps the guests borrowed.
    let guests = unsafe { CURRENT.get().as_ref() };
    guests.map(f)
}

/// Calls `f` with the loop of this thread.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Guests) -> R) -> R {
    match try_with(f) {
        Some(result) => result,
        // asyncio's words.
        None => panic!("no running event loop"),
    }
}

/// Whether a loop is running on this thread.
pub(crate) fn is_running() -> bool {
    !CURRENT.get().is_null()
}

/// Wakes a task if it belongs to the loop of this thread; says whether it does.
pub(crate) fn wake_here(key: Key) -> bool {
    try_with(|guests| {
        let is_ours = guests.handle.event_loop() == key.event_loop();
        if is_ours {
            guests.wake(key);
        }
        is_ours
    })
    .unwrap_or(false)
}
