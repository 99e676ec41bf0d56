//! A type of one's own that runs as a greenlet.

use std::time::Duration;

use riata::green::{self, Greenlet};

struct Test {
    message: &'static str,
    n: Duration,
}

impl Test {
    fn run(self) {
        println!("{} start", self.message);
        green::sleep(self.n);
        println!("{} end", self.message);
    }

    fn start(self) -> Greenlet<()> {
        green::spawn(|| self.run())
    }
}

fn main() {
    green::run(|| {
        let test = |message, seconds| Test {
            message,
            n: Duration::from_secs_f64(seconds),
        };
        let tests = [test("hello", 1.5), test("world", 1.0)].map(Test::start);
        for test in &tests {
            test.join();
        }
    });
}
