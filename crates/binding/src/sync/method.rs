//! The coroutine methods of locks and queues, and how they get into their classes.

use pyo3::prelude::*;

use super::condition::{self, Condition};
use super::event::{self, Event};
use super::lock::{self, Lock};
use super::queue::Queue;
use super::queue::calls::{Get, Join, Next, Put};
use super::semaphore::{self, Semaphore};
use super::step::{Entering, Plain, Step};
use crate::combine::body::Kind;
use crate::combine::function::CoroutineFunction;
use crate::combine::waits::Call;

/// A coroutine method of a lock or a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `Lock.acquire`
    LockAcquire,
    /// `Semaphore.acquire`
    SemaphoreAcquire,
    /// `Event.wait`
    EventWait,
    /// `Condition.wait`
    ConditionWait,
    /// `Condition.wait_for`
    ConditionWaitFor,
    /// `__aenter__` of locks, conditions and semaphores
    Enter,
    /// `__aexit__` of locks, conditions and semaphores
    Exit,
    /// `Queue.get`
    QueueGet,
    /// `Queue.put`
    QueuePut,
    /// `Queue.join`
    QueueJoin,
    /// `Queue.__anext__`
    QueueNext,
}

/// All of them.
pub const METHODS: [Method; 11] = [
    Method::LockAcquire,
    Method::SemaphoreAcquire,
    Method::EventWait,
    Method::ConditionWait,
    Method::ConditionWaitFor,
    Method::Enter,
    Method::Exit,
    Method::QueueGet,
    Method::QueuePut,
    Method::QueueJoin,
    Method::QueueNext,
];

impl Method {
    /// asyncio's own method: the module, and the name there.
    pub fn original(self) -> (&'static str, &'static str) {
        match self {
            Self::LockAcquire => ("asyncio.locks", "Lock.acquire"),
            Self::SemaphoreAcquire => ("asyncio.locks", "Semaphore.acquire"),
            Self::EventWait => ("asyncio.locks", "Event.wait"),
            Self::ConditionWait => ("asyncio.locks", "Condition.wait"),
            Self::ConditionWaitFor => ("asyncio.locks", "Condition.wait_for"),
            Self::Enter => ("asyncio.locks", "_ContextManagerMixin.__aenter__"),
            Self::Exit => ("asyncio.locks", "_ContextManagerMixin.__aexit__"),
            // asyncio's queues cannot be iterated: `get` is the nearest.
            Self::QueueGet | Self::QueueNext => ("asyncio.queues", "Queue.get"),
            Self::QueuePut => ("asyncio.queues", "Queue.put"),
            Self::QueueJoin => ("asyncio.queues", "Queue.join"),
        }
    }

    /// `__qualname__`
    pub fn qualname(self) -> &'static str {
        self.original().1
    }

    /// How many arguments it needs, `self` among them.
    pub fn parameters(self) -> usize {
        match self {
            Self::QueuePut | Self::ConditionWaitFor => 2,
            Self::Exit => 4,
            _ => 1,
        }
    }

    /// What it does for `owner`; None when that is of another class.
    pub fn step(self, owner: &Bound<'_, PyAny>, item: Option<&Bound<'_, PyAny>>) -> Option<Step> {
        match self {
            Self::LockAcquire => {
                let lock = owner.cast::<lock::Lock>().ok()?;
                Some(Step::Lock(Call::new(lock, lock::Acquire { result: true })))
            }
            Self::SemaphoreAcquire => {
                let semaphore = owner.cast::<Semaphore>().ok()?;
                Some(Step::Semaphore(Call::new(
                    semaphore,
                    semaphore::Acquire { result: true },
                )))
            }
            Self::EventWait => {
                let event = owner.cast::<event::Event>().ok()?;
                Some(Step::Event(Call::new(event, event::Wait)))
            }
            Self::ConditionWait => {
                let condition = owner.cast::<Condition>().ok()?;
                Some(Step::Condition(condition::Wait::of(condition)))
            }
            Self::ConditionWaitFor => {
                let condition = owner.cast::<Condition>().ok()?;
                Some(Step::WaitFor(condition::WaitFor::of(condition, item?)))
            }
            Self::Enter => Some(match Plain::of(owner) {
                Plain::Lock(lock) => Step::Lock(Call::new(&lock, lock::Acquire { result: false })),
                Plain::Semaphore(semaphore) => {
                    Step::Semaphore(Call::new(&semaphore, semaphore::Acquire { result: false }))
                }
                Plain::Neither => Step::Entering(Entering::Created(owner.clone().unbind())),
            }),
            Self::Exit => Some(Step::Exiting(owner.clone().unbind())),
            Self::QueueGet => Some(Step::Get(Call::new(owner.cast::<Queue>().ok()?, Get))),
            Self::QueuePut => {
                let put = Put::of(item?);
                Some(Step::Put(Call::new(owner.cast::<Queue>().ok()?, put)))
            }
            Self::QueueJoin => Some(Step::Join(Call::new(owner.cast::<Queue>().ok()?, Join))),
            Self::QueueNext => Some(Step::Next(Call::new(owner.cast::<Queue>().ok()?, Next))),
        }
    }
}

/// Puts the methods into their classes. Called once, while the module is made.
///
/// # Errors
/// AttributeError when asyncio has no such method.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let (lock, semaphore) = (py.get_type::<Lock>(), py.get_type::<Semaphore>());
    let condition = py.get_type::<Condition>();
    let (event, queue) = (py.get_type::<Event>(), py.get_type::<Queue>());
    for (class, name, method) in [
        (&lock, "acquire", Method::LockAcquire),
        (&lock, "__aenter__", Method::Enter),
        (&lock, "__aexit__", Method::Exit),
        (&semaphore, "acquire", Method::SemaphoreAcquire),
        (&semaphore, "__aenter__", Method::Enter),
        (&semaphore, "__aexit__", Method::Exit),
        (&event, "wait", Method::EventWait),
        (&condition, "wait", Method::ConditionWait),
        (&condition, "wait_for", Method::ConditionWaitFor),
        (&condition, "__aenter__", Method::Enter),
        (&condition, "__aexit__", Method::Exit),
        (&queue, "get", Method::QueueGet),
        (&queue, "put", Method::QueuePut),
        (&queue, "join", Method::QueueJoin),
        (&queue, "__anext__", Method::QueueNext),
    ] {
        let function = CoroutineFunction::create(py, Kind::Method(method))?;
        function.setattr("__name__", name)?;
        class.as_any().setattr(name, function)?;
    }
    Ok(())
}
