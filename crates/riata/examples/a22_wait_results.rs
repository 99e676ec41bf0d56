//! `wait` gives the tasks that are done, to be asked for their results, and those that are not.

mod as_python;

use std::time::{Duration, Instant};

async fn task_func(n: u32) -> String {
    riata::sleep(Duration::from_secs(1)).await;
    format!("task{n}")
}

async fn main_task() -> Result<(), riata::TaskError> {
    let waited = riata::wait((1..5).map(|n| riata::spawn(task_func(n)))).await;
    let mut results = Vec::new();
    for task in waited.done {
        results.push(task.await?);
    }
    results.sort();
    println!("results: {}", as_python::list(&results));
    println!("pending: {}", waited.pending.len());
    Ok(())
}

fn main() -> Result<(), riata::TaskError> {
    let start = Instant::now();
    riata::run(main_task())?;
    as_python::print_seconds(start);
    Ok(())
}
