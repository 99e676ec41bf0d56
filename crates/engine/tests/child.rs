//! Watching children, by pidfd and without.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]
#![allow(clippy::zombie_processes)] // what is tested reaps them

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use riata_engine::Result;
use riata_engine::child::{Child, Ended};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

type Watch = fn(i32) -> Result<Child>;
const WAYS: [Watch; 2] = [Child::watch, Child::watch_without_pidfd];

/// One test at a time: a child of another one's that has ended would be a stranger.
static ALONE: Mutex<()> = Mutex::new(());

fn begin(script: &str) -> std::process::Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::piped());
    command.spawn().unwrap()
}

fn pid(child: &std::process::Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

fn wait(child: &Child) -> Ended {
    let fd = child.fd();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
    child.reap().unwrap().unwrap()
}

#[test]
fn how_a_child_ended() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        for (script, ended) in [
            ("exit 0", Ended::Exited(0)),
            ("exit 77", Ended::Exited(77)),
            ("kill -9 $$", Ended::Killed(9)),
        ] {
            let child = begin(script);
            assert_eq!(wait(&watch(pid(&child)).unwrap()), ended);
        }
    }
}

#[test]
fn a_running_child_is_signalled_and_a_reaped_one_is_not() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        let process = begin("exec cat");
        let child = watch(pid(&process)).unwrap();
        assert!(child.is_running() && child.reap().unwrap().is_none());
        assert_eq!(child.send_signal(9999).unwrap_err().errno, libc::EINVAL);
        child.send_signal(libc::SIGTERM).unwrap();
        assert_eq!(wait(&child), Ended::Killed(libc::SIGTERM));
        assert!(!child.is_running());
        assert_eq!(child.send_signal(0).unwrap_err().errno, libc::ESRCH);
    }
}

#[test]
fn what_somebody_else_has_reaped() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        let mut process = begin("read line");
        let child = watch(pid(&process)).unwrap();
        drop(process.stdin.take());
        assert_eq!(process.wait().unwrap().code(), Some(1));
        assert_eq!(wait(&child), Ended::Unknown);
        assert!(!child.is_running());
    }
    assert_eq!(Child::watch(0).unwrap_err().errno, libc::EINVAL);
}

#[test]
fn many_together() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        let begun: Vec<_> = (0..200)
            .map(|code| begin(&format!("exit {code}")))
            .collect();
        let children: Vec<_> = begun
            .iter()
            .map(|child| watch(pid(child)).unwrap())
            .collect();
        for (code, child) in children.iter().enumerate() {
            assert_eq!(wait(child), Ended::Exited(i32::try_from(code).unwrap()));
        }
    }
}

#[test]
fn a_stranger_that_nobody_reaps_hides_nothing() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        let mut stranger = begin("echo");
        let first = begin("read line; exit 5");
        let child = watch(pid(&first)).unwrap();
        // The stranger has ended, and stays to be reaped by its owner.
        let strangers = Child::watch(pid(&stranger)).unwrap();
        let fd = strangers.fd();
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
        let second = begin("exit 6");
        let another = watch(pid(&second)).unwrap();
        assert_eq!(wait(&another), Ended::Exited(6));
        drop(first);
        assert_eq!(wait(&child), Ended::Exited(5));
        assert!(stranger.wait().unwrap().success());
    }
}

#[test]
fn a_group_leader_is_watched_like_any_other() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.process_group(0).spawn().unwrap();
        let child = watch(pid(&process)).unwrap();
        drop(process.stdin.take());
        let mut read = Vec::new();
        process
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert_eq!(wait(&child), Ended::Exited(0));
    }
}

/// Waits until a child has ended, without reaping it.
fn wait_for_end(process: &std::process::Child) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(process)), options).unwrap();
}

/// Whether there is such a child, running or not.
fn exists(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    waitid(WaitId::Pid(pid), options).is_ok()
}

#[test]
fn only_who_watches_a_child_reaps_it() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        let process = begin("exit 3");
        let child = watch(pid(&process)).unwrap();
        let fd = child.fd();
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
        // Whoever else waits for it has every chance.
        for _ in 0..200 {
            wait_for_end(&process);
            std::thread::yield_now();
        }
        child.send_signal(0).unwrap();
        assert!(!child.is_running());
        assert_eq!(child.reap().unwrap(), Some(Ended::Exited(3)));
        assert!(!exists(Pid::from_child(&process)));
        assert_eq!(child.send_signal(0).unwrap_err().errno, libc::ESRCH);
    }
}

#[test]
fn a_child_that_its_watcher_does_not_reap_hides_nothing() {
    let _alone = ALONE.lock();
    for watch in WAYS {
        let first = watch(pid(&begin("exit 3"))).unwrap();
        let fd = first.fd();
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).unwrap();
        let later = begin("read line; exit 4");
        let child = watch(pid(&later)).unwrap();
        drop(later);
        assert_eq!(wait(&child), Ended::Exited(4));
        assert_eq!(first.reap().unwrap(), Some(Ended::Exited(3)));
    }
}

#[test]
fn without_pidfds_nothing_is_left_of_a_child_that_nobody_asks_after() {
    let _alone = ALONE.lock();
    let (mut running, ended) = (begin("read line"), begin("exit 0"));
    let watched = [&running, &ended].map(|one| Child::watch_without_pidfd(pid(one)).unwrap());
    wait_for_end(&ended);
    drop(watched);
    drop(running.stdin.take());
    for process in [running, ended] {
        while exists(Pid::from_child(&process)) {
            std::thread::yield_now();
        }
    }
}
