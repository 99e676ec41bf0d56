//! A callback that is not due when the loop ends is dropped.

use std::time::Duration;

fn callback(kind: &str, when: &str) {
    println!("{kind} {when}");
}

async fn main_task() {
    println!("register callback");
    riata::call_later(Duration::from_secs(2), || callback("call_later", "2s"));
    println!("call_later registered");
    riata::sleep(Duration::from_secs(1)).await;
    println!("will it run? no");
}

fn main() {
    riata::run(main_task());
}
