//! A callback that is due when the main future ends: the loop makes one more turn then.

use std::thread;
use std::time::Duration;

fn callback(kind: &str, when: &str) {
    println!("{kind} {when}");
}

async fn main_task() {
    println!("register callback");
    riata::call_later(Duration::from_secs(2), || callback("call_later", "2s"));
    println!("call_later registered");
    riata::sleep(Duration::from_secs(1)).await;
    thread::sleep(Duration::from_millis(1010));
    println!("will it run? yes");
}

fn main() {
    riata::run(main_task());
}
