//! `call_soon`: callbacks run in their order, after what runs now. Arguments are what the
//! closure captures.

use std::time::Duration;

fn callback(args: (&str, u32), kwargs: &str) {
    println!("callback: ('{}', {}) {kwargs}", args.0, args.1);
}

async fn main_task() {
    println!("register callback");
    riata::call_soon(|| callback(("mashiro", 16), "{}"));
    println!("********");
    let wrapped = || callback(("mahsiro", 16), "{'kwargs': {'name': 'satori', 'age': 16}}");
    riata::call_soon(wrapped);
    println!("--------");
    riata::sleep(Duration::from_millis(600)).await;
}

fn main() {
    riata::run(main_task());
}
