//! The first programs of asyncio's manual: saying things later, and waiting for a task.

mod as_python;

use std::time::{Duration, Instant};

async fn say_after(delay: Duration, what: &str) {
    riata::sleep(delay).await;
    println!("{what}");
}

async fn main_task() {
    let start = Instant::now();
    say_after(Duration::from_secs(1), "hello").await;
    say_after(Duration::from_secs(2), "world").await;
    as_python::print_seconds(start);
}

async fn foo() -> u32 {
    42
}

async fn wait_for_set() -> Result<(), riata::TaskError> {
    let task = riata::spawn(foo());
    let ours = task.to_ref();
    let waited = riata::wait([task]).await;
    for task in waited.done {
        if task.to_ref() == ours {
            println!("done {} {}", task.await?, waited.pending.len());
        }
    }
    Ok(())
}

fn main() -> Result<(), riata::TaskError> {
    riata::run(main_task());
    riata::run(wait_for_set())
}
