//! A small operating system of coroutines: an event loop seen from inside.
//!
//! A *process* is an async function. Whatever it cannot do by itself it asks the kernel for,
//! by a *system call*: it leaves the request where the kernel finds it and gives up the
//! processor, as a program on a real machine traps. The *kernel* looks at the request, notes
//! who waits for what, and lets the next process run. When nobody can run it sleeps in the
//! only place where it ever waits: the hardware, which is epoll and a clock.
//!
//! That is all there is to an event loop. riata's own does the same with the same parts (its
//! timers, its poller), and with wakers in the place of system calls.
//!
//! Read on from `system.rs` (what a process can ask for), to `kernel.rs` (what becomes of it, and who is
//! next) and `programs.rs` (something to run).

mod kernel;
mod programs;
mod system;

use std::io;

use kernel::Kernel;
use programs::init;

/// Runs the system until it has nothing left to do; what was said on its console.
fn demonstration() -> io::Result<Vec<String>> {
    let mut kernel = Kernel::boot()?;
    let system = kernel.system.clone();
    kernel.run("init", Box::pin(init(system.clone())))?;
    system.say("kernel: no process is left");
    Ok(system.registers.console.take())
}

fn main() -> io::Result<()> {
    demonstration().map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use riata_engine::driver::Interest;

    use super::*;
    use crate::programs::LastWords;
    use crate::system::{Ending, System};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Runs a system whose first process is `program`; what was said.
    fn console<F>(program: impl FnOnce(System) -> F) -> Vec<String>
    where
        F: Future<Output = ()> + 'static,
    {
        let mut kernel = Kernel::boot().unwrap();
        let system = kernel.system.clone();
        let program = Box::pin(program(system.clone()));
        kernel.run("init", program).unwrap();
        system.registers.console.take()
    }

    #[test]
    fn the_demonstration_is_the_same_each_time() {
        for _ in 0..3 {
            assert_eq!(
                demonstration().unwrap(),
                [
                    "init: I am process 1",
                    "init: started the sleepers [2, 3, 4]",
                    "sleeper: awake after 1 naps",
                    "sleeper: awake after 2 naps",
                    "sleeper: awake after 3 naps",
                    "spinner: farewell",
                    "judge: process 5 was killed",
                    "init: killed it again: false",
                    "init: the bad program crashed, the system goes on",
                    "echo server: open",
                    r#"ping: heard ["ping 1", "ping 2", "ping 3"]"#,
                    r#"pong: heard ["pong 1", "pong 2", "pong 3"]"#,
                    "echo server: closed",
                    "init: done",
                    "kernel: no process is left",
                ]
            );
        }
    }

    #[test]
    fn a_process_is_killed_whatever_it_does() {
        let said = console(|system| async move {
            let patient = system.spawn("patient", |system| async move {
                system.sleep(HOUR).await;
            });
            let patient = patient.await;
            let sleeper = system.spawn("sleeper", |system| async move {
                let _words = LastWords(system.clone(), "asleep");
                system.sleep(HOUR).await;
            });
            let mourner = system.spawn("mourner", move |system| async move {
                let _words = LastWords(system.clone(), "waiting for another");
                system.wait_for(patient).await;
            });
            let reader = system.spawn("reader", |system| async move {
                let (near, _far) = UnixStream::pair().unwrap();
                let _words = LastWords(system.clone(), "waiting for input");
                system.ready(&near, Interest::READABLE).await.unwrap();
            });
            let ready = system.spawn("ready", |system| async move {
                let _words = LastWords(system.clone(), "ready to run");
                loop {
                    system.give_way().await;
                }
            });
            let own = system.spawn("suicide", |system| async move {
                let _words = LastWords(system.clone(), "killed by itself");
                let pid = system.pid().await;
                system.kill(pid).await;
                unreachable!();
            });
            let victims = [sleeper.await, mourner.await, reader.await, ready.await];
            assert_eq!(system.wait_for(own.await).await, Some(Ending::Killed));
            for victim in victims {
                assert!(system.kill(victim).await);
            }
            assert!(system.kill(patient).await);
        });
        assert_eq!(
            said,
            [
                "killed by itself",
                "asleep",
                "waiting for another",
                "waiting for input",
                "ready to run",
            ]
        );
    }

    #[test]
    fn those_who_wait_for_one_another_do_not_keep_it_up() {
        let said = console(|system| async move {
            let itself = system.pid().await;
            system.wait_for(itself).await;
        });
        assert_eq!(said, ["kernel: init (1) waits for what cannot happen"]);
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused() {
        console(|system| async move {
            let file = std::fs::File::open("/proc/self/exe").unwrap();
            let error = system.ready(&file, Interest::READABLE).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        });
    }
}
