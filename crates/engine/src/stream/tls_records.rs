//! Where TLS records end in a stream of bytes.
//!
//! OpenSSL takes whole records, and asking it for data when it has none costs an exception in Python. The headers of
//! records are in the clear in every version of TLS (RFC 8446, 5.1), so that a look at them tells when it can be asked.

/// The length of a record's header: type, version, length of what follows.
const HEADER: usize = 5;

/// The most that may follow a header: RFC 5246, 6.2.3, the older and larger of the limits.
const LARGEST: usize = (1 << 14) + 2048;

/// How far the stream has come that was fed.
#[derive(Clone, Debug, Default)]
pub struct TlsRecords {
    /// The header of the record that is under way, as far as it has come.
    header: [u8; HEADER],
    /// How many bytes of the unfinished record were fed.
    partial: usize,
    /// How long that record is in all; nought until its header is whole.
    length: usize,
    /// This is no TLS, or no TLS that is known here.
    unknown: bool,
}

impl TlsRecords {
    /// The start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.feed_records(bytes, usize::MAX);
    }

    /// Takes the next bytes of the stream, up to the end of the record with which there are at least `enough` of them, or
    /// all. How many it took.
    pub fn feed_records(&mut self, bytes: &[u8], enough: usize) -> usize {
        let mut fed = 0;
        while fed < bytes.len() {
            fed += self.feed_record(&bytes[fed..]);
            if fed >= enough {
                break;
            }
        }
        fed
    }

    /// Takes bytes up to the end of one record, or all. How many it took.
    fn feed_record(&mut self, bytes: &[u8]) -> usize {
        if self.unknown {
            return bytes.len();
        }
        let mut fed = 0;
        if self.partial < HEADER {
            fed = bytes.len().min(HEADER - self.partial);
            self.header[self.partial..self.partial + fed].copy_from_slice(&bytes[..fed]);
            self.partial += fed;
            if self.partial < HEADER {
                return fed;
            }
            let [kind, major, _, high, low] = self.header;
            let body = usize::from(u16::from_be_bytes([high, low]));
            self.length = HEADER + body;
            self.unknown = !(20..=24).contains(&kind) || major != 3 || body > LARGEST;
            if self.unknown {
                return bytes.len();
            }
        }
        let taken = (bytes.len() - fed).min(self.length - self.partial);
        self.partial += taken;
        if self.partial == self.length {
            (self.partial, self.length) = (0, 0);
        }
        fed + taken
    }

    /// Whether a record has come whole that ends within the last `unread` bytes, as far as can be told: of a stream that
    /// is not understood, always.
    pub fn whole_among(&self, unread: usize) -> bool {
        self.unknown || unread > self.partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(length: u16) -> Vec<u8> {
        let mut bytes = vec![23, 3, 3];
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![0xff; usize::from(length)]);
        bytes
    }

    #[test]
    fn a_record_is_whole_with_its_last_byte() {
        let mut records = TlsRecords::new();
        let bytes = record(3);
        for (index, byte) in bytes.iter().enumerate() {
            records.feed(&[*byte]);
            assert_eq!(records.whole_among(index + 1), index + 1 == bytes.len());
        }
        assert!(!records.whole_among(0));
    }

    #[test]
    fn a_record_may_be_empty() {
        let mut records = TlsRecords::new();
        records.feed(&record(0));
        assert!(records.whole_among(1));
    }

    #[test]
    fn what_is_no_tls_can_always_be_read() {
        for bytes in [
            b"HTTP/1.1 400 Bad Request\r\n".as_slice(),
            &[0x80, 0x2e, 1, 3, 1],
            &[23, 3, 3, 0xff, 0xff],
        ] {
            let mut records = TlsRecords::new();
            records.feed(bytes);
            assert!(records.whole_among(0));
        }
    }

    #[test]
    fn records_are_taken_until_there_is_enough() {
        let bytes = [record(3), record(3), record(30), record(3)].concat();
        let mut records = TlsRecords::new();
        assert_eq!(records.feed_records(&bytes, 1), 8);
        assert_eq!(records.feed_records(&bytes[8..], 9), 8 + 35);
        assert_eq!(records.feed_records(&bytes[51..54], 100), 3);
        assert!(!records.whole_among(3));
        assert_eq!(records.feed_records(&bytes[54..], 1), 5);
        assert!(records.whole_among(1));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            lengths in prop::collection::vec(0_u16..2000, 1..8),
            cuts in prop::collection::vec(1_usize..3000, 1..40),
        ) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| record(*length)).collect();
            let mut ends = vec![0];
            for length in &lengths {
                ends.push(ends[ends.len() - 1] + HEADER + usize::from(*length));
            }
            let mut records = TlsRecords::new();
            let (mut fed, mut cuts) = (0, cuts.into_iter().cycle());
            while fed < bytes.len() {
                let cut = cuts.next().unwrap_or(1).min(bytes.len() - fed);
                records.feed(&bytes[fed..fed + cut]);
                fed += cut;
                let last = ends.iter().rev().find(|end| **end <= fed).copied().unwrap_or(0);
                for unread in [0, 1, fed - last, fed - last + 1, fed] {
                    // Of `unread` bytes the last `fed - last` belong to what is not whole yet.
                    prop_assert_eq!(records.whole_among(unread), unread > fed - last);
                }
            }
        }
    }
}
