//! A loop of one's own runs a future and is closed.

async fn coroutine() {
    println!("in coroutine");
}

fn main() -> std::io::Result<()> {
    let mut runtime = riata::Runtime::new()?;
    println!("start coroutine");
    let future = coroutine();
    println!("entering event loop");
    runtime.run(future);
    println!("closing event loop");
    runtime.close()
}
