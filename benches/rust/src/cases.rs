//! What is measured inside one loop. A case does its work in one task, reads the CPU clock
//! before and after, and gives nanoseconds (or bytes) for each thing it did.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::loops::Loop;
use crate::readings::{Cpu, resident};

/// How much a case does.
#[derive(Copy, Clone, Debug)]
pub struct Amount {
    /// How many tasks, timers or waiters there are.
    pub size: usize,
    /// How often the thing is done, all told.
    pub count: usize,
}

/// Runs the case of this name; `None` if there is none.
pub fn run<L: Loop>(case: &str, amount: Amount) -> Option<io::Result<f64>> {
    Some(match case {
        "switch" => L::run(switch::<L>(amount)),
        "spawn" => L::run(spawn::<L>(amount)),
        "sleeping" => L::run(sleeping::<L>(amount)),
        "timer" => L::run(timer::<L>(amount)),
        "queue" => L::run(ping_pong::<L>(amount)),
        "limited queue" => L::run(limited::<L>(amount)),
        "lock" => L::run(lock::<L>(amount)),
        "give up" => L::run(give_up::<L>(amount)),
        "wake" => L::run(wake::<L>(amount)),
        "task bytes" => L::run(task_bytes::<L>(amount)),
        "sleeper bytes" => L::run(sleeper_bytes::<L>(amount)),
        _ => return None,
    })
}

/// `size` tasks that give each other turns.
async fn switch<L: Loop>(Amount { size, count }: Amount) -> f64 {
    let each = count / size;
    let cpu = Cpu::start();
    let tasks: Vec<_> = (0..size)
        .map(|_| {
            L::spawn(async move {
                for _ in 0..each {
                    L::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    cpu.each(each * size)
}

/// `size` tasks are spawned, which do nothing, and all awaited; again and again.
async fn spawn<L: Loop>(Amount { size, count }: Amount) -> f64 {
    let mut tasks = Vec::with_capacity(size);
    let rounds = count / size;
    let cpu = Cpu::start();
    for _ in 0..rounds {
        tasks.extend((0..size).map(|_| L::spawn(async {})));
        for task in tasks.drain(..) {
            task.await;
        }
    }
    cpu.each(rounds * size)
}

/// `size` tasks that sleep, for 1 to 100 milliseconds; again and again.
async fn sleeping<L: Loop>(Amount { size, count }: Amount) -> f64 {
    let mut delays = Delays(1);
    let rounds = count / size;
    let cpu = Cpu::start();
    for _ in 0..rounds {
        let tasks: Vec<_> = (0..size)
            .map(|_| {
                let delay = Duration::from_micros(1000 + delays.next() % 99_000);
                L::spawn(L::sleep(delay))
            })
            .collect();
        for task in tasks {
            task.await;
        }
    }
    cpu.each(rounds * size)
}

/// With `size` timers pending, one more is set and cancelled; with a turn of the loop for
/// every sixteen.
async fn timer<L: Loop>(Amount { size, count }: Amount) -> f64 {
    let mut delays = Delays(2);
    let mut delay = || Duration::from_micros(3_600_000_000 + delays.next() % 36_000_000_000);
    let mut others: Vec<_> = (0..size).map(|_| Box::pin(L::sleep(delay()))).collect();
    for other in &mut others {
        begin(other.as_mut()).await;
    }
    let cpu = Cpu::start();
    for number in 0..count {
        begin(pin!(L::sleep(delay()))).await;
        if number % 16 == 0 {
            L::yield_now().await;
        }
    }
    cpu.each(count)
}

/// Two tasks send a number to and fro through two queues; counted is each way.
async fn ping_pong<L: Loop>(Amount { count, .. }: Amount) -> f64 {
    let (to, mut arriving) = L::queue();
    let (back, mut returning) = L::queue();
    let rounds = count / 2;
    let cpu = Cpu::start();
    let partner = L::spawn(async move {
        for _ in 0..rounds {
            let item = L::get(&mut arriving).await;
            L::put(&back, item + 1);
        }
    });
    let mut item = 0;
    for _ in 0..rounds {
        L::put(&to, item);
        item = L::get(&mut returning).await;
    }
    partner.await;
    assert_eq!(item, rounds as u64);
    cpu.each(rounds * 2)
}

/// A producer and a consumer, with a queue of `size` between them.
async fn limited<L: Loop>(Amount { size, count }: Amount) -> f64 {
    let (sender, mut receiver) = L::limited(size);
    let cpu = Cpu::start();
    let producer = L::spawn(async move {
        for item in 0..count as u64 {
            L::put_limited(&sender, item).await;
        }
    });
    let mut sum = 0;
    for _ in 0..count {
        sum += L::get_limited(&mut receiver).await;
    }
    producer.await;
    assert_eq!(sum, (0..count as u64).sum());
    cpu.each(count)
}

/// `size` tasks want one lock; who has it gives the others a turn before releasing it.
async fn lock<L: Loop>(Amount { size, count }: Amount) -> f64 {
    let lock = Rc::new(L::lock());
    let each = count / size;
    let cpu = Cpu::start();
    let tasks: Vec<_> = (0..size)
        .map(|_| {
            let lock = Rc::clone(&lock);
            L::spawn(async move {
                for _ in 0..each {
                    let guard = L::acquire(&lock).await;
                    L::yield_now().await;
                    drop(guard);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    cpu.each(each * size)
}

/// While `size` tasks wait for a lock, one more begins to wait and gives up.
async fn give_up<L: Loop>(Amount { size, count }: Amount) -> f64 {
    let lock = Rc::new(L::lock());
    let guard = L::acquire(&lock).await;
    let waiting: Vec<_> = (0..size)
        .map(|_| {
            let lock = Rc::clone(&lock);
            L::spawn(async move {
                L::acquire(&lock).await;
            })
        })
        .collect();
    L::yield_now().await;
    let cpu = Cpu::start();
    for number in 0..count {
        begin(pin!(async {
            L::acquire(&lock).await;
        }))
        .await;
        if number % 16 == 0 {
            L::yield_now().await;
        }
    }
    let result = cpu.each(count);
    drop(guard);
    for task in waiting {
        task.await;
    }
    result
}

/// Another thread wakes a task and waits for its answer; the CPU time of both.
async fn wake<L: Loop>(Amount { count, .. }: Amount) -> f64 {
    let flag = Arc::new(Flag::default());
    let (answers, questions) = mpsc::channel();
    let other = thread::spawn({
        let flag = Arc::clone(&flag);
        move || {
            for () in questions {
                flag.raise();
            }
        }
    });
    let cpu = Cpu::start();
    for _ in 0..count {
        if answers.send(()).is_err() {
            break;
        }
        poll_fn(|context| flag.poll_lower(context.waker())).await;
    }
    let result = cpu.each(count);
    drop(answers);
    assert!(other.join().is_ok());
    result
}

/// What a task takes that waits for nothing in particular.
async fn task_bytes<L: Loop>(Amount { size, .. }: Amount) -> f64 {
    bytes::<L, _>(size, pending).await
}

/// What a sleeping task takes.
async fn sleeper_bytes<L: Loop>(Amount { size, .. }: Amount) -> f64 {
    bytes::<L, _>(size, || L::sleep(Duration::from_secs(3600))).await
}

async fn bytes<L: Loop, F: Future<Output = ()> + 'static>(
    size: usize,
    what: impl Fn() -> F,
) -> f64 {
    L::detach(what());
    L::yield_now().await;
    let before = resident();
    for _ in 0..size {
        L::detach(what());
    }
    // A loop may give us our turn before it has seen all the others.
    for _ in 0..10_000 {
        L::yield_now().await;
    }
    (resident() - before) / size as f64
}

/// Polls a future that is not yet ready.
async fn begin<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Delays without an order, the same ones for every loop.
struct Delays(u64);

impl Delays {
    fn next(&mut self) -> u64 {
        // Marsaglia's xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Raised by a thread, lowered by a task that waits for it.
#[derive(Default)]
struct Flag {
    is_up: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Flag {
    fn raise(&self) {
        self.is_up.store(true, Ordering::Release);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_lower(&self, waker: &Waker) -> Poll<()> {
        if self.is_up.swap(false, Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        if self.is_up.swap(false, Ordering::Acquire) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
