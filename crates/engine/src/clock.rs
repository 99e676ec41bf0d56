//! Points in time and spans of it, in whole nanoseconds.
//!
//! Users speak in `f64` seconds (`loop.time() + 0.1`), the engine in integers. The two
//! conversions are made so that they agree: a deadline has come, in integers, only when
//! the clock a user reads shows at least the number asked for. No sleep returns early,
//! not even by the last bit of a float.

use rustix::time::{ClockId, clock_gettime};

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Nanoseconds: since the epoch of the clock they were read from, or a span.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Later than any clock will ever show (584 years).
    pub const MAX: Self = Self(u64::MAX);

    /// The sum, or [`Nanos::MAX`] where it does not fit.
    pub const fn saturating_add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The difference, or zero where `span` is the longer.
    pub const fn saturating_sub(self, span: Self) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// Seconds, rounded as CPython's `time.monotonic()` rounds them.
    ///
    /// CPython divides the nanoseconds, as a double, by 1e9 (`PyTime_AsSecondsDouble`), so
    /// that the same reading gives the same float here and there. Its special case for
    /// whole seconds gives the same answer below 2^62 ns: 1e9 is a multiple of 2^9, and so
    /// whole seconds are exact in a double.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The smallest value whose [`as_secs_f64`](Self::as_secs_f64) is not below `secs`.
    ///
    /// NaN and what is negative give zero, what is too large gives [`Nanos::MAX`].
    pub fn not_before_secs_f64(secs: f64) -> Self {
        if secs.is_nan() || secs <= 0.0 {
            return Self(0);
        }
        // Rounded up. A cast from float saturates; from 2^53 on every product is whole.
        let product = secs * 1e9;
        let whole = product as u64;
        let guess = whole.saturating_add(u64::from((whole as f64) < product));
        let reaches = |nanos: u64| Self(nanos).as_secs_f64() >= secs;
        if reaches(guess) && !reaches(guess.saturating_sub(1)) {
            return Self(guess);
        }
        // Each of the product, the cast and the quotient is off by at most one part in
        // 2^53; the window is eight times that.
        let window = 4 + (guess >> 50);
        let mut below = guess.saturating_sub(window);
        let mut reached = guess.saturating_add(window);
        if !reaches(reached) {
            return Self::MAX;
        }
        while below < reached {
            let middle = below + (reached - below) / 2;
            if reaches(middle) {
                reached = middle;
            } else {
                below = middle + 1;
            }
        }
        Self(reached)
    }
}

/// Now, on CLOCK_MONOTONIC: the clock of CPython's `time.monotonic()`.
pub fn monotonic() -> Nanos {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative: the clock counts up from the machine's start.
    Nanos(now.tv_sec as u64 * NANOS_PER_SEC + now.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_a_time_has_a_place() {
        assert_eq!(Nanos::not_before_secs_f64(f64::NAN), Nanos(0));
        assert_eq!(Nanos::not_before_secs_f64(-1.0), Nanos(0));
        assert_eq!(Nanos::not_before_secs_f64(-0.0), Nanos(0));
        assert_eq!(Nanos::not_before_secs_f64(f64::NEG_INFINITY), Nanos(0));
        assert_eq!(Nanos::not_before_secs_f64(f64::INFINITY), Nanos::MAX);
        assert_eq!(Nanos::not_before_secs_f64(1e300), Nanos::MAX);
        assert_eq!(Nanos::not_before_secs_f64(f64::MIN_POSITIVE), Nanos(1));
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let earlier = monotonic();
        assert!(monotonic() >= earlier);
    }

    fn is_the_smallest(secs: f64) -> bool {
        let nanos = Nanos::not_before_secs_f64(secs);
        let too_large = nanos == Nanos::MAX && nanos.as_secs_f64() < secs;
        let reached = nanos.as_secs_f64() >= secs;
        let smallest = nanos.0 == 0 || Nanos(nanos.0 - 1).as_secs_f64() < secs;
        too_large || (reached && smallest)
    }

    proptest! {
        #[test]
        fn no_deadline_is_earlier_than_asked(secs in 0.0..2e10f64) {
            prop_assert!(is_the_smallest(secs));
        }

        #[test]
        fn nor_in_a_float_of_any_size(bits in any::<u64>()) {
            let secs = f64::from_bits(bits);
            prop_assert!(secs.is_nan() || secs <= 0.0 || is_the_smallest(secs));
        }

        #[test]
        fn a_reading_of_the_clock_comes_back_no_later(nanos in any::<u64>()) {
            let reading = Nanos(nanos).as_secs_f64();
            prop_assert!(Nanos::not_before_secs_f64(reading) <= Nanos(nanos));
            prop_assert!(is_the_smallest(reading));
        }

        #[test]
        fn a_short_sleep_from_a_long_uptime(up in 0..1u64 << 60, delay in 0.0..1.0f64) {
            prop_assert!(is_the_smallest(Nanos(up).as_secs_f64() + delay));
        }
    }
}
