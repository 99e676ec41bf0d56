//! Deadlines for `call_later` and `call_at`.
//!
//! Time is an argument: nothing here reads a clock, so tests own it. Equal deadlines fire
//! in insertion order; asyncio promises none, FIFO is ours.
//!
//! A heap of deadlines points at slots that hold the payloads, and each slot knows its
//! place in the heap. So cancelling removes the timer there and then and gives its payload
//! back: a program that starts and cancels a timeout a request keeps no memory for it
//! (CPython's loop keeps cancelled handles until half of the heap is such).

use std::num::NonZeroU32;

use crate::clock::Nanos;

/// Children of a heap node. Measured with `benches/timers.rs` at 2, 4 and 8: at a thousand
/// timers, starting and cancelling one took 25, 15 and 14 ns, firing one and starting the
/// next 135, 92 and 95 ns; with more timers than fit the cache they are alike.
const ARITY: usize = 4;

/// Names one timer, once: after the timer has fired or was removed the key names nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub struct TimerKey {
    index: u32,
    /// Never 0, so that a key that may be missing takes no more room than a key.
    generation: NonZeroU32,
}

/// A node of the heap, 16 bytes; ordered by its first two fields.
#[derive(Copy, Clone, Debug)]
struct Node {
    deadline: Nanos,
    /// Counts insertions: the second key, which makes every order total. Given anew when the numbers are used up.
    sequence: u32,
    slot: u32,
}

impl Node {
    fn is_before(&self, other: &Self) -> bool {
        (self.deadline, self.sequence) < (other.deadline, other.sequence)
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: NonZeroU32,
    /// The node's index in the heap while `payload` is there.
    position: u32,
    payload: Option<T>,
}

/// Timers, each with a deadline and a payload.
#[derive(Debug)]
pub struct Timers<T> {
    heap: Vec<Node>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// The next node's.
    sequence: u32,
}

impl<T> Timers<T> {
    /// No timers.
    pub const fn new() -> Self {
        Self {
            heap: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            sequence: 0,
        }
    }

    /// Adds a timer that is due once the clock shows `deadline`. O(log n).
    ///
    /// # Panics
    ///
    /// At 2^32 timers at once, which is more than 200 GB of them.
    pub fn insert(&mut self, deadline: Nanos, payload: T) -> TimerKey {
        let position = self.heap.len();
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize].payload = Some(payload);
                index
            }
            None => {
                assert!(self.slots.len() < u32::MAX as usize, "too many timers");
                let index = self.slots.len() as u32;
                self.slots.push(Slot {
                    generation: NonZeroU32::MIN,
                    position: 0,
                    payload: Some(payload),
                });
                index
            }
        };
        if self.sequence == u32::MAX {
            self.renumber();
        }
        self.heap.push(Node {
            deadline,
            sequence: self.sequence,
            slot: index,
        });
        self.sequence += 1;
        self.rise(position);
        TimerKey {
            index,
            generation: self.slots[index as usize].generation,
        }
    }

    /// Removes the timer of `key` and returns its payload; a stale key removes nothing.
    /// O(log n).
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation != key.generation || slot.payload.is_none() {
            return None;
        }
        self.remove_at(slot.position as usize)
    }

    /// The earliest deadline. O(1).
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.heap.first().map(|node| node.deadline)
    }

    /// The deadline of the timer after the earliest. O(1).
    pub fn second_deadline(&self) -> Option<Nanos> {
        let children = self.heap.iter().skip(1).take(ARITY);
        children.map(|node| node.deadline).min()
    }

    /// Removes the earliest timer if it is due at `now`, and returns its payload.
    ///
    /// Called again and again it gives all that is due, in (deadline, insertion) order. To be
    /// emptied into [`Ready`](crate::Ready) before any of it runs: a callback that starts a
    /// timer at or before `now` would otherwise be due in the same breath, for ever.
    pub fn pop_due(&mut self, now: Nanos) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        self.remove_at(0)
    }

    /// Whether so much is due at `now` that `take_due` is worth its while. O(1).
    pub fn much_is_due(&self, now: Nanos) -> bool {
        let first = self.heap.get(..=ARITY);
        first.is_some_and(|nodes| nodes.iter().all(|node| node.deadline <= now))
    }

    /// Removes all that is due at `now`, and returns the payloads in (deadline, insertion) order: what `pop_due` gives
    /// when it is called again and again.
    ///
    /// Where much is due it is sorted at once, and what is left made a heap again; a heap of timers that were started in
    /// the order of their deadlines is sorted already.
    pub fn take_due(&mut self, now: Nanos) -> Vec<T> {
        let due = self.count_due(now);
        if due < self.heap.len() / ARITY {
            return std::iter::from_fn(|| self.pop_due(now)).collect();
        }
        let mut nodes = std::mem::take(&mut self.heap);
        let (mut taken, mut left) = (Vec::with_capacity(due), Vec::new());
        for node in nodes.drain(..) {
            match node.deadline <= now {
                true => taken.push(node),
                false => left.push(node),
            }
        }
        nodes.append(&mut left);
        self.heap = nodes;
        self.make_heap();
        taken.sort_unstable_by_key(|node| (node.deadline, node.sequence));
        let mut payloads = Vec::with_capacity(due);
        payloads.extend(taken.iter().filter_map(|node| self.vacate(node.slot)));
        payloads
    }

    /// How many are due at `now`. Looks at those and their children alone.
    fn count_due(&self, now: Nanos) -> usize {
        let is_due = |position: &usize| {
            self.heap
                .get(*position)
                .is_some_and(|node| node.deadline <= now)
        };
        let mut due: Vec<usize> = std::iter::once(0).filter(is_due).collect();
        let mut seen = 0;
        while let Some(position) = due.get(seen) {
            let first = position * ARITY + 1;
            due.extend((first..first + ARITY).filter(is_due));
            seen += 1;
        }
        seen
    }

    /// The payload of `key`, unless the key is stale.
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.generation == key.generation)
            .then_some(slot.payload.as_ref())
            .flatten()
    }

    /// The deadline of `key`, unless the key is stale.
    pub fn deadline(&self, key: TimerKey) -> Option<Nanos> {
        self.get(key)?;
        let slot = self.slots.get(key.index as usize)?;
        Some(self.heap.get(slot.position as usize)?.deadline)
    }

    /// How many timers there are.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is no timer.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// All payloads, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.payload.as_ref())
    }

    /// Removes every timer and returns the payloads, in no order. Old keys stay stale.
    pub fn take_all(&mut self) -> Vec<T> {
        let mut payloads = Vec::with_capacity(self.heap.len());
        self.heap.clear();
        for index in 0..self.slots.len() {
            payloads.extend(self.vacate(index as u32));
        }
        payloads
    }

    /// Takes the payload out of a slot and makes its keys stale.
    fn vacate(&mut self, index: u32) -> Option<T> {
        let slot = &mut self.slots[index as usize];
        let payload = slot.payload.take()?;
        // A slot whose generations are used up is never used again: 2^32 timers later a
        // key from long ago would otherwise name somebody else's.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(index);
        }
        Some(payload)
    }

    /// Numbers the nodes from 0 on, in their order, which stays as it is: O(n log n), once in 2^32 insertions.
    fn renumber(&mut self) {
        let mut order: Vec<usize> = (0..self.heap.len()).collect();
        order.sort_unstable_by_key(|&place| (self.heap[place].deadline, self.heap[place].sequence));
        for (number, place) in order.into_iter().enumerate() {
            self.heap[place].sequence = number as u32;
        }
        self.sequence = self.heap.len() as u32;
    }

    /// Brings nodes that stand in any order into the order of a heap, and notes their places. O(n).
    fn make_heap(&mut self) {
        for position in (0..self.heap.len()).rev() {
            self.sink(position);
        }
    }

    fn remove_at(&mut self, position: usize) -> Option<T> {
        let removed = self.heap.swap_remove(position);
        if position < self.heap.len() {
            // What came from the end may belong further up or further down.
            if self.sink(position) == position {
                self.rise(position);
            }
        }
        self.vacate(removed.slot)
    }

    /// Moves a node up to its place, and notes the place in its slot.
    fn rise(&mut self, mut position: usize) {
        let node = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / ARITY;
            if !node.is_before(&self.heap[parent]) {
                break;
            }
            self.put(position, self.heap[parent]);
            position = parent;
        }
        self.put(position, node);
    }

    /// Moves a node down to its place, notes the place in its slot and returns it.
    fn sink(&mut self, mut position: usize) -> usize {
        let node = self.heap[position];
        loop {
            let first = position * ARITY + 1;
            if first >= self.heap.len() {
                break;
            }
            let end = (first + ARITY).min(self.heap.len());
            let mut least = first;
            for child in first + 1..end {
                if self.heap[child].is_before(&self.heap[least]) {
                    least = child;
                }
            }
            if !self.heap[least].is_before(&node) {
                break;
            }
            self.put(position, self.heap[least]);
            position = least;
        }
        self.put(position, node);
        position
    }

    fn put(&mut self, position: usize, node: Node) {
        self.heap[position] = node;
        self.slots[node.slot as usize].position = position as u32;
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(deadline: u64) -> Nanos {
        Nanos(deadline)
    }

    #[test]
    fn equal_deadlines_fire_in_insertion_order() {
        let mut timers = Timers::new();
        for payload in 0..50 {
            timers.insert(at(7), payload);
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(7))).collect();
        assert_eq!(fired, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_fires_before_its_deadline() {
        let mut timers = Timers::new();
        timers.insert(at(10), ());
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(10)), Some(()));
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_key_is_good_for_one_timer_only() {
        let mut timers = Timers::new();
        let first = timers.insert(at(1), "first");
        assert_eq!(timers.remove(first), Some("first"));
        let second = timers.insert(at(2), "second");
        assert_eq!((timers.remove(first), timers.get(first)), (None, None));
        assert_eq!(timers.get(second), Some(&"second"));
        assert_eq!(timers.deadline(second), Some(at(2)));
        assert_eq!(timers.pop_due(at(2)), Some("second"));
        assert_eq!(timers.remove(second), None);
    }

    #[test]
    fn cancelling_keeps_no_memory() {
        let mut timers = Timers::new();
        for _ in 0..10_000 {
            let key = timers.insert(at(u64::MAX), ());
            assert_eq!(timers.remove(key), Some(()));
        }
        assert_eq!((timers.slots.len(), timers.heap.len()), (1, 0));
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut timers = Timers::new();
        let key = timers.insert(at(1), ());
        timers.slots[key.index as usize].generation = NonZeroU32::MAX;
        let last = TimerKey {
            generation: NonZeroU32::MAX,
            ..key
        };
        assert_eq!(timers.remove(last), Some(()));
        assert_ne!(timers.insert(at(1), ()).index, last.index);
        assert_eq!(timers.remove(last), None);
    }

    #[test]
    fn the_order_outlives_the_numbers() {
        let mut timers = Timers::new();
        timers.sequence = u32::MAX - 20;
        for payload in 0..50 {
            timers.insert(at(payload % 2), payload);
        }
        assert!(timers.sequence <= 50);
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(1))).collect();
        let expected: Vec<_> = (0..50).step_by(2).chain((1..50).step_by(2)).collect();
        assert_eq!(fired, expected);
    }

    #[test]
    fn they_are_small() {
        assert_eq!(size_of::<Node>(), 16);
        assert_eq!(size_of::<Option<TimerKey>>(), 8);
    }

    #[derive(Clone, Debug)]
    enum Call {
        Insert(u64),
        Remove(usize),
        Pop(u64),
        TakeDue(u64),
        TakeAll,
    }

    fn call() -> impl Strategy<Value = Call> {
        prop_oneof![
            // Few deadlines, so that many are equal.
            40 => (0..12u64).prop_map(Call::Insert),
            15 => any::<usize>().prop_map(Call::Remove),
            20 => (0..12u64).prop_map(Call::Pop),
            4 => (0..12u64).prop_map(Call::TakeDue),
            1 => Just(Call::TakeAll),
        ]
    }

    proptest! {
        /// Against a sorted list. Payloads count insertions, so that (deadline, payload)
        /// is the promised order.
        #[test]
        fn it_is_a_sorted_list(calls in prop::collection::vec(call(), 0..300)) {
            let mut timers = Timers::new();
            let mut model: Vec<(u64, usize)> = Vec::new();
            let mut keys = Vec::new();
            for call in calls {
                match call {
                    Call::Insert(deadline) => {
                        model.push((deadline, keys.len()));
                        model.sort_unstable();
                        keys.push(timers.insert(at(deadline), keys.len()));
                    }
                    Call::Remove(which) if !keys.is_empty() => {
                        let payload = which % keys.len();
                        let place = model.iter().position(|it| it.1 == payload);
                        let expected = place.map(|place| model.remove(place).1);
                        prop_assert_eq!(timers.remove(keys[payload]), expected);
                    }
                    Call::Remove(_) => {}
                    Call::Pop(now) => {
                        let is_due = model.first().is_some_and(|it| it.0 <= now);
                        let expected = is_due.then(|| model.remove(0).1);
                        prop_assert_eq!(timers.pop_due(at(now)), expected);
                    }
                    Call::TakeDue(now) => {
                        let due = model.iter().take_while(|it| it.0 <= now).count();
                        let expected: Vec<_> = model.drain(..due).map(|it| it.1).collect();
                        prop_assert_eq!(timers.take_due(at(now)), expected);
                    }
                    Call::TakeAll => {
                        let mut taken = timers.take_all();
                        taken.sort_unstable();
                        let mut expected: Vec<_> = model.drain(..).map(|it| it.1).collect();
                        expected.sort_unstable();
                        prop_assert_eq!(taken, expected);
                    }
                }
                prop_assert_eq!(timers.next_deadline(), model.first().map(|it| at(it.0)));
                prop_assert_eq!(timers.second_deadline(), model.get(1).map(|it| at(it.0)));
                prop_assert_eq!((timers.len(), timers.iter().count()), (model.len(), model.len()));
                for (payload, &key) in keys.iter().enumerate() {
                    let deadline = model.iter().find(|it| it.1 == payload).map(|it| at(it.0));
                    prop_assert_eq!(timers.deadline(key), deadline);
                }
            }
        }
    }
}
