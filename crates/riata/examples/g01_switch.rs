//! Two greenlets that give each other a turn.

use std::time::Duration;

use riata::green;

fn foo() {
    println!("running in foo");
    green::sleep(Duration::ZERO);
    println!("com back from bar in to foo");
}

fn bar() {
    println!("running in bar");
    green::sleep(Duration::ZERO);
    println!("com back from foo in to bar");
}

fn main() {
    green::run(|| green::joinall(&[green::spawn(foo), green::spawn(bar)]));
}
