//! Child processes: std's `Command`, whose children are awaited.
//!
//! The end of a child is told by a descriptor (a pidfd; where the kernel has none, one thread of
//! the process waits for all), so nothing polls and no signal handler is installed. Only the children begun here are reaped:
//! those of others are left to them.
//!
//! ```
//! use riata::process::Command;
//! riata::run(async {
//!     let output = Command::new("echo").arg("hello").output().await.unwrap();
//!     assert_eq!(output.stdout, b"hello\n");
//! });
//! ```

mod child;
mod orphan;
mod pipe;

use std::ffi::OsStr;
use std::io;
use std::path::Path;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::Child;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout, PipeReader};

use child::AtDrop;

/// How a child is to be begun: std's builder, asyncio's `create_subprocess_exec`.
///
/// ```
/// use riata::process::{Command, Stdio};
/// riata::run(async {
///     let mut command = Command::new("cat");
///     let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
///     let output = child.communicate(b"meow").await.unwrap();
///     assert_eq!(output.stdout, b"meow");
/// });
/// ```
#[derive(Debug)]
pub struct Command {
    inner: std::process::Command,
    at_drop: AtDrop,
    /// Which of the three standard streams were chosen.
    chosen: [bool; 3],
}

impl From<std::process::Command> for Command {
    /// Streams that were chosen before count as not chosen: [`output`](Command::output) replaces
    /// them.
    fn from(inner: std::process::Command) -> Self {
        Self {
            inner,
            at_drop: AtDrop::LetRun,
            chosen: [false; 3],
        }
    }
}

impl Command {
    /// Of the program of this name or path.
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async { assert!(Command::new("true").status().await.unwrap().success()) });
    /// ```
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        std::process::Command::new(program).into()
    }

    /// Of what the shell makes of `line`: asyncio's `create_subprocess_shell`.
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async {
    ///     let output = Command::shell("echo $((6 * 7))").output().await.unwrap();
    ///     assert_eq!(output.stdout, b"42\n");
    /// });
    /// ```
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        let mut command = Self::new("/bin/sh");
        command.arg("-c").arg(line);
        command
    }

    /// One more argument.
    ///
    /// ```
    /// let mut command = riata::process::Command::new("ls");
    /// command.arg("-l").arg("/");
    /// ```
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// More arguments.
    ///
    /// ```
    /// riata::process::Command::new("ls").args(["-l", "/"]);
    /// ```
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.inner.args(args);
        self
    }

    /// A variable of the child's environment.
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async {
    ///     let output = Command::shell("echo $NAME").env("NAME", "riata").output().await.unwrap();
    ///     assert_eq!(output.stdout, b"riata\n");
    /// });
    /// ```
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(name, value);
        self
    }

    /// Leaves a variable out.
    ///
    /// ```
    /// riata::process::Command::new("ls").env_remove("LANG");
    /// ```
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env_remove(name);
        self
    }

    /// Leaves out all variables of this process.
    ///
    /// ```
    /// riata::process::Command::new("/bin/ls").env_clear();
    /// ```
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Where the child begins.
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async {
    ///     let output = Command::new("pwd").current_dir("/").output().await.unwrap();
    ///     assert_eq!(output.stdout, b"/\n");
    /// });
    /// ```
    pub fn current_dir(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.inner.current_dir(path);
        self
    }

    /// The child's standard input; by default this process's, with [`output`](Self::output) an
    /// empty one.
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// Command::new("cat").stdin(Stdio::piped());
    /// ```
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.chosen[0] = true;
        self.inner.stdin(stream);
        self
    }

    /// The child's standard output; by default this process's, with [`output`](Self::output) a
    /// pipe.
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// Command::new("cat").stdout(Stdio::null());
    /// ```
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.chosen[1] = true;
        self.inner.stdout(stream);
        self
    }

    /// The child's standard error; by default as [`stdout`](Self::stdout).
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// Command::new("cat").stderr(Stdio::null());
    /// ```
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.chosen[2] = true;
        self.inner.stderr(stream);
        self
    }

    /// Whether a child that is running is killed when its [`Child`] is dropped, as when the
    /// task that has it is cancelled. By default it runs on.
    ///
    /// ```
    /// use riata::process::{Command, Stdio};
    /// riata::run(async {
    ///     let mut command = Command::new("cat");
    ///     let child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    ///     drop(child);
    /// });
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.at_drop = if kill { AtDrop::Kill } else { AtDrop::LetRun };
        self
    }

    /// std's builder beneath, for what only that has: users, groups, `pre_exec`.
    ///
    /// ```
    /// use std::os::unix::process::CommandExt;
    /// riata::process::Command::new("ls").as_std_mut().process_group(0);
    /// ```
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }

    /// Begins the child.
    ///
    /// The thread waits until the program runs or could not be found, as asyncio's does.
    ///
    /// # Errors
    ///
    /// Those of fork(2), execve(2) and pidfd_open(2): `NotFound` if there is no such program. A
    /// child that began but cannot be watched is killed.
    ///
    /// # Panics
    ///
    /// Outside a running loop.
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async {
    ///     let error = Command::new("no such program").spawn().unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        // Panics here rather than with a child begun.
        crate::context::with(|_| ());
        orphan::reap();
        Child::adopt(self.inner.spawn()?, self.at_drop)
    }

    /// Begins the child and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async { assert!(!Command::new("false").status().await.unwrap().success()) });
    /// ```
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait().await
    }

    /// Begins the child, waits for its end, and gives what it has written.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// ```
    /// use riata::process::Command;
    /// riata::run(async {
    ///     let output = Command::shell("echo out; echo err >&2").output().await.unwrap();
    ///     assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    /// });
    /// ```
    pub async fn output(&mut self) -> io::Result<Output> {
        let [stdin, stdout, stderr] = self.chosen;
        let choose =
            |inner: &mut std::process::Command, input: fn() -> Stdio, others: fn() -> Stdio| {
                if !stdin {
                    inner.stdin(input());
                }
                if !stdout {
                    inner.stdout(others());
                }
                if !stderr {
                    inner.stderr(others());
                }
            };
        choose(&mut self.inner, Stdio::null, Stdio::piped);
        let child = self.spawn();
        choose(&mut self.inner, Stdio::inherit, Stdio::inherit);
        child?.wait_with_output().await
    }
}
