//! `wait`: two tasks at once take the time of one.

mod as_python;

use std::time::{Duration, Instant};

async fn task_func() {
    riata::sleep(Duration::from_secs(1)).await;
}

async fn main_task() {
    riata::wait([riata::spawn(task_func()), riata::spawn(task_func())]).await;
}

fn main() {
    let start = Instant::now();
    riata::run(main_task());
    as_python::print_seconds(start);
}
