//! A queue read as a stream, as Tornado's is with `async for`.

mod as_python;

use std::error::Error;
use std::time::{Duration, Instant};

use riata::Queue;

type Outcome = Result<(), Box<dyn Error>>;

async fn consumer(queue: Queue<Option<u32>>, n: usize) -> Outcome {
    let mut items = queue.items();
    while let Some(item) = items.next().await {
        riata::sleep(Duration::from_millis(100)).await;
        queue.task_done()?;
        let Some(item) = item else {
            break;
        };
        println!("consumer {n}: item {item}");
    }
    Ok(())
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
