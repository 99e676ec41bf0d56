//! `timeout` and `wait` with a limit; tasks that see their cancellation and go on being
//! cancelled.

mod as_python;

use std::time::{Duration, Instant};

async fn job(n: u32, time: Duration) -> String {
    match riata::catch_cancel(riata::sleep(time)).await {
        Ok(()) => format!("job{n}"),
        Err(cancelled) => {
            println!("job{n} cancelled");
            cancelled.raise().await
        }
    }
}

async fn main_task() -> Result<(), riata::TaskError> {
    let start = Instant::now();
    let limit = Duration::from_millis(1500);
    let results = riata::gather((0..4).map(|n| async move {
        let task = riata::spawn(job(n, Duration::from_secs(n.into())));
        riata::timeout(limit, task).await
    }));
    let mut shown = Vec::new();
    for result in results.await {
        shown.push(match result {
            Ok(output) => output?,
            Err(riata::Elapsed) => "TimeoutError".into(),
        });
    }
    println!("{}", as_python::list(&shown));

    let jobs = (4..8).map(|n| riata::spawn(job(n, Duration::from_secs(n.into()) / 2)));
    let waited = riata::wait(jobs).timeout(Duration::from_millis(2200)).await;
    let mut done = Vec::new();
    for task in waited.done {
        done.push(task.await?);
    }
    println!("{} {}", as_python::list(&done), waited.pending.len());
    for task in &waited.pending {
        task.cancel();
    }
    riata::wait(waited.pending).await;
    as_python::print_seconds(start);
    Ok(())
}

fn main() -> Result<(), riata::TaskError> {
    riata::run(main_task())
}
