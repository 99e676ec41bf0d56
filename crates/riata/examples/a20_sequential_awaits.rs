//! Awaiting one after the other takes the sum of both times, as a task too.

mod as_python;

use std::time::{Duration, Instant};

async fn task_func() {
    riata::sleep(Duration::from_secs(1)).await;
}

async fn main_task() -> Result<(), riata::TaskError> {
    task_func().await;
    riata::spawn(task_func()).await
}

fn main() -> Result<(), riata::TaskError> {
    let start = Instant::now();
    riata::run(main_task())?;
    as_python::print_seconds(start);
    Ok(())
}
