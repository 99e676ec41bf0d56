//! A callback that is due when the main future ends. asyncio's loop makes one more turn then;
//! `run` returns at once, so whoever wants that turn asks for it.

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
    riata::run(async {
        main_task().await;
        riata::sleep(Duration::from_millis(1)).await;
    });
}
