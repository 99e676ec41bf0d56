//! A task awaits a `Future` that a callback completes.

use std::time::Duration;

fn mark_done(future: &riata::Future<&str>, result: &'static str) {
    println!("setting result");
    if let Err(error) = future.set_result(result) {
        println!("{error}");
    }
}

async fn main_task() -> Result<(), riata::FutureError> {
    let future = riata::Future::new();
    println!("scheduling mark_done");
    let promise = future.clone();
    riata::call_later(Duration::from_millis(500), move || {
        mark_done(&promise, "the result")
    });
    let result = future.await?;
    println!("res = {result}");
    Ok(())
}

fn main() -> Result<(), riata::FutureError> {
    riata::run(main_task())
}
