//! A reader whose reads block: each on a thread, so that two take the time of one.

mod as_python;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn Error>>;

struct Reader {
    file: File,
}

impl Reader {
    async fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
        })
    }

    async fn read(self) -> Result<String, Box<dyn Error>> {
        let mut file = self.file;
        let text = riata::run_in_executor(move || {
            thread::sleep(Duration::from_secs(2));
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| text)
        });
        Ok(text.await??)
    }
}

async fn foo(path: PathBuf) -> Outcome {
    let reader = Reader::open(path).await?;
    println!("{}", reader.read().await?);
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
        fs::write(path, "白色相簿什么的,已经无所谓了。")?;
    }
    let start = Instant::now();
    riata::run(main_task(paths))?;
    as_python::print_seconds(start);
    Ok(())
}
