//! A child process, and what its owner can do with it.

use std::future::poll_fn;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::task::Poll;

use riata_engine::child::{Child as Watched, Ended};
use rustix::io::Errno;
use rustix::process::Signal;

use super::orphan;
use super::pipe::{ChildStderr, ChildStdin, ChildStdout, PipeReader};
use crate::source::Source;

/// What becomes of a child that is running when its [`Child`] is dropped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum AtDrop {
    LetRun,
    Kill,
}

/// A running child process, from [`Command::spawn`](super::Command::spawn).
///
/// Dropping it lets the child run on (unless
/// [`kill_on_drop`](super::Command::kill_on_drop)); it is reaped when it ends, by the loop, or
/// at the next spawn if the loop is gone.
///
/// ```
/// use riata::process::Command;
/// riata::run(async {
///     let mut child = Command::new("true").spawn().unwrap();
///     assert!(child.wait().await.unwrap().success());
/// });
/// ```
#[derive(Debug)]
pub struct Child {
    life: Life,
    at_drop: AtDrop,
    pid: i32,
    /// Its standard input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
}

/// What is known of a child.
#[derive(Debug)]
enum Life {
    /// It may have ended, which nobody has asked yet; then this is readable.
    Running(Source<Arc<Watched>>),
    /// It was reaped.
    Ended(ExitStatus),
    /// Somebody else has reaped it, or it is an orphan's.
    Gone,
}

impl From<Ended> for Life {
    fn from(ended: Ended) -> Self {
        // As wait(2) puts it.
        const CORE_DUMP: i32 = 0x80;
        Self::Ended(ExitStatus::from_raw(match ended {
            Ended::Exited(code) => code << 8,
            Ended::Killed(signal) => signal,
            Ended::Dumped(signal) => signal | CORE_DUMP,
            Ended::Unknown => return Self::Gone,
        }))
    }
}

impl Child {
    pub(super) fn adopt(mut inner: std::process::Child, at_drop: AtDrop) -> io::Result<Self> {
        let watched = match Watched::watch(inner.id() as i32) {
            Ok(watched) => Arc::new(watched),
            Err(error) => {
                // The first error says why; nobody would know the child.
                let _ = orphan::put_down(inner);
                return Err(error.into());
            }
        };
        Self::equip(&mut inner, &watched, at_drop).inspect_err(|_| {
            // As above.
            let _ = watched.send_signal(Signal::KILL.as_raw());
            orphan::leave(watched);
        })
    }

    fn equip(
        inner: &mut std::process::Child,
        watched: &Arc<Watched>,
        at_drop: AtDrop,
    ) -> io::Result<Self> {
        Ok(Self {
            life: Life::Running(Source::new(Arc::clone(watched))?),
            at_drop,
            pid: watched.pid(),
            stdin: inner.stdin.take().map(ChildStdin::new).transpose()?,
            stdout: inner.stdout.take().map(PipeReader::new).transpose()?,
            stderr: inner.stderr.take().map(PipeReader::new).transpose()?,
        })
    }

    /// The child's process id; another process may have it once this child was waited for.
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async {
    ///     let mut child = Command::new("true").spawn().unwrap();
    ///     assert!(child.id() > 1);
    ///     child.wait().await.unwrap();
    /// });
    /// ```
    pub fn id(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Waits until the child has ended, and says how; closes its standard input before, so that
    /// neither waits for the other. It may be asked again. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Those of waitid(2): ECHILD if somebody else has reaped it, or the process ignores
    /// SIGCHLD.
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async {
    ///     let mut child = Command::shell("exit 3").spawn().unwrap();
    ///     assert_eq!(child.wait().await.unwrap().code(), Some(3));
    ///     assert_eq!(child.wait().await.unwrap().code(), Some(3));
    /// });
    /// ```
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.stdin = None;
        self.ended().await
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if let Life::Running(exit) = &self.life {
                exit.readable().await?;
            }
        }
    }

    /// How the child ended; `None` if it is running.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    ///     assert!(child.try_wait().unwrap().is_none());
    ///     child.wait().await.unwrap();
    ///     assert!(child.try_wait().unwrap().is_some());
    /// });
    /// ```
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if let Life::Running(exit) = &self.life {
            match exit.io().reap()? {
                None => return Ok(None),
                Some(ended) => self.life = ended.into(),
            }
        }
        match self.life {
            Life::Ended(status) => Ok(Some(status)),
            Life::Running(_) | Life::Gone => Err(Errno::CHILD.into()),
        }
    }

    /// Ends the child (SIGKILL); it is still to be waited for. Nothing happens if it has been.
    ///
    /// # Errors
    ///
    /// Those of kill(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// use std::os::unix::process::ExitStatusExt;
    /// riata::run(async {
    ///     let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    ///     child.kill().unwrap();
    ///     assert_eq!(child.wait().await.unwrap().signal(), Some(9));
    /// });
    /// ```
    pub fn kill(&mut self) -> io::Result<()> {
        match self.signal(Signal::KILL.as_raw()) {
            Err(Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Asks the child to end (SIGTERM).
    ///
    /// # Errors
    ///
    /// As [`send_signal`](Self::send_signal).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// use std::os::unix::process::ExitStatusExt;
    /// riata::run(async {
    ///     let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    ///     child.terminate().unwrap();
    ///     assert_eq!(child.wait().await.unwrap().signal(), Some(15));
    /// });
    /// ```
    pub fn terminate(&mut self) -> io::Result<()> {
        self.send_signal(Signal::TERM.as_raw())
    }

    /// Sends the child a signal, by its number.
    ///
    /// # Errors
    ///
    /// ESRCH if the child has been waited for (where the kernel has no pidfds: if it has ended).
    /// EINVAL for what is no signal; EPERM.
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// use std::os::unix::process::ExitStatusExt;
    /// riata::run(async {
    ///     let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    ///     child.send_signal(riata::signal::SIGUSR1).unwrap();
    ///     assert_eq!(child.wait().await.unwrap().signal(), Some(10));
    ///     assert!(child.send_signal(riata::signal::SIGUSR1).is_err());
    /// });
    /// ```
    pub fn send_signal(&mut self, number: i32) -> io::Result<()> {
        Ok(self.signal(number)?)
    }

    /// To this child and nobody else, even when its process id is another's by now.
    fn signal(&self, number: i32) -> Result<(), Errno> {
        match &self.life {
            Life::Running(exit) => {
                let sent = exit.io().send_signal(number);
                sent.map_err(|error| Errno::from_raw_os_error(error.errno))
            }
            Life::Ended(_) | Life::Gone => Err(Errno::SRCH),
        }
    }

    /// Waits for the end, and gives with it what the child has written to the pipes that this
    /// has. The standard input is closed.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); those of read(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().unwrap();
    ///     let output = child.wait_with_output().await.unwrap();
    ///     assert!(output.status.success() && output.stdout == b"hello\n");
    /// });
    /// ```
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        self.communicate(b"").await
    }

    /// Writes `input` to the child and closes its standard input, gathers what it writes, and
    /// waits for its end: asyncio's `communicate`. A child that does not want all its input is no
    /// error. Dropping the future loses what was gathered, and leaves the child running.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); those of read(2) and write(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut command = Command::new("sort");
    ///     let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    ///     let output = child.communicate(b"b\na\n").await.unwrap();
    ///     assert_eq!(output.stdout, b"a\nb\n");
    /// });
    /// ```
    pub async fn communicate(&mut self, input: &[u8]) -> io::Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let stdin = self.stdin.take();
        {
            let mut feeding = pin!(feed(stdin, input));
            let mut reading = pin!(gather(self.stdout.take(), &mut stdout));
            let mut errors = pin!(gather(self.stderr.take(), &mut stderr));
            let mut left = [true; 3];
            poll_fn(|context| {
                let jobs: [std::pin::Pin<&mut dyn Future<Output = io::Result<()>>>; 3] =
                    [feeding.as_mut(), reading.as_mut(), errors.as_mut()];
                for (job, left) in jobs.into_iter().zip(&mut left) {
                    if *left && let Poll::Ready(result) = job.poll(context) {
                        *left = false;
                        if result.is_err() {
                            return Poll::Ready(result);
                        }
                    }
                }
                if left.contains(&true) {
                    Poll::Pending
                } else {
                    Poll::Ready(Ok(()))
                }
            })
            .await?;
        }
        let status = self.ended().await?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else {
        return Ok(());
    };
    match stdin.write_all(input).await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

async fn gather<T: std::os::fd::AsFd>(
    pipe: Option<PipeReader<T>>,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    match pipe {
        Some(mut pipe) => pipe.read_to_end(bytes).await.map(|_| ()),
        None => Ok(()),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Life::Running(exit) = std::mem::replace(&mut self.life, Life::Gone) else {
            return;
        };
        let watched = exit.into_io();
        if self.at_drop == AtDrop::Kill {
            // It fails only if the child has ended or may not be killed; neither is news.
            let _ = watched.send_signal(Signal::KILL.as_raw());
        }
        orphan::adopt(watched);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_status_says_all_that_the_kernel_said() {
        let status = |ended: Ended| match Life::from(ended) {
            Life::Ended(status) => status,
            life => panic!("{life:?}"),
        };
        assert_eq!(status(Ended::Exited(200)).code(), Some(200));
        let killed = status(Ended::Killed(9));
        assert!(killed.signal() == Some(9) && !killed.core_dumped());
        let dumped = status(Ended::Dumped(11));
        assert!(dumped.signal() == Some(11) && dumped.core_dumped());
        assert!(matches!(Life::from(Ended::Unknown), Life::Gone));
    }

    #[test]
    fn without_pidfds_a_child_is_waited_for_and_let_go_all_the_same() {
        crate::run(async {
            let begin = || {
                let mut command = std::process::Command::new("cat");
                let mut inner = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
                let watched = Arc::new(Watched::watch_without_pidfd(inner.id() as i32).unwrap());
                Child::equip(&mut inner, &watched, AtDrop::LetRun).unwrap()
            };
            let mut child = begin();
            assert!(child.try_wait().unwrap().is_none());
            assert!(child.wait().await.unwrap().success());
            assert!(child.send_signal(15).is_err() && child.kill().is_ok());

            let mut dropped = begin();
            let told = match &dropped.life {
                Life::Running(exit) => exit.io().fd().try_clone_to_owned().unwrap(),
                life => panic!("{life:?}"),
            };
            let stdin = dropped.stdin.take();
            drop(dropped);
            let told: Source<OwnedFd> = Source::new(told).unwrap();
            drop(stdin);
            told.readable().await.unwrap();
        });
    }
}
