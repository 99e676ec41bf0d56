//! A `Future` is made, given its value and asked for it without a running loop; a second
//! value is refused.

use std::error::Error;
use std::time::Duration;

fn mark_done(future: &riata::Future<&str>, result: &'static str) {
    println!("setting result");
    if let Err(error) = future.set_result(result) {
        println!("{error}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let future = riata::Future::new();
    riata::run(async {
        let promise = future.clone();
        riata::call_later(Duration::from_millis(500), move || {
            mark_done(&promise, "the value")
        });
        (&future).await
    })?;
    println!("{}", future.result()??);

    let future = riata::Future::new();
    future.set_result("xxx")?;
    println!("{}", future.result()??);
    println!("{}", future.result()??);
    if let Err(riata::InvalidState) = future.set_result("yyy") {
        println!("InvalidStateError");
    }
    Ok(())
}
