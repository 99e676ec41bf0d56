//! Watermarks as asyncio's TLS has them: reached is enough, where its sockets' have to be passed.
//!
//! CPython: `asyncio.sslproto.add_flowcontrol_defaults`, `_control_app_writing`, `_control_ssl_reading`.

use riata_engine::stream::{Flow, LimitsError};

/// A high and a low mark, in bytes, and which side of them is paused.
#[derive(Clone, Copy)]
pub struct Marks {
    /// From here on there is too much.
    pub high: i64,
    /// Down to here there is little enough to go on.
    pub low: i64,
    /// Whoever produces was told to pause.
    pub paused: bool,
}

impl Marks {
    /// The marks that asyncio sets when the program gives none: `high` bytes, and a quarter.
    pub fn new(high: i64) -> Self {
        Self {
            high,
            low: high.div_euclid(4),
            paused: false,
        }
    }

    /// Sets the marks, in bytes. Of what is not given, `high` is four times `low`, or `default` if neither is given, and
    /// `low` a quarter of `high`.
    ///
    /// # Errors
    /// Unless `high >= low >= 0`; the marks stay.
    pub fn set(
        &mut self,
        high: Option<i64>,
        low: Option<i64>,
        default: i64,
    ) -> Result<(), LimitsError> {
        let high = match (high, low) {
            (Some(high), _) => high,
            (None, Some(low)) => low.saturating_mul(4),
            (None, None) => default,
        };
        // Python's `//` rounds down.
        let low = low.unwrap_or(high.div_euclid(4));
        if !(high >= low && low >= 0) {
            return Err(LimitsError { high, low });
        }
        (self.high, self.low) = (high, low);
        Ok(())
    }

    /// What to tell whoever produces, now that there are `size` bytes.
    pub fn look(&mut self, size: usize) -> Flow {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        if size >= self.high && !self.paused {
            self.paused = true;
            Flow::Pause
        } else if size <= self.low && self.paused {
            self.paused = false;
            Flow::Resume
        } else {
            Flow::Unchanged
        }
    }
}
