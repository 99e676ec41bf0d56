//! The stacks of this thread that no greenlet uses, and how large new ones are.

use std::cell::RefCell;
use std::io;

use corosensei::stack::DefaultStack;

/// Room for a panic's message with its backtrace, and for what usual libraries ask for.
const USUAL_SIZE: usize = 256 * 1024;
/// Less cannot even panic.
const LEAST_SIZE: usize = 16 * 1024;
/// 32 MiB of address space at the usual size.
const USUALLY_KEPT: usize = 128;

struct Stacks {
    /// Bytes of a new one.
    size: usize,
    most_idle: usize,
    /// Each with its size; the last was used last, and is warm in the cache.
    idle: Vec<(usize, DefaultStack)>,
}

thread_local! {
    static STACKS: RefCell<Stacks> = const {
        RefCell::new(Stacks { size: USUAL_SIZE, most_idle: USUALLY_KEPT, idle: Vec::new() })
    };
}

/// The size of a new greenlet's stack on this thread, in bytes: 256 KiB unless
/// [`set_stack_size`] said otherwise.
///
/// ```
/// assert_eq!(riata::green::stack_size(), 256 * 1024);
/// ```
pub fn stack_size() -> usize {
    STACKS
        .try_with(|stacks| stacks.borrow().size)
        .unwrap_or(USUAL_SIZE)
}

/// Sets the size of the stacks of greenlets spawned on this thread from now on, in bytes;
/// at least 16 KiB are given.
///
/// ```
/// riata::green::set_stack_size(1024 * 1024);
/// assert_eq!(riata::green::stack_size(), 1024 * 1024);
/// ```
pub fn set_stack_size(bytes: usize) {
    // Only a thread that is ending has no such list any more, and spawns nothing.
    let _ = STACKS.try_with(|stacks| stacks.borrow_mut().size = at_least(bytes));
}

/// Sets how many stacks that are not in use this thread keeps, for greenlets to come: 128
/// unless this said otherwise. More are given back to the kernel at once; those kept, when
/// the thread ends.
///
/// ```
/// riata::green::keep_stacks(0);
/// ```
pub fn keep_stacks(count: usize) {
    // As in `set_stack_size`.
    let _ = STACKS.try_with(|stacks| {
        let mut stacks = stacks.borrow_mut();
        stacks.most_idle = count;
        stacks.idle.truncate(count);
    });
}

pub(super) fn at_least(bytes: usize) -> usize {
    bytes.max(LEAST_SIZE)
}

/// A stack of `size` bytes, used before or new.
///
/// # Errors
///
/// ENOMEM: no memory, no address space, or too many mappings.
pub(super) fn take(size: usize) -> io::Result<DefaultStack> {
    let idle = STACKS.try_with(|stacks| {
        let idle = &mut stacks.borrow_mut().idle;
        let found = idle.iter().rposition(|(its_size, _)| *its_size == size)?;
        Some(idle.swap_remove(found).1)
    });
    match idle {
        Ok(Some(stack)) => Ok(stack),
        _ => DefaultStack::new(size),
    }
}

/// Takes back a stack that `take` gave for `size` and that nothing runs on.
pub(super) fn give_back(size: usize, stack: DefaultStack) {
    let mut stack = Some(stack);
    // A thread that is ending keeps none: it is unmapped here.
    let _ = STACKS.try_with(|stacks| {
        let mut stacks = stacks.borrow_mut();
        if stacks.idle.len() < stacks.most_idle {
            stacks.idle.extend(stack.take().map(|stack| (size, stack)));
        }
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use corosensei::stack::Stack;

    fn idle() -> usize {
        STACKS.with(|stacks| stacks.borrow().idle.len())
    }

    #[test]
    fn a_stack_is_used_again_for_its_own_size_only() {
        let small = take(LEAST_SIZE).unwrap();
        let base = small.base();
        give_back(LEAST_SIZE, small);
        let large = take(USUAL_SIZE).unwrap();
        assert_ne!(large.base(), base);
        assert_eq!(take(LEAST_SIZE).unwrap().base(), base);
    }

    #[test]
    fn no_more_are_kept_than_asked_for() {
        keep_stacks(2);
        let stacks: Vec<_> = (0..5).map(|_| take(LEAST_SIZE).unwrap()).collect();
        for stack in stacks {
            give_back(LEAST_SIZE, stack);
        }
        assert_eq!(idle(), 2);
        keep_stacks(0);
        assert_eq!(idle(), 0);
    }

    #[test]
    fn a_size_is_never_less_than_a_panic_needs() {
        set_stack_size(1);
        assert_eq!(stack_size(), LEAST_SIZE);
    }
}
