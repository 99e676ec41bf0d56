//! Who waits for one thing, first come, first served.
//!
//! A slab of waiters, linked in the order they came: entering, being served and leaving are
//! O(1), wherever in the line one stands. Nothing here drops or calls a waker.

use std::task::Waker;

const NIL: u32 = u32::MAX;

/// Names a waiter until it leaves.
pub(crate) type Place = u32;

enum State {
    Free,
    Waiting(Waker),
    /// It was served, with this, and is no longer in the line.
    Served(Service),
}

/// With what a waiter was served.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    /// What it waits for.
    Given,
    /// The news that there will be nothing.
    Refused,
}

struct Node {
    state: State,
    previous: u32,
    next: u32,
}

/// What a waiter left with.
#[must_use]
pub(crate) enum Left {
    /// Nothing: the waker that nobody will call.
    Waiting(#[allow(dead_code, reason = "to be dropped when nothing is borrowed")] Waker),
    /// It had been served.
    Served(Service),
}

/// A line of waiters.
pub(crate) struct Waiters {
    nodes: Vec<Node>,
    free: u32,
    first: u32,
    last: u32,
    len: u32,
}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NIL,
            first: NIL,
            last: NIL,
            len: 0,
        }
    }

    /// How many wait, not counting those who were served.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Enters at the end.
    pub(crate) fn enter(&mut self, waker: Waker) -> Place {
        let node = Node {
            state: State::Waiting(waker),
            previous: self.last,
            next: NIL,
        };
        let place = match self.free {
            NIL => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
            free => {
                self.free = self.nodes[free as usize].next;
                self.nodes[free as usize] = node;
                free
            }
        };
        match self.last {
            NIL => self.first = place,
            last => self.nodes[last as usize].next = place,
        }
        self.last = place;
        self.len += 1;
        place
    }

    /// Serves the first in the line; it is the caller's to wake.
    #[must_use = "the waiter is to be woken"]
    pub(crate) fn serve(&mut self, service: Service) -> Option<Waker> {
        let place = self.first;
        if place == NIL {
            return None;
        }
        self.unlink(place);
        let served = State::Served(service);
        match std::mem::replace(&mut self.nodes[place as usize].state, served) {
            State::Waiting(waker) => Some(waker),
            // Only those who wait are in the line.
            State::Free | State::Served(_) => None,
        }
    }

    /// Whether a waiter was served; if not, `waker` is the one to be called. The old one comes
    /// back, to be dropped when nothing is borrowed.
    pub(crate) fn look(&mut self, place: Place, waker: &Waker) -> Result<Service, Option<Waker>> {
        match &mut self.nodes[place as usize].state {
            State::Served(service) => Ok(*service),
            State::Waiting(old) if old.will_wake(waker) => Err(None),
            State::Waiting(old) => Err(Some(std::mem::replace(old, waker.clone()))),
            State::Free => Err(None),
        }
    }

    /// Gives the place back.
    pub(crate) fn leave(&mut self, place: Place) -> Left {
        if matches!(self.nodes[place as usize].state, State::Waiting(_)) {
            self.unlink(place);
        }
        let node = &mut self.nodes[place as usize];
        node.next = self.free;
        self.free = place;
        match std::mem::replace(&mut node.state, State::Free) {
            State::Waiting(waker) => Left::Waiting(waker),
            State::Served(service) => Left::Served(service),
            State::Free => Left::Served(Service::Refused),
        }
    }

    fn unlink(&mut self, place: Place) {
        let &Node { previous, next, .. } = &self.nodes[place as usize];
        match previous {
            NIL => self.first = next,
            previous => self.nodes[previous as usize].next = next,
        }
        match next {
            NIL => self.last = previous,
            next => self.nodes[next as usize].previous = previous,
        }
        self.len -= 1;
    }
}
