//! What one poll reported.

use rustix::event::epoll::{Event, EventData};

use super::interest::Readiness;

/// Events asked for at most in one poll: 64 thousand, 768 KiB.
const LARGEST: usize = 1 << 16;

/// What the kernel gives back with an event: a descriptor's number and the generation of
/// its registration, so that an event of an earlier registration is known as such.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub struct Token(pub u64);

impl Token {
    /// The poller's own timer; no descriptor has this number.
    pub(crate) const TIMER: Self = Self(u64::MAX);

    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | slot as u64)
    }

    pub(crate) const fn slot(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn data(self) -> EventData {
        EventData::new_u64(self.0)
    }
}

/// Room for the events of a poll, to be used for one poll after the other.
pub struct Events {
    /// Its capacity is what the next poll may fill.
    pub(super) list: Vec<Event>,
    /// Whether the last poll left no room, so that more may be waiting.
    pub(super) was_full: bool,
    /// The most that there shall be room for.
    limit: usize,
}

// SAFETY: E7. What rustix types as a pointer is the kernel's 64 bits of user data, and only
// tokens are put there; nothing is pointed to.
#[allow(unsafe_code)]
unsafe impl Send for Events {}

impl Events {
    /// Room for `capacity` events (at least one); it grows after a poll that used it up.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            list: Vec::with_capacity(capacity.clamp(1, LARGEST)),
            was_full: false,
            limit: LARGEST,
        }
    }

    /// Room for `limit` events (at least one), and never for more: for who would rather see to few at a time, while
    /// what the poll has touched is in the caches. Those left over come first in the next poll.
    pub fn with_limit(limit: usize) -> Self {
        let events = Self::with_capacity(limit);
        Self {
            limit: events.list.capacity(),
            ..events
        }
    }

    /// The events of the last poll, in the kernel's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Token, Readiness)> {
        self.list.iter().map(|event| {
            // By value: the kernel's struct is packed.
            let (data, flags) = (event.data, event.flags);
            (Token(data.u64()), Readiness::from_bits(flags.bits()))
        })
    }

    /// How many events the last poll reported.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether the last poll reported nothing.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets the last poll and makes room for the next.
    pub(super) fn prepare(&mut self) {
        self.list.clear();
        if self.was_full && self.list.capacity() < self.limit {
            self.list.reserve(self.list.capacity() * 2);
        }
        self.was_full = false;
    }

    /// Notes how the poll went, and takes out what concerns the poller alone.
    pub(super) fn settle(&mut self) {
        self.was_full = self.list.len() == self.list.capacity();
        self.list.retain(|event| {
            let data = event.data;
            data.u64() != Token::TIMER.0
        });
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
