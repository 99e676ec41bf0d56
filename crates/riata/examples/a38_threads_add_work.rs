//! A loop on a thread of its own, given callbacks and tasks by another.

mod as_python;

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_lite::future;

/// Runs a loop until it is told to stop, after telling how to reach it.
fn run_loop(handle: mpsc::Sender<riata::Handle>, stop: oneshot::Receiver<()>) {
    let stopped = riata::run(async {
        if handle.send(riata::Handle::current()).is_ok() {
            stop.await
        } else {
            Ok(())
        }
    });
    if stopped.is_err() {
        println!("whoever was to stop the loop is gone");
    }
}

fn job(name: &str, main_thread: thread::ThreadId) {
    let off_main = as_python::truth(thread::current().id() != main_thread);
    println!("job {name} ran off the main thread: {off_main}");
}

async fn coro(seconds: f64) -> String {
    riata::sleep(Duration::from_secs_f64(seconds)).await;
    format!("coro {seconds}")
}

/// What is sent to another thread is `Send`, which tasks are not: these run within one task.
async fn many() -> Result<(String, String, ()), riata::TaskError> {
    let coros = future::zip(coro(0.1), coro(0.2));
    let slept = riata::run_in_executor(|| thread::sleep(Duration::from_millis(200)));
    let ((one, two), slept) = future::zip(coros, slept).await;
    Ok((one, two, slept?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (sender, handles) = mpsc::channel();
    let (stop, stopping) = oneshot::channel();
    let main_thread = thread::current().id();
    let loop_thread = thread::spawn(|| run_loop(sender, stopping));
    let handle = handles.recv()?;
    handle.call_soon_threadsafe(move || job("one", main_thread))?;
    println!("{}", handle.spawn(coro(0.5))?.wait()?);

    let (one, two, ()) = handle.spawn(many())?.wait()??;
    println!("['{one}', '{two}', None]");
    if stop.send(()).is_err() || loop_thread.join().is_err() {
        return Err("the loop ended badly".into());
    }
    Ok(())
}
