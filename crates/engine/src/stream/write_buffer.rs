//! Bytes that wait to be written, in the chunks they came in.
//!
//! Nothing is copied: a chunk is whatever owns its bytes (a Python `bytes` object), and a
//! vectored write takes many at once.

use std::collections::VecDeque;
use std::io::IoSlice;

/// A queue of chunks, the first of which may be written in part.
///
/// A chunk's `as_ref` is called more than once and must give the same bytes each time; if
/// it does not, wrong bytes are written, and nothing worse happens.
#[derive(Debug)]
pub struct WriteBuffer<B> {
    chunks: VecDeque<B>,
    /// How many bytes of the first chunk are written.
    offset: usize,
    /// How many bytes are not, in all.
    pending: usize,
}

impl<B: AsRef<[u8]>> WriteBuffer<B> {
    /// Nothing to write.
    pub const fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            offset: 0,
            pending: 0,
        }
    }

    /// Adds a chunk at the end. An empty one is kept until what is before it is written.
    pub fn push(&mut self, chunk: B) {
        self.pending += chunk.as_ref().len();
        self.chunks.push_back(chunk);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.pending
    }

    /// Whether no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// What waits, if it is all in one chunk.
    pub fn only(&self) -> Option<&[u8]> {
        match self.chunks.len() {
            1 => self.chunks.front()?.as_ref().get(self.offset..),
            _ => None,
        }
    }

    /// Fills `out` from its start with what waits, in order, and says how many slices it
    /// took. Whatever does not fit is for the next write.
    pub fn io_slices<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut offset = self.offset;
        let unwritten = self.chunks.iter().map(|chunk| {
            let bytes = chunk.as_ref();
            bytes.get(std::mem::take(&mut offset)..).unwrap_or(&[])
        });
        let mut used = 0;
        for (slot, bytes) in out.iter_mut().zip(unwritten.filter(|it| !it.is_empty())) {
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        used
    }

    /// Notes that `written` bytes are written, and moves the chunks that are finished to
    /// the end of `finished`, for the caller to drop when nothing is borrowed.
    pub fn advance(&mut self, written: usize, finished: &mut impl Extend<B>) {
        let written = written.min(self.pending);
        self.pending -= written;
        self.offset += written;
        while let Some(first) = self.chunks.front() {
            let len = first.as_ref().len();
            if self.offset < len {
                break;
            }
            self.offset -= len;
            finished.extend(self.chunks.pop_front());
        }
    }

    /// Forgets what waits, and returns the chunks it was in.
    pub fn clear(&mut self) -> Vec<B> {
        self.offset = 0;
        self.pending = 0;
        std::mem::take(&mut self.chunks).into()
    }

    /// The chunks, the first of which may be written in part.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &B> {
        self.chunks.iter()
    }
}

impl<B: AsRef<[u8]>> Default for WriteBuffer<B> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting<B: AsRef<[u8]>>(buffer: &WriteBuffer<B>) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = buffer.io_slices(&mut slices);
        slices[..used].iter().flat_map(|it| it.to_vec()).collect()
    }

    #[test]
    fn a_chunk_written_in_part_goes_on_where_it_stopped() {
        let mut buffer = WriteBuffer::new();
        buffer.push("hello ");
        buffer.push("world");
        let mut finished = Vec::new();
        buffer.advance(2, &mut finished);
        assert_eq!(buffer.only(), None);
        assert_eq!(
            (waiting(&buffer).as_slice(), buffer.len()),
            (b"llo world".as_slice(), 9)
        );
        assert!(finished.is_empty());
        buffer.advance(6, &mut finished);
        assert_eq!(
            (waiting(&buffer).as_slice(), buffer.len()),
            (b"rld".as_slice(), 3)
        );
        assert_eq!(finished, ["hello "]);
        assert_eq!(buffer.only(), Some(b"rld".as_slice()));
    }

    #[test]
    fn slices_that_do_not_fit_are_left() {
        let mut buffer = WriteBuffer::new();
        for chunk in ["a", "", "b", "c"] {
            buffer.push(chunk);
        }
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(buffer.io_slices(&mut slices), 2);
        assert_eq!(
            (&*slices[0], &*slices[1]),
            (b"a".as_slice(), b"b".as_slice())
        );
    }

    #[test]
    fn clearing_returns_the_chunks() {
        let mut buffer = WriteBuffer::new();
        buffer.push("abc");
        buffer.push("de");
        buffer.advance(1, &mut Vec::new());
        assert_eq!(buffer.clear(), ["abc", "de"]);
        assert!(buffer.is_empty() && waiting(&buffer).is_empty());
        buffer.push("new");
        assert_eq!(waiting(&buffer), b"new");
    }

    #[test]
    fn a_chunk_that_changes_its_size_does_no_harm() {
        use std::cell::Cell;
        struct Shrinking(Cell<usize>);
        impl AsRef<[u8]> for Shrinking {
            fn as_ref(&self) -> &[u8] {
                self.0.set(self.0.get().saturating_sub(1));
                &b"0123456789"[..self.0.get()]
            }
        }
        let mut buffer = WriteBuffer::new();
        buffer.push(Shrinking(Cell::new(8)));
        buffer.push(Shrinking(Cell::new(8)));
        let mut finished = Vec::new();
        for _ in 0..20 {
            let _ = waiting(&buffer);
            buffer.advance(1, &mut finished);
        }
        buffer.advance(usize::MAX, &mut finished);
        assert!(buffer.is_empty());
    }

    proptest! {
        #[test]
        fn any_way_of_writing_writes_the_same_bytes(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12),
            steps in prop::collection::vec(0..12usize, 0..40),
        ) {
            let mut expected = chunks.concat();
            let count = chunks.len();
            let mut buffer = WriteBuffer::new();
            chunks.into_iter().for_each(|chunk| buffer.push(chunk));
            let mut finished = Vec::new();
            for step in steps {
                prop_assert_eq!(&waiting(&buffer), &expected);
                prop_assert_eq!(buffer.len(), expected.len());
                buffer.advance(step, &mut finished);
                expected.drain(..step.min(expected.len()));
            }
            prop_assert_eq!(finished.len() + buffer.iter().len(), count);
        }
    }
}
