//! Done callbacks run on the loop, after whoever set the result, in the order they were added.

use std::error::Error;

fn callback(future: &riata::Future<&str>, n: u32) {
    if let Ok(Ok(result)) = future.result() {
        println!("future result: {result} n:{n}");
    }
}

async fn register_callbacks(future: &riata::Future<&'static str>) {
    println!("register callback on futures");
    future.add_done_callback(|future| callback(future, 1));
    future.add_done_callback(|future| callback(future, 2));
}

async fn main_task(future: riata::Future<&'static str>) -> Result<(), riata::InvalidState> {
    register_callbacks(&future).await;
    println!("setting result of future");
    future.set_result("the result")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    riata::run(main_task(riata::Future::new()))?;
    Ok(())
}
