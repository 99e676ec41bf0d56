//! gather, wait, as_completed and task groups.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use riata::{Runtime, TaskGroup, as_completed, gather, sleep, spawn, task_group, try_gather, wait};

fn run<F: Future>(future: F) -> F::Output {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(future)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn after(span: u64) -> Result<u64, u64> {
    sleep(millis(span)).await;
    if span.is_multiple_of(2) {
        Ok(span)
    } else {
        Err(span)
    }
}

#[test]
fn gather_keeps_the_order_and_runs_all_at_once() {
    run(async {
        let results = gather([30, 10, 20].map(after)).await;
        assert_eq!(results, [Ok(30), Ok(10), Ok(20)]);
        assert_eq!(riata::time().as_nanos(), 30_000_000);
    });
}

#[test]
fn try_gather_gives_the_first_error_in_time_and_leaves_the_others() {
    run(async {
        let result = try_gather([30, 25, 15, 20].map(after)).await;
        assert_eq!(result, Err(15));
        assert_eq!(riata::time().as_nanos(), 15_000_000);
        assert_eq!(riata::all_tasks().len(), 4);
        assert_eq!(try_gather([4, 2].map(after)).await, Ok(vec![4, 2]));
    });
}

#[test]
fn a_gather_that_is_cancelled_cancels_all_of_its_tasks() {
    run(async {
        let task = spawn(async { gather([30, 20].map(after)).await });
        riata::yield_now().await;
        assert_eq!(riata::all_tasks().len(), 4);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        riata::yield_now().await;
        assert_eq!(riata::all_tasks().len(), 1);
    });
}

#[test]
fn wait_ends_when_it_was_told_and_cancels_nothing() {
    run(async {
        let start = || [30, 15, 20].map(|span| spawn(after(span)));
        let first = wait(start()).first_completed().await;
        assert_eq!((first.done.len(), first.pending.len()), (1, 2));
        let error = wait(start()).first_error().await;
        assert_eq!((error.done.len(), error.pending.len()), (1, 2));
        let all = wait(start()).await;
        assert_eq!((all.done.len(), all.pending.len()), (3, 0));
        let some = wait(start()).timeout(millis(16)).await;
        assert_eq!((some.done.len(), some.pending.len()), (1, 2));
        for task in some.pending {
            assert!(matches!(task.await.unwrap(), Ok(20 | 30)));
        }
    });
}

#[test]
fn a_task_may_be_waited_for_again_and_again() {
    run(async {
        let mut pending = [3, 1, 2].map(|span| spawn(after(span * 2))).into();
        let mut order = Vec::new();
        while !Vec::is_empty(&pending) {
            let waited = wait(pending).first_completed().await;
            for task in waited.done {
                order.push(task.await.unwrap().unwrap());
            }
            pending = waited.pending;
        }
        assert_eq!(order, [2, 4, 6]);
    });
}

#[test]
fn as_completed_gives_results_in_the_order_of_time() {
    run(async {
        let mut results = as_completed([30, 10, 20].map(|span| spawn(after(span))));
        let mut order = Vec::new();
        while let Some(result) = results.next().await {
            order.push(result.unwrap().unwrap());
        }
        assert_eq!(order, [10, 20, 30]);
    });
}

#[test]
fn a_failure_ends_the_group_and_all_errors_are_told() {
    run(async {
        let result = task_group(async |group: TaskGroup<u64>| {
            group.spawn(after(15)).detach();
            group.spawn(async { after(15).await }).detach();
            group.spawn(after(1000)).detach();
            sleep(millis(1000)).await;
            unreachable!();
            #[allow(unreachable_code)]
            Ok(())
        });
        assert_eq!(result.await.unwrap_err().errors, [15, 15]);
        assert_eq!(riata::time().as_nanos(), 15_000_000);
        assert_eq!(riata::all_tasks().len(), 1);
    });
}

#[test]
fn a_group_waits_for_its_tasks_and_tasks_may_start_more() {
    run(async {
        let result = task_group(async |group: TaskGroup<u64>| {
            let more = group.clone();
            let task = async move {
                after(10).await?;
                more.spawn(after(20)).detach();
                Ok(())
            };
            group.spawn(task).detach();
            Ok("body")
        });
        assert_eq!(result.await, Ok("body"));
        assert_eq!(riata::time().as_nanos(), 30_000_000);
    });
}

#[test]
fn a_panic_in_a_group_goes_on_where_the_group_is() {
    run(async {
        let task = spawn(task_group(async |group: TaskGroup<u64>| {
            group
                .spawn(async { panic!("in a group") as Result<(), u64> })
                .detach();
            Ok(())
        }));
        assert_eq!(task.await.unwrap_err().panic_message(), Some("in a group"));
    });
}

#[test]
fn cancelling_a_group_cancels_its_tasks() {
    run(async {
        let task = spawn(task_group(async |group: TaskGroup<u64>| {
            group.spawn(after(1000)).detach();
            Ok(())
        }));
        sleep(millis(1)).await;
        assert_eq!(riata::all_tasks().len(), 3);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        riata::yield_now().await;
        assert_eq!(riata::all_tasks().len(), 1);
    });
}
