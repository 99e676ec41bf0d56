//! Truth, lists and seconds, written as the Python programs print them.
#![allow(dead_code, reason = "each example uses what it needs")]

use std::fmt::Debug;
use std::time::Instant;

/// `True` or `False`.
pub fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `['a', 'b']`, for items without quotes in them.
pub fn list(items: &[impl Debug]) -> String {
    format!("{items:?}").replace('"', "'")
}

/// Prints how many seconds have gone by since `start`.
pub fn print_seconds(start: Instant) {
    println!("seconds: {:.1}", start.elapsed().as_secs_f64());
}
