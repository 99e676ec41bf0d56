//! Deadlines for `call_later` and `call_at`.
//!
//! Time is an argument: nothing here reads a clock, so tests own it. Equal deadlines fire
//! in insertion order; asyncio promises none, FIFO is ours.
//!
//! A heap of deadlines points at slots that hold the payloads, and each slot knows its
//! place in the heap. So cancelling removes the timer there and then and gives its payload
//! back: a program that starts and cancels a timeout a request keeps no memory for it
//! (CPython's loop keeps cancelled handles until half of the heap is such).

use crate::clock::Nanos;

/// Children of a heap node. Four make the tree half as deep as two, and a node's children
/// share a cache line or two; `benches/timers.rs` compares.
const ARITY: usize = 4;

/// Names one timer, once: after the timer has fired or was removed the key names nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// A node of the heap; ordered by its first two fields.
#[derive(Copy, Clone, Debug)]
struct Node {
    deadline: Nanos,
    /// Counts insertions: the second key, which makes every order total.
    sequence: u64,
    slot: u32,
}

impl Node {
    fn is_before(&self, other: &Self) -> bool {
        (self.deadline, self.sequence) < (other.deadline, other.sequence)
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
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
    sequence: u64,
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
                    generation: 0,
                    position: 0,
                    payload: Some(payload),
                });
                index
            }
        };
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

    /// Removes the earliest timer if it is due at `now`, and returns its payload.
    ///
    /// Called again and again it gives all that is due, in (deadline, insertion) order.
    pub fn pop_due(&mut self, now: Nanos) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        self.remove_at(0)
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
