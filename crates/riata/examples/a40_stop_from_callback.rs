//! A done callback ends the loop: the future that `run` waits for is one that the callback
//! completes.

mod as_python;

use std::error::Error;
use std::time::Duration;

use as_python::truth;

async fn work(n: u32) -> u32 {
    riata::sleep(Duration::from_millis(100) * n).await;
    n
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut runtime = riata::Runtime::new()?;
    let handle = runtime.handle();
    let task = runtime.spawn(work(3));
    let stop = riata::Future::new();
    let stopper = stop.clone();
    task.add_done_callback(move |task| {
        if stopper.set_result(task.is_done()).is_err() {
            println!("stopped already");
        }
    });
    runtime.run(stop)?;
    println!("task returned {}", runtime.run(task)?);
    println!(
        "stopped, running: {}",
        truth(riata::current_task().is_some())
    );
    runtime.close()?;
    println!("closed: {}", truth(handle.is_closed()));
    Ok(())
}
