//! A stream of lines, each of which blocks a thread for a second.

mod as_python;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

type Outcome = Result<(), Box<dyn Error>>;

struct Reader {
    lines: Arc<[String]>,
    index: usize,
}

impl Reader {
    fn open(path: PathBuf) -> io::Result<Self> {
        let lines = fs::read_to_string(path)?
            .lines()
            .map(String::from)
            .collect();
        Ok(Self { lines, index: 0 })
    }

    async fn next(&mut self) -> Result<Option<String>, riata::TaskError> {
        let (lines, index) = (Arc::clone(&self.lines), self.index);
        self.index += 1;
        riata::run_in_executor(move || {
            thread::sleep(Duration::from_secs(1));
            lines.get(index).cloned()
        })
        .await
    }
}

async fn foo(path: PathBuf) -> Outcome {
    let mut reader = Reader::open(path)?;
    while let Some(line) = reader.next().await? {
        println!("{line}");
    }
    Ok(())
}

async fn main_task(paths: [PathBuf; 2]) -> Outcome {
    for task in riata::wait(paths.map(|path| riata::spawn(foo(path))))
        .await
        .done
    {
        task.await??;
    }
    Ok(())
}

fn main() -> Outcome {
    let folder = tempfile::tempdir()?;
    let paths = ["1.txt", "2.txt"].map(|name| folder.path().join(name));
    for path in &paths {
        fs::write(path, "line\n".repeat(4))?;
    }
    let start = Instant::now();
    riata::run(main_task(paths))?;
    as_python::print_seconds(start);
    Ok(())
}
