//! `call_at`, on the loop's clock, which is CLOCK_MONOTONIC.

mod as_python;

use std::thread;
use std::time::Duration;

use as_python::truth;
use rustix::time::{ClockId, clock_gettime};

fn callback(name: &str, due: riata::Time) {
    let late = riata::time() - due;
    let as_expected = Duration::from_millis(700) < late && late < Duration::from_millis(1200);
    println!(
        "callback {name} invoked, late by the blocking call: {}",
        truth(as_expected)
    );
}

async fn main_task() {
    let now = riata::time();
    let monotonic = clock_gettime(ClockId::Monotonic);
    let difference = monotonic.tv_sec as f64 + monotonic.tv_nsec as f64 / 1e9 - now.as_secs_f64();
    println!("clock is monotonic: {}", truth(difference.abs() < 1.0));
    println!("register callback");
    let due = now + Duration::from_millis(200);
    riata::call_at(due, move || callback("call_at", due));
    thread::sleep(Duration::from_secs(1));
    println!("me first");
    riata::sleep(Duration::from_secs(1)).await;
}

fn main() {
    riata::run(main_task());
}
