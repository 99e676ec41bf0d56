//! What Python writes as `async with`: a value that cleans up when it is dropped, and an
//! async closure that a function calls between its first half and its second.

use std::fs::File;
use std::io::{self, Read, Write};

/// A file that is open while this lives.
struct Open {
    file: File,
}

impl Open {
    async fn new(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
        })
    }
}

async fn main_task(path: &std::path::Path) -> io::Result<()> {
    let mut open = Open::new(path).await?;
    let mut text = String::new();
    open.file.read_to_string(&mut text)?;
    println!("{text}");
    Ok(())
}

async fn foo(body: impl AsyncFnOnce(&mut Vec<i32>)) {
    println!("xxx");
    let mut list = Vec::new();
    body(&mut list).await;
    println!("{list:?}");
}

async fn main_task_2() {
    foo(async |list| {
        list.push(1);
        list.push(2);
        list.push(3);
    })
    .await;
}

fn main() -> io::Result<()> {
    let mut album = tempfile::NamedTempFile::new()?;
    album.write_all("为什么你那么熟练啊".as_bytes())?;
    riata::run(main_task(album.path()))?;
    riata::run(main_task_2());
    Ok(())
}
