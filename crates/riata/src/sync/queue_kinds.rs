//! The three orders of queues.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::ops::Deref;

use super::queue::{OpenQueue, Store};

struct Fifo<T>(VecDeque<T>);

impl<T> Store<T> for Fifo<T> {
    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

struct Lifo<T>(Vec<T>);

impl<T> Store<T> for Lifo<T> {
    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// An item and the how-manieth it is, which makes the order total.
struct Numbered<T>(T, u64);

impl<T: Ord> Ord for Numbered<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.0, self.1).cmp(&(&other.0, other.1))
    }
}

impl<T: Ord> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Numbered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Numbered<T> {}

struct Priority<T: Ord> {
    heap: BinaryHeap<Reverse<Numbered<T>>>,
    count: u64,
}

impl<T: Ord> Store<T> for Priority<T> {
    fn push(&mut self, item: T) {
        self.heap.push(Reverse(Numbered(item, self.count)));
        self.count += 1;
    }

    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Reverse(Numbered(item, _))| item)
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}

/// Items come out in the order they went in. Clones are the same queue.
///
/// ```
/// riata::run(async {
///     let queue = riata::Queue::new(0);
///     let shared = queue.clone();
///     let task = riata::spawn(async move { shared.get().await });
///     queue.put(1).await.unwrap();
///     queue.put(2).await.unwrap();
///     assert_eq!(task.await.unwrap(), Ok(1));
/// });
/// ```
///
/// The rest is in [`OpenQueue`].
pub struct Queue<T>(OpenQueue<T>);

impl<T: 'static> Queue<T> {
    /// A queue for at most `limit` items, or any number if that is zero.
    ///
    /// ```
    /// let queue: riata::Queue<u8> = riata::Queue::new(2);
    /// assert_eq!(queue.limit(), Some(2));
    /// ```
    pub fn new(limit: usize) -> Self {
        Self(OpenQueue::with_store(Fifo(VecDeque::new()), limit))
    }
}

impl<T> Deref for Queue<T> {
    type Target = OpenQueue<T>;

    fn deref(&self) -> &OpenQueue<T> {
        &self.0
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.share())
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What went in last comes out first. Clones are the same queue.
///
/// ```
/// riata::run(async {
///     let queue = riata::LifoQueue::new(0);
///     let shared = queue.clone();
///     let task = riata::spawn(async move { shared.get().await });
///     queue.put(1).await.unwrap();
///     queue.put(2).await.unwrap();
///     assert_eq!(task.await.unwrap(), Ok(2));
/// });
/// ```
///
/// The rest is in [`OpenQueue`].
pub struct LifoQueue<T>(OpenQueue<T>);

impl<T: 'static> LifoQueue<T> {
    /// A queue for at most `limit` items, or any number if that is zero.
    ///
    /// ```
    /// let queue: riata::LifoQueue<u8> = riata::LifoQueue::new(2);
    /// assert_eq!(queue.limit(), Some(2));
    /// ```
    pub fn new(limit: usize) -> Self {
        Self(OpenQueue::with_store(Lifo(Vec::new()), limit))
    }
}

impl<T> Deref for LifoQueue<T> {
    type Target = OpenQueue<T>;

    fn deref(&self) -> &OpenQueue<T> {
        &self.0
    }
}

impl<T> Clone for LifoQueue<T> {
    fn clone(&self) -> Self {
        Self(self.0.share())
    }
}

impl<T> fmt::Debug for LifoQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is smallest comes out first, of equals what went in first. Clones are the same queue.
///
/// ```
/// riata::run(async {
///     let queue = riata::PriorityQueue::new(0);
///     let shared = queue.clone();
///     let task = riata::spawn(async move { shared.get().await });
///     queue.put(1).await.unwrap();
///     queue.put(2).await.unwrap();
///     assert_eq!(task.await.unwrap(), Ok(1));
/// });
/// ```
///
/// The rest is in [`OpenQueue`].
pub struct PriorityQueue<T>(OpenQueue<T>);

impl<T: Ord + 'static> PriorityQueue<T> {
    /// A queue for at most `limit` items, or any number if that is zero.
    ///
    /// ```
    /// let queue: riata::PriorityQueue<u8> = riata::PriorityQueue::new(2);
    /// assert_eq!(queue.limit(), Some(2));
    /// ```
    pub fn new(limit: usize) -> Self {
        Self(OpenQueue::with_store(
            Priority {
                heap: BinaryHeap::new(),
                count: 0,
            },
            limit,
        ))
    }
}

impl<T> Deref for PriorityQueue<T> {
    type Target = OpenQueue<T>;

    fn deref(&self) -> &OpenQueue<T> {
        &self.0
    }
}

impl<T> Clone for PriorityQueue<T> {
    fn clone(&self) -> Self {
        Self(self.0.share())
    }
}

impl<T> fmt::Debug for PriorityQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
