//! Child processes.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;

use riata::process::{Child, Command, Stdio};
use riata::{Source, run, spawn, yield_now};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

/// A child that lives until its input ends.
fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn pidfd(child: &Child) -> Source<OwnedFd> {
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    Source::new(pidfd_open(pid, PidfdFlags::empty()).unwrap()).unwrap()
}

#[test]
fn how_a_child_ended_is_told() {
    run(async {
        let mut failed = Command::shell("exit 7").spawn().unwrap();
        assert_eq!(failed.wait().await.unwrap().code(), Some(7));
        assert_eq!(failed.try_wait().unwrap().unwrap().code(), Some(7));
        let mut killed = cat().spawn().unwrap();
        killed.kill().unwrap();
        assert_eq!(killed.wait().await.unwrap().signal(), Some(9));
        killed.kill().unwrap();
        let error = killed.terminate().unwrap_err();
        let gone = rustix::io::Errno::SRCH.raw_os_error();
        assert_eq!(error.raw_os_error(), Some(gone));
        let error = Command::new("/no/such/program").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_child_is_talked_to_while_it_runs() {
    run(async {
        let mut child = cat().spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        for word in [&b"first"[..], b"second"] {
            stdin.write_all(word).await.unwrap();
            let mut answer = vec![0; word.len()];
            stdout.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, word);
        }
        assert!(child.try_wait().unwrap().is_none());
        drop(stdin);
        assert_eq!(stdout.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn more_than_pipes_hold_goes_through_a_child() {
    run(async {
        let input: Vec<u8> = (0..3 << 20).map(|index: u32| (index / 5) as u8).collect();
        let mut command = Command::shell("tee /dev/stderr");
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.spawn().unwrap().communicate(&input).await.unwrap();
        assert!(output.stdout == input && output.stderr == input);
    });
}

#[test]
fn a_child_that_wants_no_input_is_no_error() {
    run(async {
        let input = vec![0; 1 << 20];
        let mut command = Command::new("true");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let output = child.communicate(&input).await.unwrap();
        assert!(output.status.success());
    });
}

#[test]
fn output_gathers_and_leaves_the_command_as_it_was() {
    run(async {
        let mut command = Command::shell("read line; echo \"got $?\"; echo bad >&2");
        for _ in 0..2 {
            let output = command.output().await.unwrap();
            assert_eq!(output.stdout, b"got 1\n", "its input is empty");
            assert_eq!(output.stderr, b"bad\n");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert!(child.stdout.is_none());
        child.wait().await.unwrap();
    });
}

#[test]
fn many_children_end_in_any_order() {
    run(async {
        let children: Vec<_> = (0..20)
            .map(|code| {
                let mut child = Command::shell(format!("exit {code}")).spawn().unwrap();
                spawn(async move { child.wait().await.unwrap().code() })
            })
            .collect();
        for (code, child) in children.into_iter().enumerate().rev() {
            assert_eq!(child.await.unwrap(), Some(code as i32));
        }
    });
}

#[test]
fn a_cancelled_wait_loses_nothing() {
    run(async {
        let mut child = cat().spawn().unwrap();
        let stdin = child.stdin.take();
        let waited = riata::timeout(std::time::Duration::ZERO, child.wait()).await;
        assert!(waited.is_err());
        drop(stdin);
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn other_peoples_children_are_left_to_them() {
    let mut theirs = std::process::Command::new("true").spawn().unwrap();
    let pid = Pid::from_child(&theirs);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).unwrap();
    run(async {
        assert!(Command::new("true").status().await.unwrap().success());
    });
    assert!(theirs.wait().unwrap().success());
}

#[test]
fn a_dropped_child_runs_on_and_is_reaped_by_the_loop() {
    run(async {
        let mut child = cat().spawn().unwrap();
        let (stdin, exit) = (child.stdin.take(), pidfd(&child));
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        let mut stdout = child.stdout.take().unwrap();
        drop(child);
        let mut stdin = stdin.unwrap();
        stdin.write_all(b"alive").await.unwrap();
        stdout.read_exact(&mut [0; 5]).await.unwrap();
        drop(stdin);
        exit.readable().await.unwrap();
        // The loop hears of it in the same poll, or in the next.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(pid), options).err() != Some(rustix::io::Errno::CHILD) {
            yield_now().await;
        }
    });
}

#[test]
fn a_child_whose_loop_is_gone_is_reaped_when_another_begins() {
    let (mut child, pid) = run(async {
        let child = cat().spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        (child, pid)
    });
    let stdin = child.stdin.take();
    drop(child);
    drop(stdin);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // Another test's spawn may have reaped it already.
    let ended = waitid(WaitId::Pid(pid), options);
    assert!(matches!(ended, Ok(_) | Err(rustix::io::Errno::CHILD)));
    run(async { Command::new("true").status().await.unwrap() });
    let ended = waitid(WaitId::Pid(pid), options | WaitIdOptions::NOHANG);
    assert_eq!(ended.unwrap_err(), rustix::io::Errno::CHILD);
}

#[test]
fn kill_on_drop_ends_the_child_of_a_cancelled_task() {
    run(async {
        let mut child = cat().kill_on_drop(true).spawn().unwrap();
        let exit = pidfd(&child);
        let stdin = child.stdin.take();
        let task = spawn(async move { child.wait().await });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        exit.readable().await.unwrap();
        drop(stdin);
    });
}

#[test]
fn one_childs_output_is_anothers_input() {
    run(async {
        let mut first = Command::new("printf");
        let mut first = first
            .arg("b\\na\\n")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = first.stdout.take().unwrap().into_stdio().unwrap();
        let output = Command::new("sort").stdin(pipe).output().await.unwrap();
        assert_eq!(output.stdout, b"a\nb\n");
        assert!(first.wait().await.unwrap().success());
    });
}
