//! Who hears of a panic, or of an error, that nobody awaits.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;

use riata::{
    ExceptionContext, Future, Runtime, call_exception_handler, call_soon, exception_handler,
    set_exception_handler, spawn, yield_now,
};

/// What the handler of a new loop hears while `f` runs.
fn heard<F: std::future::Future>(f: impl FnOnce() -> F) -> Vec<String> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let texts = Rc::clone(&heard);
    let mut runtime = Runtime::new().unwrap();
    runtime.set_exception_handler(Some(Rc::new(move |context: &ExceptionContext<'_>| {
        texts.borrow_mut().push(context.to_string());
    })));
    runtime.run(async { f().await });
    drop(runtime);
    heard.take()
}

#[test]
fn a_callback_that_panics() {
    let heard = heard(|| async {
        call_soon(|| panic!("oh"));
    });
    assert_eq!(heard, ["Exception in callback\nexception: oh"]);
}

#[test]
fn a_task_whose_panic_nobody_awaits_whenever_its_handle_is_dropped() {
    let text =
        "Task exception was never retrieved\ntask: <Task finished name='Task-2'>\nexception: oh";
    let before = heard(|| async { spawn(async { panic!("oh") as () }).detach() });
    assert_eq!(before, [text]);
    let after = heard(|| async {
        let task = spawn(async { panic!("oh") as () });
        yield_now().await;
        drop(task);
    });
    assert_eq!(after, [text]);
}

#[test]
fn a_task_whose_panic_somebody_awaits_is_nobody_elses_business() {
    let heard = heard(|| async {
        assert!(spawn(async { panic!("oh") as () }).await.is_err());
        let handle = riata::Handle::current();
        let remote = handle.spawn(async { panic!("there") as () }).unwrap();
        assert!(remote.await.unwrap_err().is_panic());
    });
    assert!(heard.is_empty());
}

#[test]
fn an_error_of_a_future_is_reported_once_if_nobody_was_given_it() {
    let failed = || {
        let future = Future::<u8>::new();
        future.set_error(std::fmt::Error).unwrap();
        future
    };
    let heard = heard(|| async {
        let promise = failed();
        drop(promise.clone());
        call_exception_handler(&ExceptionContext::new("nothing so far"));
        drop(promise);
        // Awaited, asked for, cancelled, or with a value: nobody else's business.
        assert!(failed().await.is_err());
        assert!(failed().result().unwrap().is_err());
        assert!(Future::<u8>::new().cancel());
        Future::new().set_result(1).unwrap();
    });
    let text = format!(
        "Future exception was never retrieved\nexception: {}",
        std::fmt::Error
    );
    assert_eq!(heard, ["nothing so far", &text]);
}

#[test]
fn a_handler_can_be_replaced_and_put_back_and_may_panic_itself() {
    let heard = heard(|| async {
        let old = exception_handler();
        set_exception_handler(Some(Rc::new(|_| panic!("in the handler"))));
        call_exception_handler(&ExceptionContext::new("lost"));
        set_exception_handler(old);
        call_exception_handler(&ExceptionContext::new("heard"));
    });
    assert_eq!(heard, ["heard"]);
}
