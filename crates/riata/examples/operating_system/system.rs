//! Processes, and what they can ask for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use riata_engine::driver::Interest;

/// A process's number. The first process is 1; numbers are not used again.
pub(crate) type Pid = u32;

/// What a process runs.
pub(crate) type Program = Pin<Box<dyn Future<Output = ()>>>;

/// A system call: what a process asks the kernel for.
pub(crate) enum Trap {
    WhoAmI,
    Yield,
    Spawn(&'static str, Program),
    Kill(Pid),
    WaitFor(Pid),
    Sleep(Duration),
    WaitIo(RawFd, Interest),
}

/// What the kernel answers.
pub(crate) enum Reply {
    Done,
    Pid(Pid),
    Ending(Ending),
    /// There is no such process (any more).
    NoProcess,
    Refused(io::Error),
}

/// How a process ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Finished,
    Killed,
    Crashed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Killed => "was killed",
            Self::Crashed => "crashed",
        })
    }
}

/// The way from a process into the kernel.
///
/// One process runs at a time, so there is one pair of registers for all.
#[derive(Clone, Default)]
pub(crate) struct System {
    pub(crate) registers: Rc<Registers>,
}

#[derive(Default)]
pub(crate) struct Registers {
    pub(crate) trap: Cell<Option<Trap>>,
    pub(crate) reply: Cell<Option<Reply>>,
    /// Everything that was said.
    pub(crate) console: RefCell<Vec<String>>,
}

impl System {
    /// Gives the processor up, with a request, until the kernel resumes the process with the
    /// reply.
    pub(crate) async fn call(&self, trap: Trap) -> Reply {
        self.registers.trap.set(Some(trap));
        GiveUp { resumed: false }.await;
        // A process is only ever resumed with a reply in the register.
        self.registers.reply.take().unwrap_or(Reply::Done)
    }

    /// This process's own number.
    pub(crate) async fn pid(&self) -> Pid {
        match self.call(Trap::WhoAmI).await {
            Reply::Pid(pid) => pid,
            _ => 0,
        }
    }

    /// Lets every other process that can run have a turn.
    pub(crate) async fn give_way(&self) {
        self.call(Trap::Yield).await;
    }

    /// Starts a process, which runs when its turn comes.
    pub(crate) async fn spawn<F>(&self, name: &'static str, program: impl FnOnce(Self) -> F) -> Pid
    where
        F: Future<Output = ()> + 'static,
    {
        let program = Box::pin(program(self.clone()));
        match self.call(Trap::Spawn(name, program)).await {
            Reply::Pid(pid) => pid,
            _ => 0,
        }
    }

    /// Ends a process where it stands: its program is dropped, and its destructors run. False
    /// if there is no such process.
    pub(crate) async fn kill(&self, pid: Pid) -> bool {
        matches!(self.call(Trap::Kill(pid)).await, Reply::Done)
    }

    /// Waits until a process has ended, and says how; `None` if there is no such process, or
    /// no more: who wants to know must ask before.
    pub(crate) async fn wait_for(&self, pid: Pid) -> Option<Ending> {
        match self.call(Trap::WaitFor(pid)).await {
            Reply::Ending(ending) => Some(ending),
            _ => None,
        }
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.call(Trap::Sleep(time)).await;
    }

    /// Waits until reading (or writing, or either) would not block. `io` stays the process's
    /// own: the kernel only looks at it.
    pub(crate) async fn ready(&self, io: &impl AsFd, interest: Interest) -> io::Result<()> {
        let fd = io.as_fd().as_raw_fd();
        match self.call(Trap::WaitIo(fd, interest)).await {
            Reply::Refused(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a line on the console. No system call: the console is always ready.
    pub(crate) fn say(&self, line: impl Into<String>) {
        let line = line.into();
        println!("{line}");
        self.registers.console.borrow_mut().push(line);
    }
}

/// Is pending once: the poll returns to the kernel, and the next one goes on.
pub(crate) struct GiveUp {
    pub(crate) resumed: bool,
}

impl Future for GiveUp {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.resumed, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
