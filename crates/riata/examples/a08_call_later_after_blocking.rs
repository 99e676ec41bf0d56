//! Blocking the loop makes callbacks late, but keeps their order.

use std::thread;
use std::time::Duration;

fn callback(kind: &str, when: &str) {
    println!("{kind} {when}");
}

async fn main_task() {
    println!("register callback");
    riata::call_later(Duration::from_millis(200), || {
        callback("call_later", "0.2s")
    });
    riata::call_later(Duration::from_millis(100), || {
        callback("call_later", "0.1s")
    });
    riata::call_soon(|| callback("call_soon", "None"));
    thread::sleep(Duration::from_secs(1)); // blocks the loop: every deadline above passes
    riata::sleep(Duration::from_millis(600)).await;
}

fn main() {
    riata::run(main_task());
}
