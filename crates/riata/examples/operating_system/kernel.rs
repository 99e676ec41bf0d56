//! What becomes of a system call, and who is next.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use riata_engine::driver::{Events, Poller, Registry, WatchKey};
use riata_engine::{Nanos, TimerKey, Timers, monotonic};
use rustix::io::Errno;

use crate::system::{Ending, Pid, Program, Reply, System, Trap};

/// What a process is doing while it does not run.
pub(crate) enum State {
    /// It is in the queue, and this is what it will be resumed with.
    Ready(Reply),
    Asleep(TimerKey),
    WaitingFor(Pid),
    WaitingIo(WatchKey),
}

pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) state: State,
    /// Who waits for its end.
    pub(crate) mourners: Vec<Pid>,
}

pub(crate) struct Kernel {
    pub(crate) system: System,
    pub(crate) processes: BTreeMap<Pid, Process>,
    pub(crate) last_pid: Pid,
    /// Who can run, in turn.
    pub(crate) queue: VecDeque<Pid>,
    pub(crate) timers: Timers<Pid>,
    pub(crate) watched: Registry<Pid>,
    pub(crate) poller: Poller,
    pub(crate) events: Events,
    /// The time, as of the last look at the clock.
    pub(crate) now: Nanos,
}

impl Kernel {
    pub(crate) fn boot() -> io::Result<Self> {
        Ok(Self {
            system: System::default(),
            processes: BTreeMap::new(),
            last_pid: 0,
            queue: VecDeque::new(),
            timers: Timers::new(),
            watched: Registry::new(),
            poller: Poller::new()?,
            events: Events::with_capacity(64),
            now: monotonic(),
        })
    }

    /// Runs `program`, and all processes that come of it, until none is left or those left
    /// wait for one another.
    pub(crate) fn run(&mut self, name: &'static str, program: Program) -> io::Result<()> {
        self.spawn(name, program);
        loop {
            while let Some(pid) = self.queue.pop_front() {
                self.step(pid);
            }
            if self.timers.is_empty() && self.watched.is_empty() {
                break;
            }
            self.wait_for_hardware()?;
        }
        for (pid, process) in &self.processes {
            let name = process.name;
            let line = format!("kernel: {name} ({pid}) waits for what cannot happen");
            self.system.say(line);
        }
        Ok(())
    }

    /// Lets a process run until it asks for something.
    ///
    /// Nobody can make it stop before that: it is a cooperative system.
    pub(crate) fn step(&mut self, pid: Pid) {
        // Killed while it was in the queue?
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        let State::Ready(reply) = &mut process.state else {
            return;
        };
        let reply = std::mem::replace(reply, Reply::Done);
        self.system.registers.reply.set(Some(reply));
        // Nobody wakes a process but the kernel, which knows itself what each waits for.
        let mut context = Context::from_waker(Waker::noop());
        let program = process.program.as_mut();
        match catch_unwind(AssertUnwindSafe(|| program.poll(&mut context))) {
            Ok(Poll::Pending) => self.handle(pid),
            Ok(Poll::Ready(())) => self.bury(pid, Ending::Finished),
            Err(_) => self.bury(pid, Ending::Crashed),
        }
    }

    /// Does what a process asked for, or notes what it waits for.
    pub(crate) fn handle(&mut self, pid: Pid) {
        match self.system.registers.trap.take() {
            Some(Trap::Spawn(name, program)) => {
                // The parent goes first, so that it can wait for the child before that ends.
                self.make_ready(pid, Reply::Pid(self.last_pid + 1));
                self.spawn(name, program);
            }
            Some(Trap::WhoAmI) => self.make_ready(pid, Reply::Pid(pid)),
            Some(Trap::Yield) => self.make_ready(pid, Reply::Done),
            Some(Trap::Kill(victim)) => {
                let reply = match self.processes.contains_key(&victim) {
                    true => Reply::Done,
                    false => Reply::NoProcess,
                };
                // In this order: it may be itself.
                self.make_ready(pid, reply);
                self.bury(victim, Ending::Killed);
            }
            Some(Trap::WaitFor(other)) => match self.processes.get_mut(&other) {
                Some(process) => {
                    process.mourners.push(pid);
                    self.set_state(pid, State::WaitingFor(other));
                }
                None => self.make_ready(pid, Reply::NoProcess),
            },
            Some(Trap::Sleep(time)) => {
                let time = Nanos(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
                let timer = self.timers.insert(self.now.saturating_add(time), pid);
                self.set_state(pid, State::Asleep(timer));
            }
            Some(Trap::WaitIo(fd, interest)) => {
                match self.watched.add(&self.poller, fd, interest, pid) {
                    Ok(key) => self.set_state(pid, State::WaitingIo(key)),
                    Err(rejected) => {
                        let error = io::Error::from(rejected.error);
                        self.make_ready(pid, Reply::Refused(error));
                    }
                }
            }
            // It awaited a future of another world, which nobody here will wake.
            None => self.bury(pid, Ending::Crashed),
        }
    }

    pub(crate) fn spawn(&mut self, name: &'static str, program: Program) {
        self.last_pid += 1;
        let process = Process {
            name,
            program,
            state: State::Ready(Reply::Done),
            mourners: Vec::new(),
        };
        self.processes.insert(self.last_pid, process);
        self.queue.push_back(self.last_pid);
    }

    pub(crate) fn set_state(&mut self, pid: Pid, state: State) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.state = state;
        }
    }

    /// Ends a process's wait.
    pub(crate) fn make_ready(&mut self, pid: Pid, reply: Reply) {
        self.set_state(pid, State::Ready(reply));
        self.queue.push_back(pid);
    }

    /// Ends a process: it is taken out of wherever it waits, dropped, and its end told.
    pub(crate) fn bury(&mut self, pid: Pid, ending: Ending) {
        let Some(process) = self.processes.remove(&pid) else {
            return;
        };
        // Had it asked for something and not waited for the reply, that would be void.
        let void = self.system.registers.trap.take();
        drop(void);
        match process.state {
            State::Ready(_) => self.queue.retain(|&other| other != pid),
            State::Asleep(timer) => {
                self.timers.remove(timer);
            }
            State::WaitingFor(other) => {
                if let Some(other) = self.processes.get_mut(&other) {
                    other.mourners.retain(|&mourner| mourner != pid);
                }
            }
            // Before the program is dropped, which closes the descriptor.
            State::WaitingIo(key) => {
                self.watched.remove(&self.poller, key);
            }
        }
        let program = process.program;
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(program)));
        let ending = dropped.map_or(Ending::Crashed, |()| ending);
        for mourner in process.mourners {
            self.make_ready(mourner, Reply::Ending(ending));
        }
    }

    /// Sleeps until a descriptor is ready or a deadline has come.
    ///
    /// The clock is looked at here and nowhere else, so that all that happens between two
    /// looks happens at one time: three processes that go to sleep then wake up in the order
    /// of what they asked for, however long it took them to ask.
    pub(crate) fn wait_for_hardware(&mut self) -> io::Result<()> {
        let timeout = self.timers.next_deadline();
        let timeout = timeout.map(|deadline| deadline.saturating_sub(monotonic()));
        match self.poller.wait(&mut self.events, timeout) {
            // A signal came: look again.
            Err(error) if error.errno == Errno::INTR.raw_os_error() => return Ok(()),
            result => result?,
        };
        let mut reports = Vec::new();
        for (token, readiness) in self.events.iter() {
            // A stale token is of somebody who does not wait any more.
            let _ = self.watched.dispatch(token, readiness, &mut reports);
        }
        for (key, _) in reports {
            if let Some(pid) = self.watched.remove(&self.poller, key) {
                self.make_ready(pid, Reply::Done);
            }
        }
        self.now = monotonic();
        while let Some(pid) = self.timers.pop_due(self.now) {
            self.make_ready(pid, Reply::Done);
        }
        Ok(())
    }
}
