//! What the allocator keeps: memory that one turn frees is there for the next.
//!
//! Each turn of a server makes and frees what arrived. glibc gives the end of its heap back to the kernel when more than
//! 128 KiB of it are free, and every object of more than 128 KiB at once; both come again page by page, zeroed, a fault
//! for each. 64 echoes of 10 KiB through asyncio's streams took a third longer for it (`benches.network`).
//!
//! glibc learns: a block of up to 32 MiB that is freed after the kernel had lent it raises the first limit to twice its
//! size, and the second to its size (mallopt(3), `M_MMAP_THRESHOLD`). That is all that is used here; limits that a program
//! or `MALLOC_TRIM_THRESHOLD_` has set stay, and another allocator notices nothing.

use std::hint::black_box;
use std::sync::Once;

/// Bytes. Twice as much may stay with the process that would have gone back. After a lesson of 4 MiB a loop's own tables grow
/// within the heap and leave holes there: a timer of 100,000 takes 254 bytes then, 238 after this (`benches.memory`).
const LESSON: usize = 1024 * 1024;

/// Has the allocator keep what is freed, up to 2 MiB; once for the process. Nothing is written to the block, so that it
/// costs two system calls and no memory.
pub fn keep_what_is_freed() {
    static LEARNED: Once = Once::new();
    LEARNED.call_once(|| {
        let mut block = Vec::<u8>::new();
        let _ = block.try_reserve_exact(LESSON); // where so much is not to be had, nothing is to be learned
        drop(black_box(block));
    });
}
