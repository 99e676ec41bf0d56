//! Tasks: how they end, who learns of it, and what cancelling reaches.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::async_yields_async)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use riata::{RunError, Runtime, TaskError, catch_cancel, sleep, spawn, yield_now};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs on the virtual clock.
fn run<F: Future>(future: F) -> F::Output {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(future)
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    fn add(&self, text: &'static str) {
        self.0.borrow_mut().push(text);
    }

    fn at_drop(&self, text: &'static str) -> impl Drop + 'static {
        struct AtDrop(Log, &'static str);
        impl Drop for AtDrop {
            fn drop(&mut self) {
                self.0.add(self.1);
            }
        }
        AtDrop(self.clone(), text)
    }

    fn take(&self) -> Vec<&'static str> {
        self.0.take()
    }
}

#[test]
fn a_panic_is_the_tasks_error_and_the_loop_goes_on() {
    run(async {
        let task = spawn(async { panic!("oh {}", 1) as u8 });
        let error = task.await.unwrap_err();
        assert_eq!(error.panic_message(), Some("oh 1"));
        assert_eq!(spawn(async { 2 }).await.unwrap(), 2);
    });
}

#[test]
fn a_panic_in_a_destructor_is_the_tasks_error() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    run(async {
        let task = spawn(async {
            let _bad = Bad;
            std::future::pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await.unwrap_err().panic_message(), Some("in drop"));
    });
}

#[test]
fn cancelling_drops_the_future_at_its_next_turn() {
    let log = Log::default();
    run(async {
        let inner = log.clone();
        let task = spawn(async move {
            let _guard = inner.at_drop("dropped");
            sleep(MINUTE).await;
        });
        yield_now().await;
        assert!(task.cancel_with_message("enough"));
        assert!(!task.is_done());
        assert_eq!(log.take(), [""; 0]);
        yield_now().await;
        assert!(task.is_done() && task.is_cancelled() && !task.cancel());
        assert_eq!(log.take(), ["dropped"]);
        assert_eq!(task.await.unwrap_err().to_string(), "cancelled: enough");
    });
}

#[test]
fn a_task_cancelled_before_its_first_step_never_runs() {
    run(async {
        let task = spawn(async { unreachable!() });
        task.cancel();
        let error: Result<(), _> = task.await;
        assert!(error.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_that_is_awaited_is_cancelled_with_its_awaiter_and_one_that_is_held_is_not() {
    run(async {
        let awaited = spawn(sleep(MINUTE));
        let held = spawn(sleep(MINUTE));
        let (seen, other) = (awaited.to_ref(), held.to_ref());
        let outer = spawn(async move {
            let _held = held;
            awaited.await.unwrap();
        });
        yield_now().await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        yield_now().await;
        assert!(seen.is_cancelled());
        assert!(!other.is_done());
    });
}

#[test]
fn a_shielded_task_goes_on() {
    run(async {
        let task = spawn(sleep(MINUTE));
        let seen = task.to_ref();
        let outer = spawn(async move { riata::shield(task).await });
        yield_now().await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        sleep(MINUTE).await;
        yield_now().await;
        assert!(seen.is_done() && !seen.is_cancelled());
    });
}

#[test]
fn a_timeout_cancels_the_task_that_it_was_awaiting() {
    run(async {
        let task = spawn(sleep(MINUTE));
        let seen = task.to_ref();
        let result = riata::timeout(Duration::from_secs(1), task).await;
        assert_eq!(result.unwrap_err(), riata::Elapsed);
        assert_eq!(riata::time().as_secs_f64(), 1.0);
        yield_now().await;
        assert!(seen.is_cancelled());
    });
}

#[test]
fn the_innermost_scope_catches_and_may_raise_again() {
    let log = Log::default();
    run(async {
        let inner = log.clone();
        let task = spawn(async move {
            let outer = catch_cancel(async {
                let caught = catch_cancel(sleep(MINUTE)).await;
                inner.add("inner");
                yield_now().await; // cleaning up may wait
                caught.unwrap_err().raise::<()>().await;
            });
            let cancelled = outer.await.unwrap_err();
            inner.add("outer");
            assert_eq!(cancelled.message(), Some("why"));
            sleep(MINUTE).await; // and the task goes on
            7
        });
        yield_now().await;
        task.cancel_with_message("why");
        assert_eq!(task.await.unwrap(), 7);
    });
    assert_eq!(log.take(), ["inner", "outer"]);
}

#[test]
fn a_raised_cancellation_ends_the_task_in_the_same_step() {
    run(async {
        let task = spawn(async {
            riata::Cancelled::new("mine").raise::<()>().await;
            unreachable!();
        });
        yield_now().await;
        assert!(task.is_cancelled());
        let error: Result<(), _> = task.await;
        assert_eq!(error.unwrap_err().to_string(), "cancelled: mine");
    });
}

#[test]
fn a_task_cancelled_while_it_runs_to_its_end_is_cancelled() {
    run(async {
        let task = spawn(async { riata::current_task().unwrap().cancel() });
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn done_callbacks_come_in_order_and_later_ones_too() {
    let log = Log::default();
    run(async {
        let task = spawn(async {});
        for text in ["first", "second"] {
            let log = log.clone();
            task.add_done_callback(move |task| {
                assert!(task.is_done());
                log.add(text);
            });
        }
        yield_now().await;
        yield_now().await;
        let late = log.clone();
        task.add_done_callback(move |_| late.add("late"));
        assert_eq!(log.take(), ["first", "second"]);
        yield_now().await;
        assert_eq!(log.take(), ["late"]);
    });
}

#[test]
fn a_panic_in_a_callback_does_not_end_the_loop() {
    run(async {
        riata::call_soon(|| panic!("in a callback"));
        yield_now().await;
        yield_now().await;
    });
}

#[test]
fn tasks_know_who_they_are() {
    run(async {
        assert_eq!(riata::current_task().unwrap().name(), "Task-1");
        let task = spawn(async { riata::current_task().unwrap().name() });
        task.set_name("worker");
        assert_eq!(format!("{task:?}"), "<Task pending name='worker'>");
        assert_eq!(riata::all_tasks().len(), 2);
        assert_eq!(task.await.unwrap(), "worker");
        assert_eq!(riata::all_tasks().len(), 1);
        let (send, receive) = std::sync::mpsc::channel();
        riata::call_soon(move || send.send(riata::current_task().is_none()).unwrap());
        yield_now().await;
        assert!(receive.recv().unwrap());
    });
}

#[test]
fn the_end_of_a_run_cancels_what_is_left_and_waits_for_it() {
    let log = Log::default();
    let inner = log.clone();
    riata::run(async move {
        let task = spawn(async move {
            let caught = catch_cancel(sleep(MINUTE)).await;
            sleep(Duration::from_micros(10)).await;
            inner.add("cleaned up");
            caught.unwrap_err().raise::<()>().await
        });
        yield_now().await;
        task.detach();
    });
    assert_eq!(log.take(), ["cleaned up"]);
}

#[test]
fn a_loop_inside_a_loop_is_refused() {
    riata::run(async {
        let mut runtime = Runtime::new().unwrap();
        assert!(matches!(
            runtime.try_run(async {}),
            Err(RunError::AlreadyRunning)
        ));
        let nested = std::panic::catch_unwind(|| riata::run(async {}));
        let text = *nested.unwrap_err().downcast::<String>().unwrap();
        assert!(
            text.contains("cannot be called from a running event loop"),
            "{text}"
        );
    });
}

#[test]
fn a_runtime_runs_again_and_keeps_its_tasks() {
    let mut runtime = Runtime::new().unwrap();
    let task = runtime.run(async { spawn(async { yield_now().await }) });
    assert!(!task.is_done());
    runtime.run(task).unwrap();
}

#[test]
fn a_panic_of_the_main_future_leaves_run() {
    let caught = std::panic::catch_unwind(|| riata::run(async { panic!("main") }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "main");
    riata::run(async {});
}

#[test]
fn what_is_left_of_a_closed_loop_is_harmless() {
    let runtime = Runtime::new().unwrap();
    let task = runtime.spawn(sleep_forever());
    let waker = runtime.handle();
    drop(runtime);
    assert!(task.is_cancelled() && waker.is_closed());
    assert!(!task.cancel());
    let result = riata::run(task);
    assert!(matches!(result, Err(TaskError::Cancelled(_))));
}

async fn sleep_forever() {
    std::future::pending::<()>().await;
}

#[test]
fn spawning_from_a_destructor_while_the_loop_closes_cancels_at_once() {
    struct Spawns(Rc<Cell<bool>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let task = spawn(async {});
            self.0.set(task.is_cancelled() || !task.is_done());
            task.detach();
        }
    }
    let spawned = Rc::new(Cell::new(false));
    let guard = Spawns(Rc::clone(&spawned));
    riata::run(async move {
        let task = spawn(async move {
            let _guard = guard;
            sleep_forever().await;
        });
        yield_now().await;
        task.detach();
    });
    assert!(spawned.get());
}

#[test]
fn many_tasks_end_at_once() {
    run(async {
        let tasks = (0..10_000).map(|n| async move {
            sleep(Duration::from_millis(n % 7)).await;
            n
        });
        let sum: u64 = riata::gather(tasks).await.into_iter().sum();
        assert_eq!(sum, 49_995_000);
    });
}

#[test]
fn uncancel_counts_down_what_cancel_counts_up() {
    run(async {
        let task = spawn(async {
            let me = riata::current_task().unwrap();
            assert!(catch_cancel(sleep(MINUTE)).await.is_err());
            assert_eq!((me.cancelling(), me.uncancel(), me.uncancel()), (2, 1, 0));
            assert_eq!(me.uncancel(), 0);
            sleep(MINUTE).await;
            5
        });
        yield_now().await;
        assert!(task.cancel() && task.cancel());
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn a_cancellation_that_was_taken_back_before_it_came_does_not_come() {
    run(async {
        let task = spawn(async {
            sleep(MINUTE).await;
            5
        });
        yield_now().await;
        assert!(task.cancel_with_message("no") && task.uncancel() == 0);
        assert_eq!(task.cancelling(), 0);
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn an_error_of_a_task_goes_wherever_errors_go() {
    fn load() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        run(async { spawn(async { panic!("oh") as () }).await })?;
        Ok(())
    }
    assert_eq!(load().unwrap_err().to_string(), "the task panicked: oh");
}
