//! The warning about what holds the loop up.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::time::Duration;

struct Lines(Mutex<Vec<String>>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

static LINES: Lines = Lines(Mutex::new(Vec::new()));

#[test]
fn a_step_that_takes_long_is_told_of_in_asyncios_words() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let mut runtime = riata::Runtime::builder().debug(true).build().unwrap();
    runtime.run(async {
        let task = riata::spawn(async {
            let began = std::time::Instant::now();
            while began.elapsed() < Duration::from_millis(110) {}
        });
        task.set_name("slow");
        task.await.unwrap();
    });
    let lines = LINES.0.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert!(
        line.starts_with("Executing <Task finished name='slow'> took 0."),
        "{line}"
    );
    assert!(line.ends_with(" seconds"), "{line}");
}
