//! A callback that is due waits until the running task awaits.

use std::thread;
use std::time::Duration;

fn callback(kind: &str, when: &str) {
    println!("{kind} {when}");
}

async fn main_task() {
    println!("register callback");
    riata::call_later(Duration::from_secs(2), || callback("call_later", "2s"));
    println!("call_later registered");
    riata::sleep(Duration::from_millis(1500)).await;
    thread::sleep(Duration::from_secs(1));
    println!("before the late callback");
    riata::sleep(Duration::from_millis(100)).await;
    println!("after the late callback");
}

fn main() {
    riata::run(main_task());
}
