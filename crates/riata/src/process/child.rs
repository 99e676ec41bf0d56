//! A child process, and what its owner can do with it.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::{ExitStatus, Output};
use std::task::Poll;

use rustix::process::{Pid, Signal, kill_process};

use super::pipe::{ChildStderr, ChildStdin, ChildStdout, PipeReader};
use super::{exit, orphan};
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
    /// Present until it is dropped.
    inner: Option<std::process::Child>,
    /// Readable once it has ended; gone once that is known.
    exit: Option<Source<OwnedFd>>,
    at_drop: AtDrop,
    pid: u32,
    /// Its standard input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
}

impl Child {
    pub(super) fn adopt(mut inner: std::process::Child, at_drop: AtDrop) -> io::Result<Self> {
        match Self::equip(&mut inner) {
            Ok((exit, stdin, stdout, stderr)) => Ok(Self {
                pid: inner.id(),
                inner: Some(inner),
                exit: Some(exit),
                at_drop,
                stdin,
                stdout,
                stderr,
            }),
            Err(error) => {
                // The first error says why; nobody would know the child.
                let _ = orphan::put_down(inner);
                Err(error)
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn equip(
        child: &mut std::process::Child,
    ) -> io::Result<(
        Source<OwnedFd>,
        Option<ChildStdin>,
        Option<ChildStdout>,
        Option<ChildStderr>,
    )> {
        let exit = Source::new(exit::watch(Pid::from_child(child))?)?;
        let stdin = child.stdin.take().map(ChildStdin::new).transpose()?;
        let stdout = child.stdout.take().map(PipeReader::new).transpose()?;
        let stderr = child.stderr.take().map(PipeReader::new).transpose()?;
        Ok((exit, stdin, stdout, stderr))
    }

    #[allow(clippy::expect_used)]
    fn inner(&mut self) -> &mut std::process::Child {
        self.inner.as_mut().expect("taken only by drop")
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
        self.pid
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
            if let Some(exit) = &self.exit {
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
        let status = self.inner().try_wait()?;
        if status.is_some() {
            self.exit = None;
        }
        Ok(status)
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
        self.inner().kill()
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
    /// ESRCH if the child has been waited for: its number may be somebody else's by now. EINVAL
    /// for a number without a name. Those of kill(2).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// use std::os::unix::process::ExitStatusExt;
    /// riata::run(async {
    ///     let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    ///     child.send_signal(riata::signal::SIGHUP).unwrap();
    ///     assert_eq!(child.wait().await.unwrap().signal(), Some(1));
    ///     assert!(child.send_signal(riata::signal::SIGHUP).is_err());
    /// });
    /// ```
    pub fn send_signal(&mut self, number: i32) -> io::Result<()> {
        let signal = Signal::from_named_raw(number).ok_or(rustix::io::Errno::INVAL)?;
        if self.exit.is_none() {
            return Err(rustix::io::Errno::SRCH.into());
        }
        Ok(kill_process(Pid::from_child(self.inner()), signal)?)
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
        let (Some(mut inner), Some(exit)) = (self.inner.take(), self.exit.take()) else {
            return;
        };
        if self.at_drop == AtDrop::Kill {
            // It fails only if the child has ended or may not be killed; neither is news.
            let _ = inner.kill();
        }
        if matches!(inner.try_wait(), Ok(None)) {
            orphan::adopt(inner, Some(exit.into_io()));
        }
    }
}
