//! Random programs of tasks that spawn, sleep, cancel and await each other, drop handles and
//! futures that wait, and share a queue and a lock, under the virtual clock, beside a naive model of the loop: the same polls at the same
//! times in the same order, the same results, nothing lost.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use proptest::prelude::*;
use riata::{Lock, Queue, Runtime, Task};

const TASKS: usize = 6;
const LIMIT: usize = 2;

#[derive(Clone, Debug)]
enum Op {
    Yield,
    Sleep(u64),
    Put(u8),
    Get,
    /// Holds the lock for so long.
    Lock(u64),
    /// Waits so long for an item, then drops what waits.
    GetWithin(u64),
    PutWithin(u64, u8),
    LockWithin(u64),
    Cancel(usize),
    Join(usize),
    DropHandle(usize),
    Spawn(usize),
}

type Entry = (u64, usize, String);

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Yield),
        3 => (0..4u64).prop_map(Op::Sleep),
        4 => any::<u8>().prop_map(Op::Put),
        4 => Just(Op::Get),
        4 => (0..3u64).prop_map(Op::Lock),
        2 => (0..3u64).prop_map(Op::GetWithin),
        2 => (0..3u64, any::<u8>()).prop_map(|(span, item)| Op::PutWithin(span, item)),
        2 => (0..3u64).prop_map(Op::LockWithin),
        3 => (0..TASKS).prop_map(Op::Cancel),
        2 => (0..TASKS).prop_map(Op::Join),
        1 => (0..TASKS).prop_map(Op::DropHandle),
        2 => (0..TASKS).prop_map(Op::Spawn),
    ]
}

fn program() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..8), TASKS)
}

// The real thing.

struct World {
    scripts: Vec<Vec<Op>>,
    log: RefCell<Vec<Entry>>,
    queue: Queue<u8>,
    lock: Lock<()>,
    handles: RefCell<Vec<Option<Task<()>>>>,
    spawned: RefCell<Vec<bool>>,
}

impl World {
    fn note(&self, task: usize, text: impl Into<String>) {
        let now = riata::time().as_nanos() / 1_000_000;
        self.log.borrow_mut().push((now, task, text.into()));
    }

    fn spawn(self: &Rc<Self>, task: usize) {
        if std::mem::replace(&mut self.spawned.borrow_mut()[task], true) {
            return;
        }
        let world = Rc::clone(self);
        let script = async move {
            for op in &world.scripts[task] {
                world.perform(task, op).await;
            }
        };
        let handle = riata::spawn(Logged {
            inner: Box::pin(script),
            task,
            world: Rc::clone(self),
        });
        self.handles.borrow_mut()[task] = Some(handle);
    }

    async fn perform(self: &Rc<Self>, task: usize, op: &Op) {
        match *op {
            Op::Yield => riata::yield_now().await,
            Op::Sleep(span) => riata::sleep(Duration::from_millis(span)).await,
            Op::Put(item) => {
                self.queue.put(item).await.unwrap();
                self.note(task, format!("put {item}"));
            }
            Op::Get => {
                let item = self.queue.get().await.unwrap();
                self.note(task, format!("got {item}"));
            }
            Op::Lock(span) => {
                let _guard = self.lock.acquire().await;
                self.note(task, "locked");
                riata::sleep(Duration::from_millis(span)).await;
            }
            Op::GetWithin(span) => {
                match riata::timeout(Duration::from_millis(span), self.queue.get()).await {
                    Ok(item) => self.note(task, format!("got {}", item.unwrap())),
                    Err(_) => self.note(task, "got nothing"),
                }
            }
            Op::PutWithin(span, item) => {
                match riata::timeout(Duration::from_millis(span), self.queue.put(item)).await {
                    Ok(put) => self.note(task, format!("put {item}: {put:?}")),
                    Err(_) => self.note(task, "put nothing"),
                }
            }
            Op::LockWithin(span) => {
                let locked = riata::timeout(Duration::from_millis(span), self.lock.acquire());
                let was_locked = locked.await.is_ok();
                self.note(task, format!("locked in time: {was_locked}"));
            }
            Op::Join(other) => {
                let handle = match other == task {
                    true => None,
                    false => self.handles.borrow_mut()[other].take(),
                };
                if let Some(handle) = handle {
                    let ended = handle.await.is_ok();
                    self.note(task, format!("joined {other}: {ended}"));
                }
            }
            Op::Cancel(other) => {
                let asked = self.handles.borrow()[other].as_ref().map(Task::cancel);
                self.note(task, format!("cancel {other}: {asked:?}"));
            }
            Op::DropHandle(other) => {
                let handle = self.handles.borrow_mut()[other].take();
                drop(handle);
            }
            Op::Spawn(other) => self.spawn(other),
        }
    }
}

struct Logged {
    inner: Pin<Box<dyn Future<Output = ()>>>,
    task: usize,
    world: Rc<World>,
}

impl Future for Logged {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.world.note(self.task, "poll");
        self.inner.as_mut().poll(context)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.world.note(self.task, "end");
    }
}

fn run_really(scripts: &[Vec<Op>]) -> (Vec<Entry>, usize, bool) {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    let world = Rc::new(World {
        scripts: scripts.to_vec(),
        log: RefCell::default(),
        queue: Queue::new(LIMIT),
        lock: Lock::new(()),
        handles: RefCell::new((0..TASKS).map(|_| None).collect()),
        spawned: RefCell::new(vec![false; TASKS]),
    });
    let outcome = runtime.run(async {
        for task in 0..TASKS / 2 {
            world.spawn(task);
        }
        riata::sleep(Duration::from_secs(1000)).await;
        let log = world.log.take();
        (log, world.queue.len(), world.lock.is_locked())
    });
    runtime.close().unwrap();
    world.handles.borrow_mut().clear();
    assert_eq!(Rc::strong_count(&world), 1, "a task outlived its loop");
    assert!(!world.lock.is_locked());
    outcome
}

// The model.

#[derive(Clone, Copy, PartialEq, Debug)]
enum Thing {
    Items,
    Places,
    Lock,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Waits {
    No,
    Turn,
    Timer,
    For(Thing),
    ForEnd(usize),
}

/// What ends a wait that is for so long only.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Limit {
    No,
    Turn,
    Timer,
}

/// What became of such a wait.
enum Within {
    Taken,
    TimedOut,
    Pending,
}

#[derive(Default, Clone)]
struct Line {
    free: usize,
    waiting: VecDeque<usize>,
}

#[derive(Clone)]
struct Sim {
    spawned: bool,
    has_handle: bool,
    done: bool,
    scheduled: bool,
    cancel_asked: bool,
    at: usize,
    waits: Waits,
    limit: Limit,
    served: bool,
    was_cancelled: bool,
    holds_lock: bool,
}

struct Model {
    scripts: Vec<Vec<Op>>,
    tasks: Vec<Sim>,
    ready: VecDeque<usize>,
    timers: Vec<(u64, u64, usize)>,
    sequence: u64,
    now: u64,
    lines: [Line; 3],
    items: VecDeque<u8>,
    log: Vec<Entry>,
}

impl Model {
    fn line(&mut self, thing: Thing) -> &mut Line {
        &mut self.lines[thing as usize]
    }

    fn note(&mut self, task: usize, text: impl Into<String>) {
        self.log.push((self.now, task, text.into()));
    }

    fn wake(&mut self, task: usize) {
        if !self.tasks[task].done && !std::mem::replace(&mut self.tasks[task].scheduled, true) {
            self.ready.push_back(task);
        }
    }

    fn give(&mut self, thing: Thing) {
        match self.line(thing).waiting.pop_front() {
            Some(task) => {
                self.tasks[task].served = true;
                self.wake(task);
            }
            None => self.line(thing).free += 1,
        }
    }

    /// Whether the task has it, now or by what it was served.
    fn take(&mut self, task: usize, thing: Thing) -> bool {
        if self.tasks[task].waits == Waits::For(thing) {
            if self.tasks[task].served {
                self.tasks[task].served = false;
                self.tasks[task].waits = Waits::No;
                return true;
            }
            return false;
        }
        if self.line(thing).free > 0 {
            self.line(thing).free -= 1;
            return true;
        }
        self.line(thing).waiting.push_back(task);
        self.tasks[task].waits = Waits::For(thing);
        false
    }

    /// As `take`, for so long.
    fn take_within(&mut self, task: usize, thing: Thing, span: u64) -> Within {
        if self.take(task, thing) {
            self.timers.retain(|it| it.2 != task);
            self.tasks[task].limit = Limit::No;
            return Within::Taken;
        }
        let is_over = match self.tasks[task].limit {
            Limit::No if span == 0 => {
                self.tasks[task].limit = Limit::Turn;
                self.wake(task);
                false
            }
            Limit::No => {
                self.tasks[task].limit = Limit::Timer;
                self.sequence += 1;
                self.timers.push((self.now + span, self.sequence, task));
                false
            }
            Limit::Turn => true,
            Limit::Timer => !self.timers.iter().any(|it| it.2 == task),
        };
        if !is_over {
            return Within::Pending;
        }
        self.line(thing).waiting.retain(|&it| it != task);
        self.tasks[task].waits = Waits::No;
        self.tasks[task].limit = Limit::No;
        Within::TimedOut
    }

    fn cancel(&mut self, task: usize) -> bool {
        let is_alive = !self.tasks[task].done;
        if is_alive {
            self.tasks[task].cancel_asked = true;
            self.wake(task);
        }
        is_alive
    }

    fn spawn(&mut self, task: usize) {
        if !self.tasks[task].spawned {
            self.tasks[task].spawned = true;
            self.tasks[task].has_handle = true;
            self.wake(task);
        }
    }

    /// Whether sleeping is over.
    fn sleep(&mut self, task: usize, span: u64) -> bool {
        match self.tasks[task].waits {
            Waits::Turn => {
                self.tasks[task].waits = Waits::No;
                true
            }
            Waits::Timer => {
                let pending = self.timers.iter().any(|it| it.2 == task);
                if !pending {
                    self.tasks[task].waits = Waits::No;
                }
                !pending
            }
            _ if span == 0 => {
                self.tasks[task].waits = Waits::Turn;
                self.wake(task);
                false
            }
            _ => {
                self.tasks[task].waits = Waits::Timer;
                self.sequence += 1;
                self.timers.push((self.now + span, self.sequence, task));
                false
            }
        }
    }

    fn release(&mut self, task: usize) {
        if std::mem::take(&mut self.tasks[task].holds_lock) {
            self.give(Thing::Lock);
        }
    }

    fn end(&mut self, task: usize) {
        if let Waits::For(thing) = self.tasks[task].waits {
            if std::mem::take(&mut self.tasks[task].served) {
                self.give(thing);
            } else {
                self.line(thing).waiting.retain(|&it| it != task);
            }
        }
        self.timers.retain(|it| it.2 != task);
        self.tasks[task].done = true;
        self.tasks[task].was_cancelled = self.tasks[task].cancel_asked;
        self.release(task);
        self.note(task, "end");
        if let Waits::ForEnd(other) = self.tasks[task].waits {
            self.cancel(other);
        }
        let joiner = |it: &Sim| it.waits == Waits::ForEnd(task) && !it.done;
        if let Some(joiner) = self.tasks.iter().position(joiner) {
            self.wake(joiner);
        }
    }

    fn step(&mut self, task: usize) {
        self.tasks[task].scheduled = false;
        if self.tasks[task].done {
            return;
        }
        if self.tasks[task].cancel_asked {
            return self.end(task);
        }
        self.note(task, "poll");
        while let Some(op) = self.scripts[task].get(self.tasks[task].at).cloned() {
            let goes_on = match op {
                Op::Yield => self.sleep(task, 0),
                Op::Sleep(span) => self.sleep(task, span),
                Op::Put(item) => {
                    let taken = self.take(task, Thing::Places);
                    if taken {
                        self.items.push_back(item);
                        self.give(Thing::Items);
                        self.note(task, format!("put {item}"));
                    }
                    taken
                }
                Op::Get => {
                    let taken = self.take(task, Thing::Items);
                    if taken {
                        let item = self.items.pop_front().unwrap();
                        self.give(Thing::Places);
                        self.note(task, format!("got {item}"));
                    }
                    taken
                }
                Op::Lock(span) => {
                    if !self.tasks[task].holds_lock {
                        if !self.take(task, Thing::Lock) {
                            return;
                        }
                        self.tasks[task].holds_lock = true;
                        self.note(task, "locked");
                    }
                    let over = self.sleep(task, span);
                    if over {
                        self.release(task);
                    }
                    over
                }
                Op::GetWithin(span) => match self.take_within(task, Thing::Items, span) {
                    Within::Pending => false,
                    Within::TimedOut => {
                        self.note(task, "got nothing");
                        true
                    }
                    Within::Taken => {
                        let item = self.items.pop_front().unwrap();
                        self.give(Thing::Places);
                        self.note(task, format!("got {item}"));
                        true
                    }
                },
                Op::PutWithin(span, item) => match self.take_within(task, Thing::Places, span) {
                    Within::Pending => false,
                    Within::TimedOut => {
                        self.note(task, "put nothing");
                        true
                    }
                    Within::Taken => {
                        self.items.push_back(item);
                        self.give(Thing::Items);
                        self.note(task, format!("put {item}: Ok(())"));
                        true
                    }
                },
                Op::LockWithin(span) => match self.take_within(task, Thing::Lock, span) {
                    Within::Pending => false,
                    Within::TimedOut => {
                        self.note(task, "locked in time: false");
                        true
                    }
                    Within::Taken => {
                        self.give(Thing::Lock);
                        self.note(task, "locked in time: true");
                        true
                    }
                },
                Op::Join(other) => {
                    let joins = self.tasks[task].waits == Waits::ForEnd(other);
                    if !joins && (other == task || !self.tasks[other].has_handle) {
                        true
                    } else {
                        self.tasks[other].has_handle = false;
                        self.tasks[task].waits = Waits::ForEnd(other);
                        let is_over = self.tasks[other].done;
                        if is_over {
                            self.tasks[task].waits = Waits::No;
                            let ended = !self.tasks[other].was_cancelled;
                            self.note(task, format!("joined {other}: {ended}"));
                        }
                        is_over
                    }
                }
                Op::Cancel(other) => {
                    let asked = match self.tasks[other].has_handle {
                        true => Some(self.cancel(other)),
                        false => None,
                    };
                    self.note(task, format!("cancel {other}: {asked:?}"));
                    true
                }
                Op::DropHandle(other) => {
                    self.tasks[other].has_handle = false;
                    true
                }
                Op::Spawn(other) => {
                    self.spawn(other);
                    true
                }
            };
            if !goes_on {
                return;
            }
            self.tasks[task].at += 1;
        }
        self.end(task);
    }
}

fn run_model(scripts: &[Vec<Op>]) -> (Vec<Entry>, usize, bool) {
    let task = Sim {
        spawned: false,
        has_handle: false,
        done: false,
        scheduled: false,
        cancel_asked: false,
        at: 0,
        waits: Waits::No,
        limit: Limit::No,
        served: false,
        was_cancelled: false,
        holds_lock: false,
    };
    let mut model = Model {
        scripts: scripts.to_vec(),
        tasks: vec![task; TASKS],
        ready: VecDeque::new(),
        timers: Vec::new(),
        sequence: 0,
        now: 0,
        lines: Default::default(),
        items: VecDeque::new(),
        log: Vec::new(),
    };
    model.line(Thing::Places).free = LIMIT;
    model.line(Thing::Lock).free = 1;
    (0..TASKS / 2).for_each(|task| model.spawn(task));
    loop {
        while let Some(task) = model.ready.pop_front() {
            model.step(task);
        }
        let Some(&(deadline, ..)) = model.timers.iter().min() else {
            break;
        };
        model.now = deadline;
        model.timers.sort_unstable();
        while let Some(&(due, _, task)) = model.timers.first()
            && due <= deadline
        {
            model.timers.remove(0);
            model.wake(task);
        }
    }
    let is_locked = model.tasks.iter().any(|it| it.holds_lock);
    (model.log, model.items.len(), is_locked)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(1000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_loop_does_what_the_model_does(scripts in program()) {
        prop_assert_eq!(run_really(&scripts), run_model(&scripts));
    }
}
