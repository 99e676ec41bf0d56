//! What the future gives is what `run` returns, on a loop of one's own as on a new one.

async fn coroutine() -> &'static str {
    println!("in coroutine");
    "result"
}

fn main() -> std::io::Result<()> {
    let mut runtime = riata::Runtime::new()?;
    let result = runtime.run(coroutine());
    println!("{result}");
    runtime.close()?;
    println!("{}", riata::run(coroutine()));
    Ok(())
}
