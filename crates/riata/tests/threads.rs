//! What other threads may do with a loop.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use riata::{Handle, LoopClosed, Runtime, run_in_executor};

#[test]
fn a_waker_works_on_another_thread() {
    riata::run(async {
        for _ in 0..100 {
            let done = Arc::new(AtomicUsize::new(0));
            let mut thread = None;
            poll_fn(|context| {
                if done.load(Ordering::SeqCst) == 1 {
                    return Poll::Ready(());
                }
                let (waker, done) = (context.waker().clone(), Arc::clone(&done));
                thread.get_or_insert_with(|| {
                    std::thread::spawn(move || {
                        done.store(1, Ordering::SeqCst);
                        waker.clone().wake_by_ref();
                        waker.wake();
                    })
                });
                Poll::Pending
            })
            .await;
            thread.unwrap().join().unwrap();
        }
    });
}

#[test]
fn a_waker_outlives_its_task_and_its_loop() {
    let kept: Rc<Cell<Option<Waker>>> = Rc::default();
    let keep = Rc::clone(&kept);
    riata::run(async move {
        poll_fn(|context| {
            keep.set(Some(context.waker().clone()));
            Poll::Ready(())
        })
        .await;
    });
    let waker = kept.take().unwrap();
    let thread = std::thread::spawn(move || {
        waker.wake_by_ref();
        waker
    });
    let waker = thread.join().unwrap();
    // Another loop may have got the number: its task is polled in vain at most.
    riata::run(async move {
        waker.wake();
        riata::yield_now().await;
    });
}

#[test]
fn calls_of_one_thread_come_in_order_and_wake_the_loop() {
    riata::run(async {
        let handle = Handle::current();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        let done = riata::Future::new();
        let key = std::thread::spawn(move || {
            for number in 0..1000 {
                let seen = Arc::clone(&all);
                handle
                    .call_soon_threadsafe(move || seen.lock().unwrap().push(number))
                    .unwrap();
            }
        });
        let promise = done.clone();
        let seen_too = Arc::clone(&seen);
        riata::spawn(async move {
            while seen_too.lock().unwrap().len() < 1000 {
                riata::sleep(Duration::from_micros(50)).await;
            }
            promise.set_result(()).unwrap();
        })
        .detach();
        done.await.unwrap();
        key.join().unwrap();
        assert!(seen.lock().unwrap().iter().copied().eq(0..1000));
    });
}

#[test]
fn tasks_come_from_threads_and_their_results_go_back() {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let handle: Handle = receive.recv().unwrap();
        let sum = handle.spawn(async {
            riata::sleep(Duration::from_millis(1)).await;
            20 + 22
        });
        assert_eq!(sum.unwrap().wait().unwrap(), 42);
        let panicking = handle.spawn(async { panic!("there") as u8 }).unwrap();
        assert_eq!(panicking.wait().unwrap_err().panic_message(), Some("there"));
        let endless = handle.spawn(std::future::pending::<()>()).unwrap();
        endless.cancel();
        assert!(endless.wait().unwrap_err().is_cancelled());
        let left = handle.spawn(std::future::pending::<()>()).unwrap();
        handle
            .call_soon_threadsafe(|| {
                riata::all_tasks()
                    .iter()
                    .for_each(|it| assert!(it.cancel()))
            })
            .unwrap();
        assert!(left.wait().unwrap_err().is_cancelled());
        handle
    });
    let mut runtime = Runtime::new().unwrap();
    send.send(runtime.handle()).unwrap();
    assert!(runtime.try_run(std::future::pending::<()>()).is_err());
    // The end of the loop cancels what `left` waits for.
    drop(runtime);
    let handle = thread.join().unwrap();
    assert_eq!(handle.call_soon_threadsafe(|| ()), Err(LoopClosed));
    assert!(handle.spawn(async {}).is_err());
}

#[test]
fn one_loop_a_thread_and_several_threads() {
    let threads = (0..4u64).map(|number| {
        std::thread::spawn(move || {
            riata::run(async move {
                let tasks = (0..100).map(|n| async move {
                    riata::yield_now().await;
                    n * number
                });
                riata::gather(tasks).await.into_iter().sum::<u64>()
            })
        })
    });
    let sums: Vec<_> = threads
        .collect::<Vec<_>>()
        .into_iter()
        .map(|it| it.join().unwrap())
        .collect();
    assert_eq!(sums, [0, 4950, 9900, 14850]);
}

#[test]
fn what_blocks_runs_beside_the_loop() {
    riata::run(async {
        let (send, receive) = mpsc::channel();
        let blocked = run_in_executor(move || receive.recv().unwrap());
        let task = riata::spawn(blocked);
        riata::yield_now().await;
        send.send(5).unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 5);
        let error = run_in_executor(|| panic!("over there") as u8)
            .await
            .unwrap_err();
        assert_eq!(error.panic_message(), Some("over there"));
    });
}

#[test]
fn the_virtual_clock_stands_while_a_thread_works() {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(async {
        let (send, receive) = mpsc::channel::<()>();
        let work = riata::spawn(run_in_executor(move || receive.recv().is_err()));
        let timer = riata::spawn(riata::sleep(Duration::from_secs(60)));
        riata::yield_now().await;
        drop(send);
        assert!(work.await.unwrap().unwrap());
        assert_eq!(riata::time().as_nanos(), 0);
        timer.await.unwrap();
        assert_eq!(riata::time().as_secs_f64(), 60.0);
    });
}

#[test]
fn wakes_that_one_more_would_add_nothing_to_do_not_pile_up() {
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    riata::run(async move {
        let task = riata::spawn(async move {
            let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
            // The loop is busy, here, while another thread wakes it.
            let thread = std::thread::spawn(move || (0..1000).for_each(|_| waker.wake_by_ref()));
            thread.join().unwrap();
            poll_fn(|_| {
                count.set(count.get() + 1);
                if count.get() > 1 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        });
        task.await.unwrap();
        riata::yield_now().await;
    });
    assert_eq!(polls.get(), 2);
}

#[test]
fn a_call_for_which_there_is_no_thread_is_an_error() {
    // With so little room for new memory no thread gets its stack.
    const CHILD: &str = "RIATA_TEST_NO_THREADS";
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().unwrap();
        let name = "a_call_for_which_there_is_no_thread_is_an_error";
        let status = std::process::Command::new(program)
            .args([name, "--exact", "--test-threads=1", "--nocapture"])
            .env(CHILD, "1")
            .status();
        return assert!(status.unwrap().success());
    }
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    riata::run(async {
        let before = getrlimit(Resource::As);
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
        let room = Rlimit {
            current: Some(pages * 4096 + (1 << 20)),
            ..before
        };
        setrlimit(Resource::As, room).unwrap();
        let error = run_in_executor(|| 1).await.unwrap_err();
        assert!(matches!(error, riata::TaskError::NotStarted(_)), "{error}");
        assert!(error.to_string().starts_with("can't start new thread: "));
        setrlimit(Resource::As, before).unwrap();
        assert_eq!(run_in_executor(|| 1).await.unwrap(), 1);
    });
}
