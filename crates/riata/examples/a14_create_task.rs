//! A task made before the loop runs.

async fn coroutine() {
    println!("123");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut runtime = riata::Runtime::new()?;
    let task = runtime.spawn(coroutine());
    runtime.run(task)?;
    Ok(())
}
