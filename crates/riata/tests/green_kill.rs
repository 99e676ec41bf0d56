//! Greenlets that die before their time: killed in every state, and left behind by their loop.
#![cfg(all(feature = "green", not(loom)))]
#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use riata::green::{self, Greenlet, Killed, TcpListener, TcpStream};
use riata::{Runtime, TaskError};

const MINUTE: Duration = Duration::from_secs(60);

fn virtually<T: 'static>(f: impl FnOnce() -> T + 'static) -> T {
    let mut runtime = Runtime::builder().virtual_clock(true).build().unwrap();
    runtime.run(async { green::spawn(f).await.unwrap() })
}

/// Counts its copies.
#[derive(Clone)]
struct Witness(Rc<Cell<i32>>);

impl Witness {
    fn new() -> Self {
        Self(Rc::new(Cell::new(0)))
    }

    /// Something for a stack to hold.
    fn hold(&self) -> Held {
        self.0.set(self.0.get() + 1);
        Held(self.clone())
    }

    fn alive(&self) -> i32 {
        self.0.get()
    }
}

struct Held(Witness);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.set(self.0.alive() - 1);
    }
}

/// Spawns a greenlet that holds something while it does `f`.
fn holding(witness: &Witness, f: impl FnOnce() + 'static) -> Greenlet<()> {
    let outside = witness.hold();
    let witness = witness.clone();
    green::spawn(move || {
        let _outside = outside;
        let _inside = witness.hold();
        f();
    })
}

fn assert_killed(greenlet: Greenlet<()>) {
    assert!(greenlet.kill());
    greenlet.join();
    assert!(greenlet.is_dead() && greenlet.is_killed());
    assert!(!greenlet.kill());
    assert!(matches!(greenlet.get(), Err(TaskError::Cancelled(_))));
}

#[test]
fn before_it_began() {
    virtually(|| {
        let witness = Witness::new();
        let greenlet = holding(&witness, || unreachable!());
        assert_killed(greenlet);
        assert_eq!(witness.alive(), 0);
    });
}

#[test]
fn while_it_sleeps_yields_joins_or_waits() {
    virtually(|| {
        let witness = Witness::new();
        let other = Rc::new(green::spawn(|| green::sleep(MINUTE)));
        let joined = Rc::clone(&other);
        let greenlets = [
            holding(&witness, || green::sleep(MINUTE)),
            holding(&witness, || {
                loop {
                    green::sleep(Duration::ZERO);
                }
            }),
            holding(&witness, move || joined.join()),
            holding(&witness, || green::wait(std::future::pending())),
        ];
        green::sleep(Duration::ZERO);
        assert_eq!(witness.alive(), 8);
        greenlets.into_iter().for_each(assert_killed);
        assert_eq!(witness.alive(), 0);
        assert!(!other.is_dead());
    });
}

#[test]
fn while_it_is_ready_to_run() {
    virtually(|| {
        let witness = Witness::new();
        let (mut send, receive) = net_pair();
        let greenlet = holding(&witness, move || {
            (&receive).read_exact(&mut [0]).unwrap();
            unreachable!("it was killed before its turn");
        });
        green::sleep(Duration::ZERO);
        send.write_all(b"x").unwrap();
        assert_killed(greenlet);
        assert_eq!(witness.alive(), 0);
    });
}

/// A blocking socket and a greenlet's.
fn net_pair() -> (net::TcpStream, TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    (far, TcpStream::from_std(near).unwrap())
}

#[test]
fn while_a_socket_blocks_it() {
    green::run(|| {
        let witness = Witness::new();
        let (mut far, near) = net_pair();
        let reader = holding(&witness, move || {
            let _ = (&near).read(&mut [0]);
            unreachable!("the kill is no error of the read");
        });
        let (_far, near) = net_pair();
        let writer = holding(&witness, move || {
            let _ = (&near).write_all(&vec![0; 64 << 20]);
            unreachable!("the kill is no error of the write");
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let acceptor = holding(&witness, move || {
            let _ = listener.accept();
            unreachable!("the kill is no error of accept");
        });
        green::sleep(Duration::ZERO);
        for greenlet in [reader, writer, acceptor] {
            assert_killed(greenlet);
        }
        assert_eq!(witness.alive(), 0);
        // The socket was closed by the unwinding.
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn by_itself() {
    virtually(|| {
        let witness = Witness::new();
        let held = witness.hold();
        let slot: Rc<RefCell<Option<Rc<Greenlet<()>>>>> = Rc::default();
        let me = Rc::clone(&slot);
        let greenlet = Rc::new(green::spawn(move || {
            let _held = held;
            let itself = me.take().unwrap();
            itself.kill();
            unreachable!("a greenlet that kills itself does not go on");
        }));
        slot.replace(Some(Rc::clone(&greenlet)));
        greenlet.join();
        assert!(greenlet.is_killed());
        assert_eq!(witness.alive(), 0);
    });
}

#[test]
fn while_it_kills_others_that_kill_it() {
    virtually(|| {
        let pair: Rc<RefCell<Vec<Rc<Greenlet<()>>>>> = Rc::default();
        let greenlets = [1, 0].map(|victim| {
            let pair = Rc::clone(&pair);
            Rc::new(green::spawn(move || {
                let victim = Rc::clone(&pair.borrow()[victim]);
                victim.kill();
                victim.join();
            }))
        });
        pair.borrow_mut().extend(greenlets.iter().cloned());
        for greenlet in greenlets {
            greenlet.join();
        }
        pair.take();
    });
}

#[test]
fn a_dead_one_stays_as_it_died() {
    virtually(|| {
        let greenlet = green::spawn(|| 1);
        greenlet.join();
        assert!(!greenlet.kill());
        assert_eq!(greenlet.get().unwrap(), 1);
    });
}

#[test]
fn who_catches_it_meets_it_again() {
    virtually(|| {
        let times = Rc::new(Cell::new(0));
        let counter = Rc::clone(&times);
        let greenlet = green::spawn(move || {
            for _ in 0..3 {
                let caught = catch_unwind(|| green::sleep(MINUTE));
                counter.set(counter.get() + i32::from(caught.is_err()));
            }
            "finished all the same"
        });
        green::sleep(Duration::ZERO);
        greenlet.kill();
        assert_eq!(greenlet.get().unwrap(), "finished all the same");
        assert_eq!(times.get(), 3);
    });
}

#[test]
fn try_wait_lets_it_tidy_up() {
    virtually(|| {
        let greenlet = green::spawn(|| {
            let slept = green::try_wait(riata::sleep(MINUTE));
            // What is ready at once is still to be had.
            (slept, green::try_wait(async { "tidy" }))
        });
        green::sleep(Duration::ZERO);
        greenlet.kill();
        assert_eq!(greenlet.get().unwrap(), (Err(Killed), Ok("tidy")));
    });
}

#[test]
fn a_future_inside_may_catch_the_cancellation() {
    virtually(|| {
        let greenlet = green::spawn(|| {
            let caught = green::wait(riata::catch_cancel(riata::sleep(MINUTE)));
            green::sleep(MINUTE);
            caught.is_err()
        });
        green::sleep(Duration::ZERO);
        greenlet.kill();
        assert!(greenlet.get().unwrap());
    });
}

/// Waits where no waiting is possible.
struct Stubborn(Rc<RefCell<Vec<&'static str>>>, TcpStream, Rc<Greenlet<()>>);

impl Drop for Stubborn {
    fn drop(&mut self) {
        green::sleep(MINUTE);
        self.0.borrow_mut().push("slept");
        self.2.join();
        self.0.borrow_mut().push("joined");
        assert!(self.1.read(&mut [0]).is_err());
        assert!(self.1.write_all(b"still possible").is_ok());
        self.0.borrow_mut().push("read");
        assert!(green::try_wait(std::future::pending::<()>()).is_err());
        self.0.borrow_mut().push("waited");
    }
}

#[test]
fn destructors_do_not_wait() {
    for is_panic in [false, true] {
        virtually(move || {
            let log = Rc::default();
            let (_far, near) = net_pair();
            let other = Rc::new(green::spawn(|| green::sleep(MINUTE)));
            let stubborn = Stubborn(Rc::clone(&log), near, other);
            let greenlet = green::spawn(move || {
                let _stubborn = stubborn;
                green::sleep(Duration::ZERO);
                assert!(!is_panic);
                green::sleep(MINUTE);
            });
            green::sleep(Duration::ZERO);
            if !is_panic {
                greenlet.kill();
            }
            assert_eq!(greenlet.get().unwrap_err().is_panic(), is_panic);
            assert_eq!(log.take(), ["slept", "joined", "read", "waited"]);
        });
    }
}

#[test]
fn a_panic_while_it_dies_is_its_error() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("boom");
            }
        }
    }
    virtually(|| {
        let bomb = Bomb;
        let not_begun = green::spawn(move || drop(bomb));
        not_begun.kill();
        assert_eq!(not_begun.get().unwrap_err().panic_message(), Some("boom"));
        let begun = green::spawn(|| {
            if green::try_wait(riata::sleep(MINUTE)).is_err() {
                panic!("no thanks");
            }
        });
        green::sleep(Duration::ZERO);
        begun.kill();
        assert_eq!(begun.get().unwrap_err().panic_message(), Some("no thanks"));
    });
}

#[test]
fn cancelling_who_awaits_it_kills_it_and_joining_does_not() {
    riata::run(async {
        let witness = Witness::new();
        let awaited = holding(&witness, || green::sleep(MINUTE));
        let life = awaited.to_ref();
        let task = riata::spawn(async { awaited.await.is_ok() });
        riata::yield_now().await;
        riata::yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        riata::yield_now().await;
        assert!(life.is_cancelled());
        assert_eq!(witness.alive(), 0);
    });
}

#[test]
fn a_task_that_a_killed_greenlet_awaits_is_cancelled() {
    virtually(|| {
        let task = riata::spawn(std::future::pending::<()>());
        let life = task.to_ref();
        let greenlet = green::spawn(move || green::wait(task).is_ok());
        green::sleep(Duration::ZERO);
        greenlet.kill();
        greenlet.join();
        green::sleep(Duration::ZERO);
        assert!(life.is_cancelled());
    });
}

/// Greenlets in every state, none of which will ever end.
fn leave_behind(witness: &Witness) {
    for _ in 0..100 {
        drop(holding(witness, || green::sleep(MINUTE)));
        drop(holding(witness, || green::wait(std::future::pending())));
        let (far, near) = net_pair();
        drop(holding(witness, move || {
            let _far = far;
            let _ = (&near).read(&mut [0]);
        }));
    }
}

#[test]
fn a_loop_that_is_closed_unwinds_them() {
    for close in [drop, |runtime: Runtime| runtime.close().unwrap()] {
        let witness = Witness::new();
        let mut runtime = Runtime::new().unwrap();
        runtime.run(async {
            leave_behind(&witness);
            riata::yield_now().await;
            assert_eq!(witness.alive(), 600);
            leave_behind(&witness); // not begun
        });
        close(runtime);
        assert_eq!(witness.alive(), 0);
    }
}

#[test]
fn a_panic_that_ends_the_loop_unwinds_them() {
    let witness = Witness::new();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut runtime = Runtime::new().unwrap();
        runtime.run(async {
            leave_behind(&witness);
            riata::yield_now().await;
        });
        // The runtime is dropped while this thread panics.
        resume_unwind(Box::new("end"));
    }));
    assert!(ended.is_err());
    assert_eq!(witness.alive(), 0);
}

#[test]
fn ten_thousand_are_killed() {
    virtually(|| {
        let witness = Witness::new();
        let greenlets: Vec<_> = (0..10_000)
            .map(|_| holding(&witness, || green::sleep(MINUTE)))
            .collect();
        green::sleep(Duration::ZERO);
        assert_eq!(witness.alive(), 20_000);
        greenlets.iter().for_each(|greenlet| {
            greenlet.kill();
        });
        green::joinall(&greenlets);
        assert_eq!(witness.alive(), 0);
    });
}

#[test]
fn handles_outlive_the_loop() {
    let mut slot = None;
    riata::run(async { slot = Some(green::spawn(|| green::sleep(MINUTE))) });
    let greenlet = slot.unwrap();
    assert!(greenlet.is_killed());
    assert!(!greenlet.kill());
}
