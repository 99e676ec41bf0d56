//! What the kernel may do to a poll: forbid it, or interrupt it.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, unsafe_code)]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use riata_engine::driver::{Events, Interest, Poller, Registry};
use riata_engine::{Nanos, monotonic};

/// Makes epoll_pwait2 fail with `errno` on this thread, from now on: what a container's
/// seccomp profile does (EPERM), or a kernel before 5.11 (ENOSYS).
fn forbid_epoll_pwait2(errno: i32) {
    let step = |code: u32, k: u32, jf: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let mut filter = [
        // The call's number is the first field of `seccomp_data`.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::SYS_epoll_pwait2 as u32,
            1,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno as u32,
            0,
        ),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is read during the call, and limits this thread alone.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ),
        ]
    };
    assert_eq!(results, [0, 0]);
}

#[test]
fn without_epoll_pwait2_a_timerfd_keeps_the_deadlines() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let forbidden = thread::spawn(move || {
            forbid_epoll_pwait2(errno);
            let (socket, _peer) = UnixStream::pair().unwrap();
            let poller = Poller::new().unwrap();
            let mut registry = Registry::new();
            let mut events = Events::with_capacity(1);
            for nanos in [1, 300_000, 1_700_000] {
                let begin = monotonic();
                assert_eq!(poller.wait(&mut events, Some(Nanos(nanos))), Ok(0));
                assert!(monotonic() >= begin.saturating_add(Nanos(nanos)));
            }
            let fd = socket.as_raw_fd();
            registry.add(&poller, fd, Interest::WRITABLE, ()).unwrap();
            assert_eq!(poller.wait(&mut events, None), Ok(1));
        });
        forbidden.join().unwrap();
    }
}

extern "C" fn do_nothing(_signal: i32) {}

#[test]
fn a_signal_ends_a_poll_and_says_so() {
    // SAFETY: the handler does nothing, and the signal is used by this test alone.
    unsafe { libc::signal(libc::SIGUSR1, do_nothing as *const () as libc::sighandler_t) };
    let ended = AtomicBool::new(false);
    // SAFETY: names the calling thread, which lives to the end of the scope below.
    let poller_thread = unsafe { libc::pthread_self() };
    thread::scope(|scope| {
        scope.spawn(|| {
            // Again and again, as one could come before the poll has begun.
            while !ended.load(Ordering::Acquire) {
                // SAFETY: the scope keeps the thread alive.
                unsafe { libc::pthread_kill(poller_thread, libc::SIGUSR1) };
                thread::yield_now();
            }
        });
        for poller in [Poller::new().unwrap(), Poller::with_timerfd().unwrap()] {
            let error = poller.wait(&mut Events::with_capacity(1), None);
            assert!(error.unwrap_err().is_interrupted());
        }
        ended.store(true, Ordering::Release);
    });
}
