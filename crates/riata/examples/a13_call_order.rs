//! `call_soon`, `call_later` and `call_at` together: what is ready, then what is due, by
//! deadline; and what is neither when the loop ends never runs.

use std::thread;
use std::time::Duration;

fn callback(name: &str) {
    println!("callback {name}");
}

async fn main_task() {
    let now = riata::time();
    riata::call_at(now + Duration::from_millis(300), || callback("call_at"));
    riata::call_later(Duration::from_millis(200), || callback("call_later"));
    riata::call_soon(|| callback("call_soon"));
    thread::sleep(Duration::from_secs(1));
    riata::sleep(Duration::from_secs(1)).await;
}

async fn no_sleep() {
    let now = riata::time();
    riata::call_at(now + Duration::from_millis(200), || callback("call_at"));
    riata::call_later(Duration::from_millis(200), || callback("call_later"));
    riata::call_soon(|| callback("call_soon"));
}

fn main() {
    riata::run(no_sleep());
    println!("-----------");
    riata::run(main_task());
}
