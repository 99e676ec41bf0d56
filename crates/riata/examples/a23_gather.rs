//! `gather`: several at once, their results in order.

mod as_python;

use std::time::{Duration, Instant};

async fn task_func(n: u32) -> String {
    riata::sleep(Duration::from_secs(1)).await;
    format!("task{n}")
}

async fn main_task() {
    let finished = riata::gather((1..5).map(task_func)).await;
    println!("results: {}", as_python::list(&finished));
}

fn main() {
    let start = Instant::now();
    riata::run(main_task());
    as_python::print_seconds(start);
}
