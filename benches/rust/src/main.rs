//! riata beside tokio, smol and monoio, in one run, in turn, by CPU time.
//!
//! Each measurement is a process of its own: this program starts itself. The loops take turns, so
//! that a machine that gets slower slows all of them; what is compared is the ratio of medians,
//! given with the smallest and the largest ratio of one round.
//!
//! `riata-benches [--quick] [--rounds N] [--only TEXT]`

mod cases;
mod loops;
mod plan;
mod readings;
mod server;
mod table;

use std::error::Error;
use std::process::{Command, ExitCode};

use cases::Amount;
use loops::{Loop, Monoio, Riata, Smol, Tokio};
use plan::{Kind, PLAN, Row};
use table::Report;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The loops, in the order they take turns.
const LOOPS: [&str; 4] = ["riata", "tokio", "smol", "monoio"];

struct Options {
    is_quick: bool,
    rounds: usize,
    only: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("--child") => child(&arguments[1..]),
        _ => options(&arguments).and_then(|options| compare(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("riata-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Result<Options> {
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let mut options = Options {
        is_quick,
        rounds: if is_quick { 3 } else { 9 },
        only: String::new(),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--quick" => {}
            "--rounds" => options.rounds = rest.next().ok_or("--rounds wants a number")?.parse()?,
            "--only" => options.only = rest.next().ok_or("--only wants a text")?.clone(),
            other => return Err(format!("what is {other}? See the top of main.rs").into()),
        }
    }
    if options.rounds == 0 {
        return Err("--rounds wants at least one".into());
    }
    Ok(options)
}

/// Measures everything and prints the tables.
fn compare(options: &Options) -> Result<()> {
    let mut report = Report::default();
    for row in PLAN.iter().filter(|row| row.name.contains(&options.only)) {
        if row.kind == Kind::Hello
            && let Some(missing) = server::what_is_missing()
        {
            eprintln!("{} is left out: {missing}", row.name);
            continue;
        }
        let loops = if row.is_for_all(options.is_quick) {
            &LOOPS[..]
        } else {
            &LOOPS[..2]
        };
        let mut readings = vec![Vec::new(); loops.len()];
        for _ in 0..row.rounds(options.rounds) {
            for (name, readings) in loops.iter().zip(&mut readings) {
                readings.push(measure(name, row, options.is_quick)?);
            }
        }
        eprintln!("{}", report.add(row, readings));
    }
    print!("{report}");
    Ok(())
}

/// One measurement, in a process of its own.
fn measure(name: &str, row: &Row, is_quick: bool) -> Result<f64> {
    let count = row.count(is_quick);
    match row.kind {
        Kind::Echo => server::echo(name, row.size, count),
        Kind::IdleConnection => server::idle_connection(name, row.size),
        Kind::Hello => server::hello(name, row.size, count),
        Kind::Time | Kind::Bytes => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--child", name, row.case]);
            let output = command
                .args([row.size.to_string(), count.to_string()])
                .output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{} on {name}: {said}", row.name).into());
            }
            Ok(String::from_utf8(output.stdout)?.trim().parse()?)
        }
    }
}

/// What the process of one measurement does: `LOOP CASE SIZE COUNT`, `LOOP echo BUFFER` or `LOOP hello`.
fn child(arguments: &[String]) -> Result<()> {
    let [name, case, numbers @ ..] = arguments else {
        return Err("which loop, and which case?".into());
    };
    match name.as_str() {
        "riata" => one::<Riata>(case, numbers),
        "tokio" => one::<Tokio>(case, numbers),
        "smol" => one::<Smol>(case, numbers),
        "monoio" => one::<Monoio>(case, numbers),
        _ => Err(format!("no loop is called {name}").into()),
    }
}

fn one<L: Loop>(case: &str, numbers: &[String]) -> Result<()> {
    match numbers {
        [] if case == "hello" => Ok(server::serve::<L>(None)?),
        [buffer] if case == "echo" => Ok(server::serve::<L>(Some(buffer.parse()?))?),
        [size, count] => {
            let amount = Amount {
                size: size.parse()?,
                count: count.parse()?,
            };
            let reading = cases::run::<L>(case, amount).ok_or("no such case")??;
            println!("{reading}");
            // What is still there (100,000 tasks) need not be taken apart.
            std::process::exit(0)
        }
        _ => Err("a case wants a size and a count".into()),
    }
}
