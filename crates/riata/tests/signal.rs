//! Signals that the process sends itself.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_lite::StreamExt;
use riata::signal::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, ctrl_c, signal};
use riata::{run, spawn, yield_now};
use signal_hook::low_level::raise;

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn every_listener_hears_and_those_of_other_signals_do_not() {
    run(async {
        let mut listeners = [signal(SIGUSR1).unwrap(), signal(SIGUSR1).unwrap()];
        let mut other = signal(SIGWINCH).unwrap();
        raise(SIGUSR1).unwrap();
        for listener in &mut listeners {
            listener.recv().await.unwrap();
            assert!(poll_once(listener.recv()).is_pending());
        }
        assert!(poll_once(other.recv()).is_pending());
        let [gone, mut left] = listeners;
        drop(gone);
        raise(SIGUSR1).unwrap();
        left.next().await.unwrap().unwrap();
    });
}

#[test]
fn each_arrival_is_heard_also_by_who_was_not_waiting() {
    run(async {
        let mut listener = signal(SIGUSR2).unwrap();
        for _ in 0..3 {
            raise(SIGUSR2).unwrap();
        }
        assert!(poll_once(listener.recv()).is_ready());
        let waiting = poll_once(listener.recv());
        assert!(waiting.is_ready());
        listener.recv().await.unwrap();
        assert!(poll_once(listener.recv()).is_pending());
    });
}

#[test]
fn a_loop_that_sleeps_is_woken_by_a_signal_to_another_thread() {
    run(async {
        let mut listener = signal(SIGTERM).unwrap();
        let thread = std::thread::spawn(|| raise(SIGTERM).unwrap());
        listener.recv().await.unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn loops_of_several_threads_each_hear() {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let threads = [ready.clone(), ready].map(|ready| {
        std::thread::spawn(move || {
            run(async {
                let mut listener = signal(riata::signal::SIGHUP).unwrap();
                ready.send(()).unwrap();
                listener.recv().await.unwrap();
            });
        })
    });
    for _ in &threads {
        is_ready.recv().unwrap();
    }
    raise(riata::signal::SIGHUP).unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn ctrl_c_is_an_interrupt() {
    run(async {
        let waiting = spawn(ctrl_c());
        yield_now().await;
        assert!(!waiting.is_done());
        raise(SIGINT).unwrap();
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn what_cannot_be_listened_for_is_refused() {
    run(async {
        for number in [9, 19, 11, -1, 0, 1000] {
            assert!(signal(number).is_err(), "{number}");
        }
    });
}
