//! What a timer costs, in nanoseconds: `cargo bench -p riata-engine --bench timers`.
//!
//! Two jobs at several sizes. *Timeouts*: start one and cancel it, beside so many others, as
//! a server does for each request. *Sleeps*: fire the earliest and start another.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use riata_engine::{Nanos, Timers};

const ROUNDS: u64 = 2_000_000;

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn filled(size: u64, numbers: &mut Numbers) -> Timers<u64> {
    let mut timers = Timers::new();
    for payload in 0..size {
        timers.insert(Nanos(numbers.next() >> 20), payload);
    }
    timers
}

fn per_round(job: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    job();
    begin.elapsed().as_nanos() as f64 / ROUNDS as f64
}

fn main() {
    println!("{:>9} {:>10} {:>10}", "timers", "timeouts", "sleeps");
    for size in [10, 1_000, 100_000, 1_000_000] {
        let mut numbers = Numbers(88_172_645_463_325_252);
        let mut timers = filled(size, &mut numbers);
        let timeouts = per_round(|| {
            for round in 0..ROUNDS {
                let key = timers.insert(Nanos(numbers.next() >> 20), round);
                black_box(timers.remove(key));
            }
        });
        let mut timers = filled(size, &mut numbers);
        let sleeps = per_round(|| {
            for round in 0..ROUNDS {
                let now = timers.next_deadline().unwrap_or_default();
                black_box(timers.pop_due(now));
                let later = now.saturating_add(Nanos(numbers.next() >> 20));
                timers.insert(later, round);
            }
        });
        println!("{size:>9} {timeouts:>10.1} {sleeps:>10.1}");
    }
}
