//! Descriptors and their watchers, as a table: which belongs to which, and no kernel.

use std::os::fd::RawFd;

use super::interest::Interest;

/// No watcher: the end of a list.
const NIL: u32 = u32::MAX;

/// Names one watcher, once: after it was removed the key names nothing.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub struct WatchKey {
    index: u32,
    generation: u32,
}

/// One descriptor number.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Of the registration, while there is one.
    pub(super) generation: u32,
    /// What the kernel was last asked for; none: it is not in the kernel's set.
    pub(super) registered: Interest,
    /// How many watchers want each of [`Interest::EACH`].
    pub(super) wanted: [u32; 3],
    /// How many want it as long as it is so.
    level: u32,
    /// The watchers, a doubly linked list through `Watcher`, in the order they came.
    head: u32,
    tail: u32,
}

impl Slot {
    pub(super) const EMPTY: Self = Self {
        generation: 0,
        registered: Interest::NONE,
        wanted: [0; 3],
        level: 0,
        head: NIL,
        tail: NIL,
    };

    /// Forgets the watchers and the registration; the next one's generation still follows.
    fn clear(&mut self) {
        *self = Self {
            generation: self.generation,
            ..Self::EMPTY
        };
    }

    /// The union of what the watchers want.
    pub(super) fn union(&self) -> Interest {
        let mut union = Interest::NONE;
        for (each, &count) in Interest::EACH.into_iter().zip(&self.wanted) {
            if count > 0 {
                union = union.union(each);
            }
        }
        if self.level == 0 && !union.is_none() {
            union = union.union(Interest::EDGE);
        }
        union
    }

    /// The union as it would be if one watcher's interest changed.
    pub(super) fn union_after(&self, old: Interest, new: Interest) -> Interest {
        let mut after = self.clone();
        after.count(old, new);
        after.union()
    }

    pub(super) fn count(&mut self, old: Interest, new: Interest) {
        for (each, count) in Interest::EACH.into_iter().zip(&mut self.wanted) {
            *count += u32::from(new.contains(each));
            *count -= u32::from(old.contains(each));
        }
        self.level += u32::from(new.is_level());
        self.level -= u32::from(old.is_level());
    }
}

#[derive(Debug)]
pub(super) struct Watcher<W> {
    pub(super) generation: u32,
    pub(super) fd: RawFd,
    pub(super) interest: Interest,
    /// In its descriptor's list; if not, the file it watched is gone.
    pub(super) attached: bool,
    previous: u32,
    next: u32,
    pub(super) payload: Option<W>,
}

/// The descriptors, by number, and the watchers, by index, linked to each other.
#[derive(Debug)]
pub(super) struct Table<W> {
    /// By descriptor number, as far as the highest that was ever watched.
    pub(super) slots: Vec<Slot>,
    pub(super) watchers: Vec<Watcher<W>>,
    free: Vec<u32>,
    len: usize,
}

impl<W> Table<W> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            watchers: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    /// How many watchers there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The slot of any number, if it was ever watched.
    pub(super) fn slot(&self, fd: RawFd) -> Option<&Slot> {
        self.slots.get(usize::try_from(fd).ok()?)
    }

    /// The slot of a number that the kernel has confirmed, made if need be.
    pub(super) fn slot_mut(&mut self, fd: RawFd) -> &mut Slot {
        let fd = fd as usize;
        if fd >= self.slots.len() {
            self.slots.resize(fd + 1, Slot::EMPTY);
        }
        &mut self.slots[fd]
    }

    pub(super) fn at(&self, index: u32) -> &Watcher<W> {
        &self.watchers[index as usize]
    }

    pub(super) fn at_mut(&mut self, index: u32) -> &mut Watcher<W> {
        &mut self.watchers[index as usize]
    }

    pub(super) fn key(&self, index: u32) -> WatchKey {
        WatchKey {
            index,
            generation: self.at(index).generation,
        }
    }

    pub(super) fn find(&self, key: WatchKey) -> Option<u32> {
        let watcher = self.watchers.get(key.index as usize)?;
        (watcher.generation == key.generation && watcher.payload.is_some()).then_some(key.index)
    }

    pub(super) fn list(&self, slot: &Slot) -> impl Iterator<Item = u32> {
        let mut index = slot.head;
        std::iter::from_fn(move || {
            let current = index;
            index = self.watchers.get(current as usize)?.next;
            Some(current)
        })
    }

    pub(super) fn store(&mut self, fd: RawFd, interest: Interest, payload: W) -> u32 {
        self.len += 1;
        let mut watcher = Watcher {
            generation: 0,
            fd,
            interest,
            attached: false,
            previous: NIL,
            next: NIL,
            payload: Some(payload),
        };
        match self.free.pop() {
            Some(index) => {
                watcher.generation = self.at(index).generation;
                *self.at_mut(index) = watcher;
                index
            }
            None => {
                self.watchers.push(watcher);
                (self.watchers.len() - 1) as u32
            }
        }
    }

    /// Puts a watcher at the end of its descriptor's list.
    pub(super) fn attach(&mut self, index: u32) {
        let &Watcher { fd, interest, .. } = self.at(index);
        let slot = self.slot_mut(fd);
        slot.count(Interest::NONE, interest);
        let last = std::mem::replace(&mut slot.tail, index);
        if last == NIL {
            slot.head = index;
        } else {
            self.at_mut(last).next = index;
        }
        let watcher = self.at_mut(index);
        watcher.attached = true;
        watcher.previous = last;
        watcher.next = NIL;
    }

    /// Takes a watcher out of its descriptor's list.
    pub(super) fn detach(&mut self, index: u32) {
        let watcher = self.at_mut(index);
        watcher.attached = false;
        let &mut Watcher {
            fd,
            interest,
            previous,
            next,
            ..
        } = watcher;
        let slot = &mut self.slots[fd as usize];
        slot.count(interest, Interest::NONE);
        if previous == NIL {
            slot.head = next;
        }
        if next == NIL {
            slot.tail = previous;
        }
        if previous != NIL {
            self.at_mut(previous).next = next;
        }
        if next != NIL {
            self.at_mut(next).previous = previous;
        }
    }

    /// Notes that the file behind a number is gone, and the registration with it.
    pub(super) fn orphan_all(&mut self, fd: RawFd) {
        let slot = usize::try_from(fd).ok();
        let Some(slot) = slot.and_then(|fd| self.slots.get_mut(fd)) else {
            return;
        };
        let mut index = slot.head;
        slot.clear();
        while let Some(watcher) = self.watchers.get_mut(index as usize) {
            watcher.attached = false;
            index = watcher.next;
        }
    }

    /// Takes a watcher out of the table and makes its keys stale.
    pub(super) fn vacate(&mut self, index: u32) -> Option<W> {
        let watcher = self.at_mut(index);
        let payload = watcher.payload.take()?;
        watcher.attached = false;
        // As with timers: a slot whose generations are used up is not used again.
        if let Some(next) = watcher.generation.checked_add(1) {
            watcher.generation = next;
            self.free.push(index);
        }
        self.len -= 1;
        Some(payload)
    }

    /// Empties the table.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        self.slots.iter_mut().for_each(Slot::clear);
        (0..self.watchers.len() as u32)
            .filter_map(|index| self.vacate(index))
            .collect()
    }
}
