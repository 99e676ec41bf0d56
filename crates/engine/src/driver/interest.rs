//! What is asked of a descriptor, and what is so.

use rustix::event::epoll::EventFlags;

/// What somebody wants to know about a descriptor: any set of the three, or [`NONE`](Self::NONE);
/// and, with [`EDGE`](Self::EDGE), how often.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash, Default)]
pub struct Interest(u8);

impl Interest {
    /// Nothing for now.
    pub const NONE: Self = Self(0);
    /// That reading would not block: there are bytes, an end of file, or a connection to accept.
    pub const READABLE: Self = Self(1);
    /// That writing would not block, or that a connection attempt has ended.
    pub const WRITABLE: Self = Self(2);
    /// That there is urgent data (EPOLLPRI).
    pub const PRIORITY: Self = Self(4);

    /// To be told once of what becomes so, and of what is so when it is asked for: for who then
    /// does all there is to do, and spares the kernel to look again at each poll. It holds
    /// while no other watcher of the descriptor wants anything without it: then all are told as
    /// long as it is so.
    pub const EDGE: Self = Self(8);

    /// The single interests there are.
    pub(crate) const EACH: [Self; 3] = [Self::READABLE, Self::WRITABLE, Self::PRIORITY];

    /// Whether all of `other` is in this.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this and not in `other`.
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is asked for.
    pub const fn is_none(self) -> bool {
        self.0 & !Self::EDGE.0 == 0
    }

    /// Whether something is asked for as long as it is so.
    pub(crate) const fn is_level(self) -> bool {
        !self.is_none() && !self.contains(Self::EDGE)
    }

    /// What satisfies both of two watchers.
    pub(crate) const fn merged(self, other: Self) -> Self {
        let both = self.union(other);
        if self.is_level() || other.is_level() {
            both.difference(Self::EDGE)
        } else {
            both
        }
    }

    /// What to ask epoll for.
    ///
    /// RDHUP comes with reading, so that the one event that carries both the last bytes
    /// and the end of the stream says so. Without interest in reading it is not asked for:
    /// it is as level-triggered as the rest, and would never stop.
    pub(crate) fn event_flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        if self.contains(Self::READABLE) {
            flags |= EventFlags::IN | EventFlags::RDHUP;
        }
        if self.contains(Self::WRITABLE) {
            flags |= EventFlags::OUT;
        }
        if self.contains(Self::PRIORITY) {
            flags |= EventFlags::PRI;
        }
        if self.contains(Self::EDGE) {
            flags |= EventFlags::ET;
        }
        flags
    }
}

impl std::ops::BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

/// What is so about a descriptor.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Readiness(EventFlags);

impl Readiness {
    /// From epoll's event bits (`EPOLLIN` and so on); unknown ones are kept.
    pub const fn from_bits(bits: u32) -> Self {
        Self(EventFlags::from_bits_retain(bits))
    }

    /// Epoll's event bits.
    pub const fn bits(self) -> u32 {
        self.0.bits()
    }

    /// There is something to read, or the end (IN).
    pub const fn readable(self) -> bool {
        self.0.contains(EventFlags::IN)
    }

    /// There is room to write (OUT).
    pub const fn writable(self) -> bool {
        self.0.contains(EventFlags::OUT)
    }

    /// There is urgent data (PRI).
    pub const fn priority(self) -> bool {
        self.0.contains(EventFlags::PRI)
    }

    /// Both directions are closed (HUP); what was received before can still be read.
    pub const fn hung_up(self) -> bool {
        self.0.contains(EventFlags::HUP)
    }

    /// The peer has closed its sending side (RDHUP): after the bytes at hand comes the end.
    pub const fn read_hung_up(self) -> bool {
        self.0.contains(EventFlags::RDHUP)
    }

    /// There is an error to fetch (ERR): SO_ERROR, or what the next call returns. On the
    /// writing end of a pipe: nobody reads any more.
    pub const fn error(self) -> bool {
        self.0.contains(EventFlags::ERR)
    }

    /// Whether somebody waiting to read should try: data, an end, or an error to be told.
    pub const fn wakes_reader(self) -> bool {
        let flags = EventFlags::IN
            .union(EventFlags::RDHUP)
            .union(EventFlags::HUP)
            .union(EventFlags::ERR);
        self.0.intersects(flags)
    }

    /// Whether somebody waiting to write should try: room, a hang-up, or an error.
    pub const fn wakes_writer(self) -> bool {
        let flags = EventFlags::OUT
            .union(EventFlags::HUP)
            .union(EventFlags::ERR);
        self.0.intersects(flags)
    }

    /// What of this somebody with `interest` asked to know.
    ///
    /// HUP and ERR need not be asked for, but who asks for nothing gets nothing.
    pub(crate) fn asked_by(self, interest: Interest) -> Option<Self> {
        if interest.is_none() {
            return None;
        }
        let flags = interest.event_flags() | EventFlags::HUP | EventFlags::ERR;
        let asked = self.0 & flags;
        (!asked.is_empty()).then_some(Self(asked))
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.0, f)
    }
}
