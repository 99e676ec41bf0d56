//! Queues, whatever their order: bounded, with `join`, `task_done` and `shutdown`.
//!
//! What is in a queue is counted twice: by the items that nobody has been promised, and by
//! the free places that nobody has been promised. A put with somebody waiting to get promises
//! the item to the one who has waited longest, and a get with somebody waiting to put promises
//! the place. So no item and no wake-up is lost when a waiter is dropped: the promise passes
//! on.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::event::Event;
use super::permits::{Permits, Take};

/// What keeps the items, in its order.
pub(crate) trait Store<T> {
    fn push(&mut self, item: T);
    fn pop(&mut self) -> Option<T>;
    fn len(&self) -> usize;
}

/// That a queue was shut down, and is empty.
///
/// ```
/// riata::run(async {
///     let queue: riata::Queue<u8> = riata::Queue::new(0);
///     queue.shutdown();
///     assert_eq!(queue.get().await, Err(riata::QueueShutDown));
/// });
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct QueueShutDown;

impl fmt::Display for QueueShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue was shut down")
    }
}

impl std::error::Error for QueueShutDown {}

/// Why nothing could be got without waiting.
///
/// ```
/// let queue: riata::Queue<u8> = riata::Queue::new(0);
/// assert_eq!(queue.get_nowait(), Err(riata::GetError::Empty));
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum GetError {
    /// Nothing is there, or all that is there is promised to tasks that wait.
    Empty,
    /// Nothing is there, and nothing will be.
    ShutDown,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the queue is empty"),
            Self::ShutDown => QueueShutDown.fmt(f),
        }
    }
}

impl std::error::Error for GetError {}

/// Why something could not be put, and what.
///
/// ```
/// let queue = riata::Queue::new(1);
/// queue.put_nowait('a').unwrap();
/// assert_eq!(queue.put_nowait('b'), Err(riata::PutError::Full('b')));
/// ```
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum PutError<T> {
    /// There is no room, or what there is, is promised to tasks that wait.
    Full(T),
    /// The queue was shut down.
    ShutDown(T),
}

impl<T> PutError<T> {
    /// What was to be put.
    ///
    /// ```
    /// assert_eq!(riata::PutError::Full(1).into_item(), 1);
    /// ```
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::ShutDown(item) => item,
        }
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::ShutDown(_) => "ShutDown(..)",
        })
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the queue is full"),
            Self::ShutDown(_) => QueueShutDown.fmt(f),
        }
    }
}

impl<T> std::error::Error for PutError<T> {}

/// That [`OpenQueue::task_done`] was called more often than items were put.
///
/// ```
/// let queue: riata::Queue<u8> = riata::Queue::new(0);
/// assert_eq!(queue.task_done(), Err(riata::TaskDoneTooOften));
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TaskDoneTooOften;

impl fmt::Display for TaskDoneTooOften {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // asyncio's words.
        f.write_str("task_done() called too many times")
    }
}

impl std::error::Error for TaskDoneTooOften {}

/// What [`Queue`](crate::Queue), [`LifoQueue`](crate::LifoQueue) and
/// [`PriorityQueue`](crate::PriorityQueue) have in common; each dereferences to it.
///
/// Clones are the same queue.
///
/// ```
/// fn drain(queue: &riata::OpenQueue<u8>) -> Vec<u8> {
///     std::iter::from_fn(|| queue.get_nowait().ok()).collect()
/// }
/// let queue = riata::LifoQueue::new(0);
/// queue.put_nowait(1).unwrap();
/// queue.put_nowait(2).unwrap();
/// assert_eq!(drain(&queue), [2, 1]);
/// ```
pub struct OpenQueue<T> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    store: RefCell<Box<dyn Store<T>>>,
    limit: Option<usize>,
    /// Items that are promised to nobody.
    items: Permits,
    /// Places that are promised to nobody; unused without a limit.
    places: Permits,
    unfinished: Cell<usize>,
    all_done: Event,
    is_shut_down: Cell<bool>,
}

impl<T> OpenQueue<T> {
    /// At most `limit` items, or any number if that is zero.
    pub(crate) fn with_store(store: impl Store<T> + 'static, limit: usize) -> Self {
        let all_done = Event::new();
        all_done.set();
        Self {
            shared: Rc::new(Shared {
                store: RefCell::new(Box::new(store)),
                limit: (limit > 0).then_some(limit),
                items: Permits::new(0),
                places: Permits::new(limit),
                unfinished: Cell::new(0),
                all_done,
                is_shut_down: Cell::new(false),
            }),
        }
    }

    pub(crate) fn share(&self) -> Self {
        Self {
            shared: Rc::clone(&self.shared),
        }
    }

    /// Puts an item, once there is room. Cancelled, it has put nothing.
    ///
    /// # Errors
    ///
    /// [`PutError::ShutDown`], with the item.
    ///
    /// ```
    /// riata::run(async {
    ///     let queue = riata::Queue::new(1);
    ///     queue.put('a').await.unwrap();
    ///     assert!(queue.is_full());
    /// });
    /// ```
    pub async fn put(&self, item: T) -> Result<(), PutError<T>> {
        if self.is_shut_down() {
            return Err(PutError::ShutDown(item));
        }
        if self.shared.limit.is_some() && self.shared.places.take().await.is_err() {
            return Err(PutError::ShutDown(item));
        }
        if self.is_shut_down() {
            // It was shut down after the place was promised.
            return Err(PutError::ShutDown(item));
        }
        self.add(item);
        Ok(())
    }

    /// Puts an item if there is room now.
    ///
    /// # Errors
    ///
    /// [`PutError`], with the item.
    ///
    /// ```
    /// let queue = riata::Queue::new(0);
    /// assert!(queue.put_nowait('a').is_ok());
    /// ```
    pub fn put_nowait(&self, item: T) -> Result<(), PutError<T>> {
        if self.is_shut_down() {
            return Err(PutError::ShutDown(item));
        }
        if self.shared.limit.is_some() && !self.shared.places.try_take() {
            return Err(PutError::Full(item));
        }
        self.add(item);
        Ok(())
    }

    /// Gets the next item, once there is one. Cancelled, it has got nothing.
    ///
    /// # Errors
    ///
    /// [`QueueShutDown`], once the queue is empty.
    ///
    /// ```
    /// riata::run(async {
    ///     let queue = riata::Queue::new(0);
    ///     queue.put_nowait('a').unwrap();
    ///     assert_eq!(queue.get().await, Ok('a'));
    /// });
    /// ```
    pub async fn get(&self) -> Result<T, QueueShutDown> {
        if self.shared.items.try_take() {
            return self.remove();
        }
        if self.is_shut_down() {
            return Err(QueueShutDown);
        }
        match self.shared.items.take().await {
            Ok(()) => self.remove(),
            Err(_) => Err(QueueShutDown),
        }
    }

    /// Gets the next item if there is one now.
    ///
    /// # Errors
    ///
    /// [`GetError`].
    ///
    /// ```
    /// let queue = riata::Queue::new(0);
    /// queue.put_nowait('a').unwrap();
    /// assert_eq!(queue.get_nowait(), Ok('a'));
    /// ```
    pub fn get_nowait(&self) -> Result<T, GetError> {
        if self.shared.items.try_take() {
            return self.remove().map_err(|_| GetError::ShutDown);
        }
        Err(if self.is_shut_down() {
            GetError::ShutDown
        } else {
            GetError::Empty
        })
    }

    /// Says that an item that was got has been dealt with.
    ///
    /// # Errors
    ///
    /// [`TaskDoneTooOften`].
    ///
    /// ```
    /// let queue = riata::Queue::new(0);
    /// queue.put_nowait('a').unwrap();
    /// queue.get_nowait().unwrap();
    /// assert!(queue.task_done().is_ok());
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneTooOften> {
        let left = self.shared.unfinished.get().checked_sub(1);
        let left = left.ok_or(TaskDoneTooOften)?;
        self.shared.unfinished.set(left);
        if left == 0 {
            self.shared.all_done.set();
        }
        Ok(())
    }

    /// Waits until every item that was put has been [dealt with](Self::task_done).
    ///
    /// ```
    /// riata::run(async { riata::Queue::<u8>::new(0).join().await });
    /// ```
    pub async fn join(&self) {
        self.shared.all_done.wait().await;
    }

    /// Takes no more items: who waits to put is refused, and so is who waits to get once the
    /// queue is empty.
    ///
    /// ```
    /// let queue = riata::Queue::new(0);
    /// queue.put_nowait('a').unwrap();
    /// queue.shutdown();
    /// assert_eq!(queue.get_nowait(), Ok('a'));
    /// assert_eq!(queue.get_nowait(), Err(riata::GetError::ShutDown));
    /// ```
    pub fn shutdown(&self) {
        self.shared.is_shut_down.set(true);
        // Where anybody waits to get, nothing is there.
        self.shared.items.refuse_all();
        self.shared.places.refuse_all();
    }

    /// As [`shutdown`](Self::shutdown), and empties the queue; what was in it counts as dealt
    /// with, and is returned.
    ///
    /// ```
    /// let queue = riata::Queue::new(0);
    /// queue.put_nowait('a').unwrap();
    /// assert_eq!(queue.shutdown_now(), ['a']);
    /// assert_eq!(queue.get_nowait(), Err(riata::GetError::ShutDown));
    /// ```
    pub fn shutdown_now(&self) -> Vec<T> {
        self.shutdown();
        self.shared.items.take_all();
        let mut items = Vec::new();
        loop {
            let item = self.shared.store.borrow_mut().pop();
            let Some(item) = item else {
                return items;
            };
            items.push(item);
            // All that was put and not dealt with is counted, so this is never too often.
            let _ = self.task_done();
        }
    }

    /// Whether the queue was shut down.
    ///
    /// ```
    /// assert!(!riata::Queue::<u8>::new(0).is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.shared.is_shut_down.get()
    }

    /// How many items are in the queue.
    ///
    /// ```
    /// assert_eq!(riata::Queue::<u8>::new(0).len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.store.borrow().len()
    }

    /// Whether nothing is in the queue.
    ///
    /// ```
    /// assert!(riata::Queue::<u8>::new(0).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room.
    ///
    /// ```
    /// assert!(!riata::Queue::<u8>::new(0).is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.shared.limit.is_some_and(|limit| self.len() >= limit)
    }

    /// How many items there may be; `None`: any number.
    ///
    /// ```
    /// assert_eq!(riata::Queue::<u8>::new(3).limit(), Some(3));
    /// ```
    pub fn limit(&self) -> Option<usize> {
        self.shared.limit
    }

    /// How many items were put and not [dealt with](Self::task_done).
    ///
    /// ```
    /// assert_eq!(riata::Queue::<u8>::new(3).unfinished(), 0);
    /// ```
    pub fn unfinished(&self) -> usize {
        self.shared.unfinished.get()
    }

    /// The items as a stream, which ends when the queue is shut down and empty.
    ///
    /// ```
    /// riata::run(async {
    ///     let queue = riata::Queue::new(0);
    ///     queue.put_nowait('a').unwrap();
    ///     queue.shutdown();
    ///     let mut items = queue.items();
    ///     assert_eq!(items.next().await, Some('a'));
    ///     assert_eq!(items.next().await, None);
    /// });
    /// ```
    pub fn items(&self) -> Items<'_, T> {
        Items {
            queue: self,
            take: None,
        }
    }

    /// Adds an item, for which there is room.
    fn add(&self, item: T) {
        self.shared.store.borrow_mut().push(item);
        self.shared.unfinished.set(self.shared.unfinished.get() + 1);
        self.shared.all_done.clear();
        self.shared.items.give();
    }

    /// Removes an item that was promised; only `shutdown_now` breaks a promise.
    fn remove(&self) -> Result<T, QueueShutDown> {
        let item = self.shared.store.borrow_mut().pop();
        if self.shared.limit.is_some() && item.is_some() {
            self.shared.places.give();
        }
        item.ok_or(QueueShutDown)
    }
}

impl<T> fmt::Debug for OpenQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("limit", &self.limit())
            .field("getters", &self.shared.items.waiting())
            .field("putters", &self.shared.places.waiting())
            .field("unfinished", &self.unfinished())
            .finish()
    }
}

/// What [`OpenQueue::items`] gives. An item that was not polled for stays in the queue.
///
/// ```
/// let queue: riata::Queue<u8> = riata::Queue::new(0);
/// let items: riata::Items<'_, u8> = queue.items();
/// # drop(items);
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Items<'a, T> {
    queue: &'a OpenQueue<T>,
    take: Option<Take<'a>>,
}

impl<T> Items<'_, T> {
    /// The next item; `None` at the end.
    ///
    /// ```
    /// riata::run(async {
    ///     let queue: riata::Queue<u8> = riata::Queue::new(0);
    ///     queue.shutdown();
    ///     assert_eq!(queue.items().next().await, None);
    /// });
    /// ```
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<T> Stream for Items<'_, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let shared = &this.queue.shared;
        if this.take.is_none() && this.queue.is_shut_down() && !shared.items.try_take() {
            return Poll::Ready(None);
        } else if this.take.is_none() && this.queue.is_shut_down() {
            return Poll::Ready(this.queue.remove().ok());
        }
        let take = this.take.get_or_insert_with(|| shared.items.take());
        let Poll::Ready(taken) = Pin::new(take).poll(context) else {
            return Poll::Pending;
        };
        this.take = None;
        Poll::Ready(taken.ok().and_then(|()| this.queue.remove().ok()))
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Items").field(self.queue).finish()
    }
}
