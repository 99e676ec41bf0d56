//! The tasks of a loop that are not done, by number.

use std::rc::Rc;

use super::cell::Step;
use super::key::{Key, MOST_TASKS};

struct Slot {
    /// Counts the tasks that have left this slot.
    generation: u32,
    /// The task is queued to be stepped, once.
    scheduled: bool,
    task: Option<Rc<dyn Step>>,
}

/// Slots for tasks; a slot that is given back is the next to be used.
pub(crate) struct Table {
    event_loop: u16,
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
}

impl Table {
    pub(crate) const fn new(event_loop: u16) -> Self {
        Self {
            event_loop,
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    /// Takes a task in, as scheduled.
    pub(crate) fn insert(&mut self, task: Rc<dyn Step>) -> Key {
        self.len += 1;
        let index = match self.free.pop() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.scheduled = true;
                slot.task = Some(task);
                index
            }
            None => {
                assert!(self.slots.len() < MOST_TASKS, "too many tasks");
                self.slots.push(Slot {
                    generation: 0,
                    scheduled: true,
                    task: Some(task),
                });
                (self.slots.len() - 1) as u32
            }
        };
        Key::new(
            self.event_loop,
            index,
            self.slots[index as usize].generation,
        )
    }

    fn find(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.slot())?;
        key.is_of(slot.generation).then_some(slot)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Rc<dyn Step>> {
        let slot = self.slots.get(key.slot())?;
        slot.task.as_ref().filter(|_| key.is_of(slot.generation))
    }

    /// Notes that a task is to be stepped; says whether it was not so noted already.
    pub(crate) fn mark_scheduled(&mut self, key: Key) -> bool {
        match self.find(key) {
            Some(slot) if slot.task.is_some() => !std::mem::replace(&mut slot.scheduled, true),
            _ => false,
        }
    }

    /// The task to be stepped; from now on it can be scheduled again.
    pub(crate) fn begin_step(&mut self, key: Key) -> Option<Rc<dyn Step>> {
        let slot = self.find(key)?;
        slot.scheduled = false;
        slot.task.clone()
    }

    /// Gives a task's slot back, to be dropped by the caller when nothing is borrowed.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Rc<dyn Step>> {
        let slot = self.find(key)?;
        let task = slot.task.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot() as u32);
        self.len -= 1;
        Some(task)
    }

    /// Removes any task.
    pub(crate) fn pop(&mut self) -> Option<Rc<dyn Step>> {
        while let Some(mut slot) = self.slots.pop() {
            if let Some(task) = slot.task.take() {
                self.len -= 1;
                // The table is being emptied: its slots are not used again.
                return Some(task);
            }
        }
        self.free.clear();
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<dyn Step>> {
        self.slots.iter().filter_map(|slot| slot.task.as_ref())
    }
}
