//! Every twin of an asyncio program prints what the program prints on asyncio.
//!
//! `examples/expected/NAME.out` is what `examples/NAME.rs` must print. The examples are run as
//! they were built last: `cargo test` builds them, `cargo test --test examples` alone does not.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long one may run; the longest sleeps 5 s.
const LIMIT: Duration = Duration::from_secs(60);
/// Seconds that a line `seconds: 1.0` may be off.
const TOLERANCE: f64 = 0.3;
/// These run jobs whose order is not promised.
const ANY_ORDER: [&str; 5] = ["a33", "a34", "a36", "a39", "g02"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The names of the files in `folder` that end in `suffix`, without it.
fn names(folder: &Path, suffix: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files
        .filter_map(|name| name.strip_suffix(suffix).map(String::from))
        .collect()
}

fn is_twin(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|it| b"agh".contains(&it))
        && letters.next().is_some_and(|it| it.is_ascii_digit())
}

/// Runs an example; what it printed and how it ended.
fn run(name: &str) -> io::Result<(String, ExitStatus)> {
    // target/PROFILE/deps/examples-… and target/PROFILE/examples/NAME
    let here = std::env::current_exe()?;
    let program = here.ancestors().nth(2).unwrap().join("examples").join(name);
    let mut child = Command::new(program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        let _ = sender.send(read.map(|_| text));
    });
    match receiver.recv_timeout(LIMIT) {
        Ok(text) => Ok((text?, child.wait()?)),
        Err(RecvTimeoutError::Timeout) => {
            child.kill()?;
            child.wait()?;
            Err(io::Error::other(format!("no end within {LIMIT:?}")))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The lines with what nobody promises taken out.
fn normal(name: &str, text: &str) -> Vec<String> {
    let mut coros = BTreeMap::new();
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| match &name[..3] {
            // Which consumer is first; the order of the items is promised.
            "a27" | "a28" => match line.split_once(": ") {
                Some((who, item)) if who.starts_with("consumer ") => format!("consumer: {item}"),
                _ => line.into(),
            },
            // Which coroutine is first; who waited first goes on first.
            "a25" | "a26" if line.starts_with("coro") => {
                let (who, rest) = line.split_once(' ').unwrap();
                let count = coros.len();
                let number = coros.entry(who).or_insert(count);
                format!("coro-{number} {rest}")
            }
            _ => line.into(),
        })
        .collect();
    if ANY_ORDER.contains(&&name[..3]) {
        lines.sort();
    }
    lines
}

fn is_same(expected: &str, got: &str) -> bool {
    let seconds = |line: &str| line.strip_prefix("seconds: ")?.parse::<f64>().ok();
    match (seconds(expected), seconds(got)) {
        (Some(expected), Some(got)) => (expected - got).abs() <= TOLERANCE,
        _ => expected == got,
    }
}

/// What is wrong with an example, if anything.
fn difference(name: &str) -> Option<String> {
    let expected = folder().join("expected").join(format!("{name}.out"));
    let expected = normal(name, &fs::read_to_string(expected).unwrap());
    match run(name) {
        Err(error) => Some(format!("{name}: {error} (built? cargo build --examples)")),
        Ok((_, status)) if !status.success() => Some(format!("{name}: {status}")),
        Ok((text, _)) => {
            let got = normal(name, &text);
            let agree = expected.len() == got.len()
                && expected
                    .iter()
                    .zip(&got)
                    .all(|(one, two)| is_same(one, two));
            (!agree).then(|| format!("{name}: expected {expected:#?}, got {got:#?}"))
        }
    }
}

#[test]
fn every_example_prints_what_its_python_twin_prints() {
    let names = names(&folder().join("expected"), ".out");
    let runs: Vec<_> = names
        .into_iter()
        .map(|name| thread::spawn(move || difference(&name)))
        .collect();
    assert!(runs.len() > 30, "{} examples", runs.len());
    let differences: Vec<_> = runs
        .into_iter()
        .filter_map(|run| run.join().unwrap())
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_twin_has_its_expected_output_and_its_line_in_the_list() {
    let mut twins = names(&folder(), ".rs");
    twins.retain(|name| is_twin(name));
    assert_eq!(twins, names(&folder().join("expected"), ".out"));
    let list = fs::read_to_string(folder().join("README.md")).unwrap();
    let (kept, left_out) = list.split_once("## Left out").unwrap();
    for name in &twins {
        let row = format!("| {name} |");
        assert!(kept.contains(&row) && !left_out.contains(&row), "{name}");
    }
}
