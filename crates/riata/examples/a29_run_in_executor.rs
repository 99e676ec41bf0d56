//! `run_in_executor`: what blocks runs on threads, and the loop goes on meanwhile.

mod as_python;

use std::thread;
use std::time::{Duration, Instant};

fn foo(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
    println!("foo slept {seconds} s");
}

async fn bar() -> &'static str {
    riata::sleep(Duration::from_secs(3)).await;
    "bar"
}

async fn main_task() {
    let _running = [2.5, 2.0].map(|seconds| riata::run_in_executor(move || foo(seconds)));
    println!("returns at once");
    let result = bar().await;
    println!("{result}");
}

fn main() {
    let start = Instant::now();
    riata::run(main_task());
    as_python::print_seconds(start);
}
