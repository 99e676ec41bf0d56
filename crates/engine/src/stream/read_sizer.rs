//! How much to offer the kernel for one read.
//!
//! CPython always offers 256 KiB and shrinks the object afterwards. Most reads return far
//! less, so that costs a large allocation a read; and always offering little costs a
//! system call every few kilobytes of a bulk transfer. So the size follows the stream: it
//! grows fourfold when a read fills it (4 KiB to 256 KiB in three reads), and is halved
//! only after two reads in a row that half of it would have held, so that a short last
//! read of a message does not undo it.

const SMALLEST: usize = 4 * 1024;
const LARGEST: usize = 256 * 1024;

/// An adaptive read size, between 4 KiB (a page, where it starts) and 256 KiB.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ReadSizer {
    size: usize,
    last_was_short: bool,
}

impl ReadSizer {
    /// Starts at 4 KiB.
    pub const fn new() -> Self {
        Self {
            size: SMALLEST,
            last_was_short: false,
        }
    }

    /// How many bytes to offer next.
    pub const fn next_size(&self) -> usize {
        self.size
    }

    /// Notes that a read that was offered `capacity` bytes gave `read`.
    pub fn record(&mut self, read: usize, capacity: usize) {
        let was_short = read <= self.size / 2;
        if read >= capacity && read >= self.size {
            self.size = (self.size * 4).min(LARGEST);
        } else if was_short && self.last_was_short {
            self.size = (self.size / 2).max(SMALLEST);
            self.last_was_short = false;
            return;
        }
        self.last_was_short = was_short;
    }
}

impl Default for ReadSizer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(reads: &[usize]) -> Vec<usize> {
        let mut sizer = ReadSizer::new();
        let record = |&read: &usize| {
            let capacity = sizer.next_size();
            sizer.record(read.min(capacity), capacity);
            sizer.next_size() / 1024
        };
        reads.iter().map(record).collect()
    }

    #[test]
    fn full_reads_grow_it_to_the_largest() {
        assert_eq!(sizes(&[usize::MAX; 5]), [16, 64, 256, 256, 256]);
    }

    #[test]
    fn one_short_read_does_not_shrink_it() {
        let bulk = usize::MAX;
        assert_eq!(
            sizes(&[bulk, bulk, 10, 40_000, 10, 10]),
            [16, 64, 64, 64, 64, 32]
        );
    }

    #[test]
    fn it_never_gets_smaller_than_a_page() {
        assert_eq!(sizes(&[1; 6]), [4; 6]);
    }

    #[test]
    fn a_full_read_of_a_smaller_buffer_proves_nothing() {
        let mut sizer = ReadSizer::new();
        sizer.record(100, 100);
        assert_eq!(sizer.next_size(), SMALLEST);
    }
}
