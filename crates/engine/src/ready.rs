//! Work that can run now, in the order it came.
//!
//! A turn runs what was queued when it began and no more: work that adds work cannot
//! starve the poll. How much of the turn is left is kept here and not on the stack of
//! whoever runs it, so that a runner which is suspended half-way (a greenlet that blocks
//! inside a callback) can be replaced by another, which goes on with the same batch.

use std::collections::VecDeque;

/// A first-in, first-out queue that remembers how much of it belongs to this turn.
#[derive(Debug)]
pub struct Ready<T> {
    queue: VecDeque<T>,
    /// How many at the front belong to the batch; never more than there are.
    batch: usize,
}

impl<T> Ready<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            batch: 0,
        }
    }

    /// Adds `item` behind everything queued, for the batch after this one.
    pub fn push(&mut self, item: T) {
        self.queue.push_back(item);
    }

    /// Makes everything queued now the batch, and says how much that is.
    ///
    /// Called in the middle of a batch it takes in what was added since: so a loop that
    /// counts such work to the same turn (gevent's) extends it.
    pub fn begin_batch(&mut self) -> usize {
        self.batch = self.queue.len();
        self.batch
    }

    /// Puts everything behind the first `waiting` items at the front, in order, makes it the batch, and says how much
    /// that is. So what came last overtakes what was waiting.
    pub fn bring_forward(&mut self, waiting: usize) -> usize {
        self.batch = self.queue.len().saturating_sub(waiting);
        self.queue.rotate_right(self.batch);
        self.batch
    }

    /// The next item of the batch; `None` once it is used up.
    pub fn pop_batch(&mut self) -> Option<T> {
        self.batch = self.batch.checked_sub(1)?;
        self.queue.pop_front()
    }

    /// The first item, of whatever batch.
    pub fn first(&self) -> Option<&T> {
        self.queue.front()
    }

    /// How many items are queued, of this batch and of later ones.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many items of the batch are left.
    pub fn batch_left(&self) -> usize {
        self.batch
    }

    /// Everything queued, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.queue.iter()
    }

    /// Empties the queue, which ends the batch, and returns what was in it.
    pub fn take_all(&mut self) -> VecDeque<T> {
        self.batch = 0;
        std::mem::take(&mut self.queue)
    }

    /// Moves everything in `items` to the end of the queue, in order.
    pub fn append(&mut self, items: &mut VecDeque<T>) {
        self.queue.append(items);
    }
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_batch_adds_is_for_the_next() {
        let mut ready = Ready::new();
        ready.push(1);
        ready.push(2);
        assert_eq!(ready.pop_batch(), None);
        assert_eq!(ready.begin_batch(), 2);
        assert_eq!(ready.pop_batch(), Some(1));
        ready.push(3);
        assert_eq!(ready.pop_batch(), Some(2));
        assert_eq!(ready.pop_batch(), None);
        assert_eq!((ready.len(), ready.batch_left()), (1, 0));
    }

    #[test]
    fn beginning_again_half_way_takes_in_what_was_added() {
        let mut ready = Ready::new();
        ready.push(1);
        ready.begin_batch();
        ready.push(2);
        assert_eq!(ready.begin_batch(), 2);
        assert_eq!((ready.pop_batch(), ready.pop_batch()), (Some(1), Some(2)));
    }

    #[test]
    fn what_is_brought_forward_keeps_its_order() {
        let mut ready = Ready::new();
        for item in 1..=5 {
            ready.push(item);
        }
        ready.begin_batch();
        assert_eq!(ready.bring_forward(3), 2);
        assert_eq!((ready.pop_batch(), ready.pop_batch()), (Some(4), Some(5)));
        assert_eq!((ready.pop_batch(), ready.len()), (None, 3));
        assert_eq!((ready.bring_forward(3), ready.bring_forward(9)), (0, 0));
        ready.begin_batch();
        let rest: Vec<_> = std::iter::from_fn(|| ready.pop_batch()).collect();
        assert_eq!(rest, [1, 2, 3]);
    }

    #[derive(Clone, Debug)]
    enum Call {
        Push(u8),
        Begin,
        Pop,
        TakeAll,
    }

    fn call() -> impl Strategy<Value = Call> {
        prop_oneof![
            6 => any::<u8>().prop_map(Call::Push),
            2 => Just(Call::Begin),
            8 => Just(Call::Pop),
            1 => Just(Call::TakeAll),
        ]
    }

    proptest! {
        /// Against two queues: what is of the batch, and what came later.
        #[test]
        fn it_is_two_queues(calls in prop::collection::vec(call(), 0..80)) {
            let mut ready = Ready::new();
            let (mut batch, mut later) = (VecDeque::new(), VecDeque::new());
            for call in calls {
                match call {
                    Call::Push(item) => {
                        ready.push(item);
                        later.push_back(item);
                    }
                    Call::Begin => {
                        batch.append(&mut later);
                        prop_assert_eq!(ready.begin_batch(), batch.len());
                    }
                    Call::Pop => prop_assert_eq!(ready.pop_batch(), batch.pop_front()),
                    Call::TakeAll => {
                        batch.append(&mut later);
                        prop_assert_eq!(ready.take_all(), std::mem::take(&mut batch));
                    }
                }
                prop_assert_eq!(ready.batch_left(), batch.len());
                prop_assert!(ready.iter().eq(batch.iter().chain(&later)));
            }
        }
    }
}
