//! Locks, events, conditions, semaphores, barriers and queues: fair, and nothing lost when a
//! waiter is dropped.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use riata::{
    Barrier, BrokenBarrier, Condition, Event, LifoQueue, Lock, PriorityQueue, PutError, Queue,
    QueueShutDown, Runtime, Semaphore, spawn, yield_now,
};

fn run<F: Future>(future: F) -> F::Output {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(future)
}

async fn settle() {
    riata::sleep(Duration::from_millis(1)).await;
}

#[test]
fn a_released_lock_belongs_to_who_has_waited_longest() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        let order = Rc::new(RefCell::new(Vec::new()));
        let guard = lock.acquire().await;
        for number in 0..3 {
            let (lock, order) = (Rc::clone(&lock), Rc::clone(&order));
            spawn(async move {
                let _guard = lock.acquire().await;
                order.borrow_mut().push(number);
            })
            .detach();
        }
        yield_now().await;
        drop(guard);
        // Released, and yet not to be had by who comes now.
        assert!(lock.try_acquire().is_none());
        drop(lock.acquire().await);
        assert_eq!(*order.borrow(), [0, 1, 2]);
    });
}

#[test]
fn a_waiter_cancelled_when_it_was_just_served_passes_on() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await;
        let waiters = [0, 1].map(|number| {
            let lock = Rc::clone(&lock);
            spawn(async move {
                let _guard = lock.acquire().await;
                number
            })
        });
        yield_now().await;
        drop(guard);
        let [first, second] = waiters;
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(second.await.unwrap(), 1);
        assert!(!lock.is_locked());
    });
}

#[test]
fn an_event_lets_all_go_even_if_it_is_cleared_at_once() {
    run(async {
        let event = Rc::new(Event::new());
        let waiters = [0, 1].map(|_| {
            let event = Rc::clone(&event);
            spawn(async move { event.wait().await })
        });
        yield_now().await;
        event.set();
        event.clear();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        let late = riata::timeout(Duration::from_secs(1), event.wait()).await;
        assert!(late.is_err());
    });
}

#[test]
fn a_notification_passes_on_when_its_waiter_is_cancelled() {
    run(async {
        let condition = Rc::new(Condition::new(0));
        let waiters = [1, 2].map(|number| {
            let condition = Rc::clone(&condition);
            spawn(async move {
                let guard = condition.acquire().await;
                *condition.wait(guard).await += number;
            })
        });
        settle().await;
        let guard = condition.acquire().await;
        condition.notify(1);
        let [first, second] = waiters;
        first.cancel();
        drop(guard);
        assert!(first.await.unwrap_err().is_cancelled());
        second.await.unwrap();
        assert_eq!(*condition.acquire().await, 2);
    });
}

#[test]
#[should_panic(expected = "cannot notify on un-acquired lock")]
fn only_the_holder_of_the_lock_notifies() {
    Condition::new(()).notify_all();
}

#[test]
fn a_semaphore_serves_in_order_and_counts() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(2));
        let most = Rc::new(RefCell::new((0, 0)));
        let tasks = (0..10).map(|_| {
            let (semaphore, most) = (Rc::clone(&semaphore), Rc::clone(&most));
            async move {
                let _permit = semaphore.acquire().await;
                {
                    let (now, top) = &mut *most.borrow_mut();
                    *now += 1;
                    *top = (*top).max(*now);
                }
                settle().await;
                most.borrow_mut().0 -= 1;
            }
        });
        riata::gather(tasks).await;
        assert_eq!(*most.borrow(), (0, 2));
        assert_eq!(semaphore.available(), 2);
        assert_eq!(riata::time().as_nanos(), 5_000_000);
    });
}

#[test]
fn a_barrier_can_be_used_again_left_and_broken() {
    run(async {
        let barrier = Rc::new(Barrier::new(3));
        let come = || {
            let barrier = Rc::clone(&barrier);
            spawn(async move { barrier.wait().await })
        };
        for _ in 0..2 {
            let tasks = [come(), come(), come()];
            let mut places = Vec::new();
            for task in tasks {
                places.push(task.await.unwrap().unwrap());
            }
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2]);
        }
        let (gone, waiting) = (come(), come());
        yield_now().await;
        gone.cancel();
        yield_now().await;
        assert_eq!(barrier.waiting(), 1);
        barrier.abort();
        assert_eq!(waiting.await.unwrap(), Err(BrokenBarrier));
        assert_eq!(barrier.wait().await, Err(BrokenBarrier));
        barrier.reset();
        assert!(!barrier.is_broken());
    });
}

#[test]
fn queues_have_their_orders() {
    let (first, last, least) = (Queue::new(0), LifoQueue::new(0), PriorityQueue::new(0));
    for item in [3, 1, 2] {
        first.put_nowait(item).unwrap();
        last.put_nowait(item).unwrap();
        least.put_nowait(item).unwrap();
    }
    let drain = |queue: &riata::OpenQueue<i32>| -> Vec<_> {
        std::iter::from_fn(|| queue.get_nowait().ok()).collect()
    };
    assert_eq!(drain(&first), [3, 1, 2]);
    assert_eq!(drain(&last), [2, 1, 3]);
    assert_eq!(drain(&least), [1, 2, 3]);
}

#[test]
fn join_waits_for_every_item_to_be_dealt_with() {
    run(async {
        let queue = Queue::new(1);
        let worker = queue.clone();
        let task = spawn(async move {
            let mut items = worker.items();
            let mut seen = Vec::new();
            while let Some(item) = items.next().await {
                settle().await;
                seen.push(item);
                worker.task_done().unwrap();
            }
            seen
        });
        for item in 0..5 {
            queue.put(item).await.unwrap();
        }
        queue.join().await;
        assert_eq!(riata::time().as_nanos(), 5_000_000);
        queue.shutdown();
        assert_eq!(task.await.unwrap(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn shutting_down_refuses_all_who_wait() {
    run(async {
        let empty: Queue<u8> = Queue::new(1);
        let getter = empty.clone();
        let getting = spawn(async move { getter.get().await });
        let full = Queue::new(1);
        full.put_nowait('a').unwrap();
        let putter = full.clone();
        let putting = spawn(async move { putter.put('b').await });
        yield_now().await;
        empty.shutdown();
        full.shutdown();
        assert_eq!(getting.await.unwrap(), Err(QueueShutDown));
        assert_eq!(putting.await.unwrap(), Err(PutError::ShutDown('b')));
        assert_eq!(full.get().await, Ok('a'));
        assert_eq!(full.get().await, Err(QueueShutDown));
    });
}

#[test]
fn an_item_promised_to_a_waiter_that_goes_away_is_the_next_ones() {
    run(async {
        let queue = Queue::new(0);
        let getters = [0, 1].map(|_| {
            let queue = queue.clone();
            spawn(async move { queue.get().await })
        });
        yield_now().await;
        queue.put_nowait('a').unwrap();
        let [first, second] = getters;
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(second.await.unwrap(), Ok('a'));
    });
}

#[test]
fn a_future_has_one_result_for_all_who_await_it() {
    run(async {
        let future = riata::Future::new();
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in [1, 2] {
            let order = Rc::clone(&order);
            future.add_done_callback(move |_| order.borrow_mut().push(number));
        }
        let tasks = [0, 1].map(|_| spawn(future.clone()));
        let given_up = riata::timeout(Duration::ZERO, &future).await;
        assert!(given_up.is_err());
        future.set_result("here").unwrap();
        assert!(future.set_error(std::fmt::Error).is_err() && !future.cancel());
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), "here");
        }
        yield_now().await;
        assert_eq!(*order.borrow(), [1, 2]);
    });
}
