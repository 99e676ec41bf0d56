//! The same function called one by one, and in ten greenlets at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use riata::green;

fn task(pid: u32) {
    let random = RandomState::new().hash_one(pid);
    green::sleep(Duration::from_millis(random % 3));
    println!("Task {pid} done");
}

fn synchronous() {
    (1..10).for_each(task);
}

fn asynchronous() {
    let threads: Vec<_> = (0..10).map(|i| green::spawn(move || task(i))).collect();
    green::joinall(&threads);
}

fn main() {
    green::run(|| {
        println!("Synchronous:");
        synchronous();
        println!("Asynchronous:");
        asynchronous();
    });
}
