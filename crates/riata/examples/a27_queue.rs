//! `Queue`: three consumers, a producer, `task_done` and `join`.

mod as_python;

use std::error::Error;
use std::time::{Duration, Instant};

use riata::Queue;

type Outcome = Result<(), Box<dyn Error>>;

async fn consumer(queue: Queue<Option<u32>>, n: usize) -> Outcome {
    loop {
        riata::sleep(Duration::from_millis(200)).await;
        let item = queue.get().await?;
        match item {
            Some(item) => println!("consumer {n}: item {item}"),
            None => println!("consumer {n}: item None"),
        }
        queue.task_done()?;
        if item.is_none() {
            return Ok(());
        }
    }
}

async fn producer(queue: Queue<Option<u32>>, consumers: usize) -> Outcome {
    for item in 1..22 {
        queue.put(Some(item)).await?;
    }
    for _ in 0..consumers {
        queue.put(None).await?;
    }
    queue.join().await;
    println!("all consumed");
    Ok(())
}

async fn main_task(consumers: usize) -> Outcome {
    let queue = Queue::new(0);
    let mut tasks: Vec<_> = (0..consumers)
        .map(|n| riata::spawn(consumer(queue.clone(), n)))
        .collect();
    tasks.push(riata::spawn(producer(queue, consumers)));
    for task in riata::wait(tasks).await.done {
        task.await??;
    }
    Ok(())
}

fn main() -> Outcome {
    let start = Instant::now();
    riata::run(main_task(3))?;
    as_python::print_seconds(start);
    Ok(())
}
