//! `gather`: done in any order, given in theirs.

use std::time::Duration;

async fn print_number(number: u32) -> u32 {
    riata::sleep(Duration::from_secs_f64(fastrand::f64())).await;
    println!("{number}");
    number
}

async fn main_task() {
    let results = riata::gather((0..10).map(print_number)).await;
    println!("results= {results:?}");
}

fn main() {
    riata::run(main_task());
}
