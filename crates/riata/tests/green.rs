//! Greenlets: switching, joining, values, panics, stacks, pools.
#![cfg(all(feature = "green", not(loom)))]
#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use riata::Runtime;
use riata::green::{self, Greenlet, Pool};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs `f` as a greenlet on a loop whose clock jumps.
fn virtually<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(async { green::spawn(f).await.unwrap() })
}

#[test]
fn greenlets_take_turns_in_order() {
    let log = virtually(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let greenlets = ["a", "b", "c"].map(|name| {
            let log = Rc::clone(&log);
            green::spawn(move || {
                for turn in 0..3 {
                    log.borrow_mut().push((turn, name));
                    green::sleep(Duration::ZERO);
                }
            })
        });
        green::joinall(&greenlets);
        log.take()
    });
    let mut sorted = log.clone();
    sorted.sort_unstable();
    assert_eq!(log.len(), 9);
    assert_eq!(log, sorted);
}

#[test]
fn ten_thousand_greenlets_wait_at_once() {
    let sum = virtually(|| {
        let spawn = |number: u64| {
            green::spawn(move || {
                green::sleep(Duration::from_millis(10_000 - number));
                green::sleep(Duration::ZERO);
                number
            })
        };
        let greenlets: Vec<_> = (0..10_000).map(spawn).collect();
        green::sleep(Duration::ZERO);
        green::joinall(&greenlets);
        greenlets
            .into_iter()
            .map(|it| it.get().unwrap())
            .sum::<u64>()
    });
    assert_eq!(sum, 9_999 * 10_000 / 2);
}

#[test]
fn a_hundred_thousand_greenlets_that_have_not_begun_need_no_stack() {
    virtually(|| {
        let greenlets: Vec<_> = (0..100_000).map(|_| green::spawn(|| ())).collect();
        green::joinall(&greenlets);
    });
}

#[test]
fn many_join_one() {
    virtually(|| {
        let slow = Rc::new(green::spawn(|| green::sleep(MINUTE)));
        let order = Rc::new(RefCell::new(Vec::new()));
        let joiners: Vec<_> = (0..10)
            .map(|number| {
                let (slow, order) = (Rc::clone(&slow), Rc::clone(&order));
                green::spawn(move || {
                    slow.join();
                    order.borrow_mut().push(number);
                })
            })
            .collect();
        green::sleep(Duration::ZERO);
        // One that does not wait any more is not missed.
        joiners[3].kill();
        green::joinall(&joiners);
        assert_eq!(order.take(), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    });
}

#[test]
fn joining_for_a_while_leaves_it_alive() {
    virtually(|| {
        let greenlet = green::spawn(|| green::sleep(MINUTE));
        assert!(!greenlet.join_for(MINUTE / 2));
        assert!(greenlet.join_for(MINUTE));
    });
}

#[test]
fn a_greenlet_waits_for_futures_and_tasks() {
    virtually(|| {
        assert_eq!(green::wait(async { 1 }), 1);
        let task = riata::spawn(async {
            riata::sleep(MINUTE).await;
            2
        });
        assert_eq!(green::wait(task).unwrap(), 2);
        let late = green::wait(riata::timeout(MINUTE, std::future::pending::<()>()));
        assert_eq!(late, Err(riata::Elapsed));
    });
}

#[test]
fn a_future_awaits_greenlets() {
    riata::run(async {
        let greenlet = green::spawn(|| {
            green::sleep(Duration::ZERO);
            1
        });
        assert_eq!(greenlet.await.unwrap(), 1);
        let nested = green::spawn(|| green::wait(async { green::spawn(|| 2).await.unwrap() }));
        assert_eq!(nested.await.unwrap(), 2);
        let many = (0..10).map(|number| green::spawn(move || number));
        let sum: i32 = riata::gather(many)
            .await
            .into_iter()
            .map(Result::unwrap)
            .sum();
        assert_eq!(sum, 45);
    });
}

#[test]
fn futures_and_greenlets_share_locks_and_queues() {
    virtually(|| {
        let queue = Rc::new(riata::Queue::new(1));
        let sink = Rc::clone(&queue);
        let task = riata::spawn(async move {
            for number in 0..10 {
                sink.put(number).await.unwrap();
            }
        });
        let got: Vec<i32> = (0..10).map(|_| green::wait(queue.get()).unwrap()).collect();
        green::wait(task).unwrap();
        assert_eq!(got, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn a_panic_is_the_greenlets_own_error() {
    virtually(|| {
        let at_once = green::spawn(|| panic!("first") as ());
        let later = green::spawn(|| {
            green::sleep(MINUTE);
            panic!("second")
        });
        let witness = green::spawn(|| {
            green::sleep(MINUTE * 2);
            "alive"
        });
        let error = at_once.get().unwrap_err();
        assert_eq!(error.panic_message(), Some("first"));
        let error: riata::TaskError = Greenlet::<()>::get(later).unwrap_err();
        assert_eq!(error.panic_message(), Some("second"));
        assert_eq!(witness.get().unwrap(), "alive");
        assert!(!std::thread::panicking());
    });
}

#[test]
fn a_greenlet_catches_its_own_panics_across_waits() {
    virtually(|| {
        let caught = catch_unwind(|| {
            green::sleep(MINUTE);
            panic!("inside")
        });
        let payload: Box<dyn std::any::Any + Send> = caught.map(|(): ()| ()).unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "inside");
        green::sleep(MINUTE);
    });
}

#[test]
fn the_panic_of_the_first_greenlet_is_runs_own() {
    let caught = catch_unwind(|| green::run(|| panic!("top") as ()));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "top");
}

/// Uses at least `depth` times 1,000 bytes of stack and gives `depth`.
fn descend(depth: usize) -> usize {
    let frame = black_box([depth; 125]);
    if depth == 0 {
        // Others run while all of it is in use.
        green::sleep(Duration::ZERO);
        return 0;
    }
    descend(depth - 1) + frame[black_box(7)] / depth
}

#[test]
fn deep_stacks_keep_what_is_on_them() {
    virtually(|| {
        let deep = |depth| {
            green::Builder::new()
                .stack_size(16 << 20)
                .spawn(move || descend(depth))
        };
        let greenlets: Vec<_> = (1..=8).map(|number| deep(number * 500)).collect();
        for (number, greenlet) in (1..).zip(greenlets) {
            assert_eq!(greenlet.get().unwrap(), number * 500);
        }
    });
}

#[test]
fn a_stack_has_the_size_that_was_asked_for() {
    std::thread::spawn(|| {
        green::set_stack_size(4 << 20);
        assert_eq!(
            virtually(|| green::spawn(|| descend(700)).get().unwrap()),
            700
        );
    })
    .join()
    .unwrap();
}

#[test]
fn what_has_no_stack_says_so() {
    virtually(|| {
        let builder = green::Builder::new().stack_size(1 << 60);
        let error = builder.spawn(|| ()).get().unwrap_err();
        let text = error.panic_message().unwrap();
        assert!(text.starts_with("no stack for a greenlet: "), "{text}");
    });
}

#[test]
fn values_stay_until_they_are_taken() {
    virtually(|| {
        let greenlet = green::spawn(|| String::from("value"));
        assert_eq!(greenlet.value(), None);
        greenlet.join();
        assert_eq!(greenlet.value().unwrap(), "value");
        assert_eq!(greenlet.get().unwrap(), "value");
    });
}

#[test]
fn a_pool_runs_so_many_at_once() {
    virtually(|| {
        let pool = Pool::new(3);
        let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let greenlets: Vec<_> = (0..20)
            .map(|number| {
                let (running, most) = (Rc::clone(&running), Rc::clone(&most));
                pool.spawn(move || {
                    running.set(running.get() + 1);
                    most.set(most.get().max(running.get()));
                    green::sleep(Duration::from_secs(number % 5));
                    running.set(running.get() - 1);
                })
            })
            .collect();
        assert!(pool.len() <= 3);
        pool.join();
        assert!(pool.is_empty());
        assert_eq!((pool.free(), most.get()), (3, 3));
        assert!(greenlets.iter().all(Greenlet::is_dead));
    });
}

#[test]
fn a_pools_greenlets_may_die_in_any_way() {
    virtually(|| {
        let pool = Rc::new(Pool::new(1));
        let panicked = pool.spawn(|| panic!("in the pool") as ());
        let not_begun = pool.spawn(|| ());
        not_begun.kill();
        let waits = pool.spawn(|| green::sleep(MINUTE));
        let crew = Rc::clone(&pool);
        let wants_in = green::spawn(move || crew.spawn(|| ()).join());
        green::sleep(Duration::ZERO);
        // It gives its place in the line up, not the pool's place.
        wants_in.kill();
        wants_in.join();
        pool.kill();
        pool.join();
        assert!(panicked.get().unwrap_err().is_panic());
        assert!(not_begun.is_killed() && waits.is_killed());
        assert_eq!(pool.free(), 1);
        assert_eq!(pool.spawn(|| 5).get().unwrap(), 5);
    });
}

#[test]
fn a_pool_maps_in_order() {
    virtually(|| {
        let results = Pool::new(4).map(0..10u64, |number| {
            green::sleep(Duration::from_secs(10 - number));
            assert_ne!(number, 7);
            number
        });
        for (number, result) in (0..).zip(results) {
            assert_eq!(result.is_err(), number == 7);
            assert!(result.is_err() || result.unwrap() == number);
        }
    });
}

#[test]
fn only_greenlets_wait() {
    let outside = catch_unwind(|| green::sleep(Duration::ZERO));
    assert!(outside.is_err());
    riata::run(async {
        let inside_a_task = catch_unwind(|| green::wait(async {}));
        assert!(inside_a_task.is_err());
    });
}

#[test]
fn a_greenlet_cannot_run_a_second_loop() {
    virtually(|| {
        let nested = catch_unwind(|| riata::run(async {}));
        assert!(nested.is_err());
        green::sleep(Duration::ZERO);
    });
}

#[test]
fn threads_have_greenlets_of_their_own() {
    let thread = |number: u64| {
        std::thread::spawn(move || {
            virtually(move || {
                let pool = Pool::new(5);
                let results = pool.map(0..100, move |it| {
                    green::sleep(Duration::from_millis(it % 7));
                    it * number
                });
                results.into_iter().map(Result::unwrap).sum::<u64>()
            })
        })
    };
    let threads: Vec<_> = (1..4).map(thread).collect();
    let sums = threads.into_iter().map(|thread| thread.join().unwrap());
    assert_eq!(sums.collect::<Vec<_>>(), [4950, 9900, 14850]);
}

#[test]
fn another_loop_entered_is_no_place_to_wait() {
    let other = riata::host::Guests::new(Rc::new(deaf::Deaf));
    virtually(move || {
        let waits = AssertUnwindSafe(|| other.enter(|| green::sleep(Duration::ZERO)));
        let text = catch_unwind(waits).unwrap_err();
        let text = text.downcast::<&str>().unwrap();
        assert_eq!(
            *text,
            "a greenlet cannot wait while it has entered another loop"
        );
        green::sleep(MINUTE);
    });
}

/// A loop that does nothing.
mod deaf {
    use std::os::fd::RawFd;
    use std::sync::Arc;

    use riata::host::{
        Error, Host, Interest, Job, Nanos, Parcel, RemoteHost, TimerKey, WatchKey, Watcher,
    };

    pub struct Deaf;

    impl Host for Deaf {
        fn now(&self) -> Nanos {
            Nanos(0)
        }
        fn schedule(&self, _: Job) {}
        fn start_timer(&self, _: Nanos, _: Job) -> TimerKey {
            unreachable!()
        }
        fn is_pending(&self, _: TimerKey) -> bool {
            false
        }
        fn cancel_timer(&self, _: TimerKey) -> Option<Job> {
            None
        }
        fn watch(&self, _: RawFd, _: Interest, _: Watcher) -> Result<WatchKey, Error> {
            unreachable!()
        }
        fn set_interest(&self, _: WatchKey, _: Interest) -> Result<(), Error> {
            Ok(())
        }
        fn unwatch(&self, _: WatchKey) -> Option<Watcher> {
            None
        }
        fn set_busy_elsewhere(&self, _: bool) {}
        fn remote(&self) -> Arc<dyn RemoteHost> {
            Arc::new(Deaf)
        }
    }

    impl RemoteHost for Deaf {
        fn send(&self, _: Parcel) {}
    }
}
