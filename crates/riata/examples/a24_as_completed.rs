//! `as_completed`: results in the order in which they come.

mod as_python;

use std::time::{Duration, Instant};

async fn task_func(n: u64) -> String {
    riata::sleep(Duration::from_secs(n)).await;
    format!("task{n}")
}

async fn main_task() -> Result<(), riata::TaskError> {
    let tasks = [2, 1, 3, 4].map(|n| riata::spawn(task_func(n)));
    let mut completed = riata::as_completed(tasks);
    while let Some(result) = completed.next().await {
        println!("{}", result?);
    }
    Ok(())
}

fn main() -> Result<(), riata::TaskError> {
    let start = Instant::now();
    riata::run(main_task())?;
    as_python::print_seconds(start);
    Ok(())
}
