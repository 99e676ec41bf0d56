//! `call_later`: callbacks run in the order of their deadlines.

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
    println!("-----------");
    riata::sleep(Duration::from_millis(600)).await;
}

fn main() -> std::io::Result<()> {
    let mut runtime = riata::Runtime::new()?;
    println!("entering event loop");
    runtime.run(main_task());
    println!("closing event loop");
    runtime.close()
}
