//! When a writer must pause, and when it may go on.
//!
//! CPython: `asyncio.transports._FlowControlMixin`.

use std::fmt;

const DEFAULT_HIGH: i64 = 64 * 1024;

/// A high and a low mark for the bytes that wait to be written, and which side of them a
/// stream is on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Watermarks {
    high: i64,
    low: i64,
    paused: bool,
}

/// What the protocol has to be told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Flow {
    /// `pause_writing`: more than the high mark waits.
    Pause,
    /// `resume_writing`: no more than the low mark waits.
    Resume,
    /// Nothing.
    Unchanged,
}

/// Limits that are not `high >= low >= 0`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LimitsError {
    /// The high mark, given or derived, in bytes.
    pub high: i64,
    /// The low mark, given or derived, in bytes.
    pub low: i64,
}

impl Watermarks {
    /// asyncio's default: high 64 KiB, low 16 KiB.
    pub const fn new() -> Self {
        Self {
            high: DEFAULT_HIGH,
            low: DEFAULT_HIGH / 4,
            paused: false,
        }
    }

    /// Sets the marks, in bytes. Of what is not given, `high` is four times `low` (64 KiB
    /// if neither is given) and `low` a quarter of `high`.
    ///
    /// A stream that is over its new high mark is not told by this: ask
    /// [`after_growth`](Self::after_growth), as CPython does.
    ///
    /// # Errors
    ///
    /// [`LimitsError`] unless `high >= low >= 0`; the marks stay.
    pub fn set(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), LimitsError> {
        let high = match (high, low) {
            (Some(high), _) => high,
            (None, Some(low)) => low.saturating_mul(4),
            (None, None) => DEFAULT_HIGH,
        };
        // Python's `//` rounds down, which matters for negative numbers in the message.
        let low = low.unwrap_or(high.div_euclid(4));
        if !(high >= low && low >= 0) {
            return Err(LimitsError { high, low });
        }
        self.high = high;
        self.low = low;
        Ok(())
    }

    /// The low and the high mark, in bytes.
    pub const fn limits(&self) -> (i64, i64) {
        (self.low, self.high)
    }

    /// Whether the protocol was told to pause and not yet to go on.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// To be asked when more waits than before, `pending` bytes in all.
    pub fn after_growth(&mut self, pending: usize) -> Flow {
        if self.paused || clamp(pending) <= self.high {
            return Flow::Unchanged;
        }
        self.paused = true;
        Flow::Pause
    }

    /// To be asked when less waits than before, `pending` bytes in all.
    pub fn after_drain(&mut self, pending: usize) -> Flow {
        if !self.paused || clamp(pending) > self.low {
            return Flow::Unchanged;
        }
        self.paused = false;
        Flow::Resume
    }
}

fn clamp(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Default for Watermarks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { high, low } = self;
        write!(f, "high ({high}) must be >= low ({low}) must be >= 0")
    }
}

impl std::error::Error for LimitsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_derived() {
        let mut marks = Watermarks::new();
        assert_eq!(marks.limits(), (16 * 1024, 64 * 1024));
        assert_eq!(marks.set(Some(100), None), Ok(()));
        assert_eq!(marks.limits(), (25, 100));
        assert_eq!(marks.set(None, Some(10)), Ok(()));
        assert_eq!(marks.limits(), (10, 40));
        assert_eq!(marks.set(Some(0), None), Ok(()));
        assert_eq!(marks.limits(), (0, 0));
        assert_eq!(marks.set(None, None), Ok(()));
        assert_eq!(marks.limits(), (16 * 1024, 64 * 1024));
    }

    #[test]
    fn limits_out_of_order_are_refused_and_change_nothing() {
        let mut marks = Watermarks::new();
        let error = marks.set(Some(5), Some(10));
        assert_eq!(error, Err(LimitsError { high: 5, low: 10 }));
        let error = marks.set(Some(-1), None);
        assert_eq!(error, Err(LimitsError { high: -1, low: -1 }));
        assert_eq!(marks, Watermarks::new());
    }

    #[test]
    fn a_writer_is_told_once_each_way() {
        let mut marks = Watermarks::new();
        assert_eq!(marks.set(Some(10), Some(4)), Ok(()));
        assert_eq!(marks.after_growth(10), Flow::Unchanged);
        assert_eq!(marks.after_growth(11), Flow::Pause);
        assert_eq!(marks.after_growth(12), Flow::Unchanged);
        assert_eq!(marks.after_drain(5), Flow::Unchanged);
        assert_eq!(marks.after_drain(4), Flow::Resume);
        assert_eq!(marks.after_drain(0), Flow::Unchanged);
    }

    #[test]
    fn a_high_mark_of_zero_pauses_at_the_first_byte() {
        let mut marks = Watermarks::new();
        assert_eq!(marks.set(Some(0), None), Ok(()));
        assert_eq!(marks.after_growth(0), Flow::Unchanged);
        assert_eq!(marks.after_growth(1), Flow::Pause);
        assert_eq!(marks.after_drain(0), Flow::Resume);
    }
}
