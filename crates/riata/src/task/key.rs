//! Which task: a number, and the waker made of it.
//!
//! A waker holds no reference. It is the number of a loop, of a slot in that loop's table of
//! tasks, and of how often the slot was used: 64 bits, which is what a waker may carry. So
//! cloning and dropping one costs nothing, on whatever thread, and a waker that outlives its
//! task keeps nothing alive and wakes nobody. The counters wrap: after 2^20 tasks in one
//! slot (or after another loop got the number) an old waker may wake a task that is not its
//! own, which polls once in vain, as futures must expect anyway.

use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::context;
use crate::handle::registry;
use crate::host::{Content, Parcel};

/// Bits of a slot's number: 268 million tasks at once.
const SLOT_BITS: u32 = 28;
/// Bits of a slot's generation.
const GENERATION_BITS: u32 = 20;

const _: () = assert!(usize::BITS == 64, "a task's key fills a 64-bit pointer");

/// The most tasks a loop can have at once.
pub(crate) const MOST_TASKS: usize = 1 << SLOT_BITS;

/// Names a task of any loop of the process.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key(u64);

impl Key {
    /// What is in no table.
    pub(crate) const NONE: Self = Self(u64::MAX);

    pub(crate) const fn new(event_loop: u16, slot: u32, generation: u32) -> Self {
        let generation = generation & ((1 << GENERATION_BITS) - 1);
        Self(
            (event_loop as u64) << (SLOT_BITS + GENERATION_BITS)
                | (generation as u64) << SLOT_BITS
                | slot as u64,
        )
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    pub(crate) const fn event_loop(self) -> u16 {
        (self.0 >> (SLOT_BITS + GENERATION_BITS)) as u16
    }

    pub(crate) const fn slot(self) -> usize {
        (self.0 & (MOST_TASKS as u64 - 1)) as usize
    }

    /// Whether this is the key of a slot in its `generation`.
    pub(crate) const fn is_of(self, generation: u32) -> bool {
        let mask = (1 << GENERATION_BITS) - 1;
        (self.0 >> SLOT_BITS) as u32 & mask == generation & mask
    }

    /// The task's waker.
    #[allow(unsafe_code)]
    pub(crate) fn waker(self) -> Waker {
        // SAFETY: R1. The functions of the table take the data for a number, touch no memory
        // through it and may be called on any thread, any number of times.
        unsafe { Waker::from_raw(self.raw_waker()) }
    }

    fn raw_waker(self) -> RawWaker {
        RawWaker::new(std::ptr::without_provenance(self.0 as usize), &VTABLE)
    }

    /// Sees to it that the task is stepped, from any thread.
    pub(crate) fn wake(self) {
        if !context::wake_here(self) {
            registry::send(self.event_loop(), || Parcel(Content::Wake(self)));
        }
    }

    /// Whose waker this is, if it is a task's.
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        std::ptr::eq(waker.vtable(), &VTABLE).then(|| Self::from_data(waker.data()))
    }

    fn from_data(data: *const ()) -> Self {
        Self(data.addr() as u64)
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| Key::from_data(data).raw_waker(),
    |data| Key::from_data(data).wake(),
    |data| Key::from_data(data).wake(),
    |_| (),
);
