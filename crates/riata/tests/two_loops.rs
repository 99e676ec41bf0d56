//! Futures of one loop that come into the hands of another of the same thread.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::async_yields_async)]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use riata::{Runtime, Sleep, Source, run_in_executor, sleep};

const MINUTE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    Runtime::builder().virtual_clock(true).build().unwrap()
}

async fn begin(sleep: &mut Sleep) {
    poll_fn(|context| {
        assert!(Pin::new(&mut *sleep).poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// The timers of two loops have the same keys: a stranger must not be taken for one's own.
#[test]
fn a_sleep_begun_on_one_loop_ends_on_another_and_cancels_nobody_elses() {
    let (mut first, mut second) = (runtime(), runtime());
    let mut lent = sleep_of(&mut first);
    let mut dropped = sleep_of(&mut first);
    first.run(begin(&mut dropped));
    first.run(begin(&mut lent));
    second.run(async {
        let (mut one, mut two) = (sleep(MINUTE), sleep(MINUTE));
        begin(&mut one).await;
        begin(&mut two).await;
        drop(dropped);
        lent.await;
        assert_eq!(riata::time().as_secs_f64(), 60.0);
        one.await;
        two.await;
        assert_eq!(riata::time().as_secs_f64(), 60.0);
    });
    // Both timers of the first loop are gone, so that nothing is left to wait for.
    first.run(async {
        sleep(MINUTE * 10).await;
        assert_eq!(riata::time().as_secs_f64(), 600.0);
    });
}

fn sleep_of(runtime: &mut Runtime) -> Sleep {
    runtime.run(async { sleep(MINUTE) })
}

#[test]
fn a_call_is_cancelled_where_it_was_made() {
    let (mut first, mut second) = (runtime(), runtime());
    let call = first.run(async { riata::call_later(MINUTE, || panic!("it was cancelled")) });
    second.run(async move {
        let mut own = sleep(MINUTE);
        begin(&mut own).await;
        call.cancel();
        own.await;
        assert_eq!(riata::time().as_secs_f64(), 60.0);
    });
    first.run(async { sleep(MINUTE * 2).await });
}

#[test]
fn a_source_of_another_loop_says_so_and_watches_nothing_of_ours() {
    let pair = || {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        (near, far)
    };
    let (mut first, mut second) = (runtime(), runtime());
    let (near, mut far) = pair();
    let foreign = first.run(async { Source::new(near).unwrap() });
    second.run(async {
        let (near, _far) = pair();
        let own = Source::new(near).unwrap();
        let error = foreign.readable().await.unwrap_err();
        assert_eq!(error.to_string(), "attached to a different loop");
        let mut buffer = [0; 8];
        let read = foreign.read_with(|mut io| io.read(&mut buffer));
        assert!(read.await.is_err());
        drop(own);
    });
    // At home it still works.
    far.write_all(b"hello").unwrap();
    let count = first.run(async {
        let mut buffer = [0; 8];
        foreign
            .read_with(|mut io| io.read(&mut buffer))
            .await
            .unwrap()
    });
    assert_eq!(count, 5);
    // Dropped elsewhere, it leaves its own loop's watch.
    second.run(async move { drop(foreign) });
    first.run(async {
        let (near, mut far) = pair();
        let source = Source::new(near).unwrap();
        far.write_all(b"x").unwrap();
        source.readable().await.unwrap();
    });
}

#[test]
fn a_call_for_a_thread_is_counted_where_it_was_made() {
    let (mut first, mut second) = (runtime(), runtime());
    let (send, receive) = std::sync::mpsc::channel();
    let call = first.run(async move { run_in_executor(move || receive.recv().unwrap()) });
    // Of the second loop no thread is at work, before and after.
    second.run(async move {
        send.send(3).unwrap();
        assert_eq!(call.await.unwrap(), 3);
        sleep(MINUTE).await;
    });
    first.run(async {
        sleep(MINUTE).await;
        assert_eq!(riata::time().as_secs_f64(), 60.0);
    });
}
