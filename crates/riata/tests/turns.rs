//! What a turn of the loop does, and in which order, as asyncio's does.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use riata::{Runtime, Source, call_later, call_soon, spawn, yield_now};

#[test]
fn the_turn_in_which_the_main_future_ends_is_finished_and_so_is_the_next() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let add = |text: &'static str| {
        let order = Rc::clone(&order);
        move || order.borrow_mut().push(text)
    };
    let mut runtime = Runtime::new().unwrap();
    runtime.run(async {
        let (now, next, later) = (add("this turn"), add("the next"), add("the one after"));
        let mut behind_us = Some(move || {
            now();
            call_soon(move || {
                next();
                call_soon(later);
            });
        });
        poll_fn(|context| match behind_us.take() {
            Some(callback) => {
                context.waker().wake_by_ref();
                call_soon(callback);
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    });
    assert_eq!(*order.borrow(), ["this turn", "the next"]);
    runtime.run(async {});
    assert_eq!(*order.borrow(), ["this turn", "the next", "the one after"]);
}

#[test]
fn a_done_callback_of_what_ended_last_is_called() {
    let called = Rc::new(Cell::new(false));
    let flag = Rc::clone(&called);
    riata::run(async move {
        let task = riata::current_task().unwrap();
        task.add_done_callback(move |task| flag.set(task.is_done()));
    });
    assert!(called.get());
}

#[test]
fn a_turn_makes_ready_what_is_due_however_much_is_ready() {
    riata::run(async {
        let due = Rc::new(Cell::new(false));
        let flag = Rc::clone(&due);
        call_later(Duration::ZERO, move || flag.set(true));
        yield_now().await;
        assert!(!due.get(), "what was ready before comes before");
        yield_now().await;
        assert!(due.get());
    });
}

#[test]
fn a_turn_looks_at_descriptors_however_much_is_ready() {
    riata::run(async {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = Source::new(near).unwrap();
        let task = spawn(async move { near.readable().await.unwrap() });
        yield_now().await;
        far.write_all(b"x").unwrap();
        // The poll of the next turn wakes the task behind us; it runs before our second.
        yield_now().await;
        yield_now().await;
        assert!(task.is_done());
    });
}
