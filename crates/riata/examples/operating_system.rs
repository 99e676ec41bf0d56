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
//! Read on from [`System`] (what a process can ask for), to [`Kernel::handle`] (what becomes
//! of it) and [`Kernel::run`] (who is next). At the end there is something to run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use riata_engine::driver::{Events, Interest, Poller, Registry, WatchKey};
use riata_engine::{Nanos, TimerKey, Timers, monotonic};
use rustix::io::Errno;

// ---------------------------------------------------------------------------------------
// Processes, and what they can ask for
// ---------------------------------------------------------------------------------------

/// A process's number. The first process is 1; numbers are not used again.
type Pid = u32;

/// What a process runs.
type Program = Pin<Box<dyn Future<Output = ()>>>;

/// A system call: what a process asks the kernel for.
enum Trap {
    WhoAmI,
    Yield,
    Spawn(&'static str, Program),
    Kill(Pid),
    WaitFor(Pid),
    Sleep(Duration),
    WaitIo(RawFd, Interest),
}

/// What the kernel answers.
enum Reply {
    Done,
    Pid(Pid),
    Ending(Ending),
    /// There is no such process (any more).
    NoProcess,
    Refused(io::Error),
}

/// How a process ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Ending {
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
struct System {
    registers: Rc<Registers>,
}

#[derive(Default)]
struct Registers {
    trap: Cell<Option<Trap>>,
    reply: Cell<Option<Reply>>,
    /// Everything that was said.
    console: RefCell<Vec<String>>,
}

impl System {
    /// Gives the processor up, with a request, until the kernel resumes the process with the
    /// reply.
    async fn call(&self, trap: Trap) -> Reply {
        self.registers.trap.set(Some(trap));
        GiveUp { resumed: false }.await;
        // A process is only ever resumed with a reply in the register.
        self.registers.reply.take().unwrap_or(Reply::Done)
    }

    /// This process's own number.
    async fn pid(&self) -> Pid {
        match self.call(Trap::WhoAmI).await {
            Reply::Pid(pid) => pid,
            _ => 0,
        }
    }

    /// Lets every other process that can run have a turn.
    async fn give_way(&self) {
        self.call(Trap::Yield).await;
    }

    /// Starts a process, which runs when its turn comes.
    async fn spawn<F>(&self, name: &'static str, program: impl FnOnce(Self) -> F) -> Pid
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
    async fn kill(&self, pid: Pid) -> bool {
        matches!(self.call(Trap::Kill(pid)).await, Reply::Done)
    }

    /// Waits until a process has ended, and says how; `None` if there is no such process, or
    /// no more: who wants to know must ask before.
    async fn wait_for(&self, pid: Pid) -> Option<Ending> {
        match self.call(Trap::WaitFor(pid)).await {
            Reply::Ending(ending) => Some(ending),
            _ => None,
        }
    }

    async fn sleep(&self, time: Duration) {
        self.call(Trap::Sleep(time)).await;
    }

    /// Waits until reading (or writing, or either) would not block. `io` stays the process's
    /// own: the kernel only looks at it.
    async fn ready(&self, io: &impl AsFd, interest: Interest) -> io::Result<()> {
        let fd = io.as_fd().as_raw_fd();
        match self.call(Trap::WaitIo(fd, interest)).await {
            Reply::Refused(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a line on the console. No system call: the console is always ready.
    fn say(&self, line: impl Into<String>) {
        let line = line.into();
        println!("{line}");
        self.registers.console.borrow_mut().push(line);
    }
}

/// Is pending once: the poll returns to the kernel, and the next one goes on.
struct GiveUp {
    resumed: bool,
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

// ---------------------------------------------------------------------------------------
// The kernel
// ---------------------------------------------------------------------------------------

/// What a process is doing while it does not run.
enum State {
    /// It is in the queue, and this is what it will be resumed with.
    Ready(Reply),
    Asleep(TimerKey),
    WaitingFor(Pid),
    WaitingIo(WatchKey),
}

struct Process {
    name: &'static str,
    program: Program,
    state: State,
    /// Who waits for its end.
    mourners: Vec<Pid>,
}

struct Kernel {
    system: System,
    processes: BTreeMap<Pid, Process>,
    last_pid: Pid,
    /// Who can run, in turn.
    queue: VecDeque<Pid>,
    timers: Timers<Pid>,
    watched: Registry<Pid>,
    poller: Poller,
    events: Events,
    /// The time, as of the last look at the clock.
    now: Nanos,
}

impl Kernel {
    fn boot() -> io::Result<Self> {
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
    fn run(&mut self, name: &'static str, program: Program) -> io::Result<()> {
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
    fn step(&mut self, pid: Pid) {
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
    fn handle(&mut self, pid: Pid) {
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

    fn spawn(&mut self, name: &'static str, program: Program) {
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

    fn set_state(&mut self, pid: Pid, state: State) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.state = state;
        }
    }

    /// Ends a process's wait.
    fn make_ready(&mut self, pid: Pid, reply: Reply) {
        self.set_state(pid, State::Ready(reply));
        self.queue.push_back(pid);
    }

    /// Ends a process: it is taken out of wherever it waits, dropped, and its end told.
    fn bury(&mut self, pid: Pid, ending: Ending) {
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
    fn wait_for_hardware(&mut self) -> io::Result<()> {
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

// ---------------------------------------------------------------------------------------
// Programs
// ---------------------------------------------------------------------------------------

/// Says something when it is dropped, however that comes about.
struct LastWords(System, &'static str);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

/// The first process: starts the others, one idea after another.
async fn init(system: System) {
    let pid = system.pid().await;
    system.say(format!("init: I am process {pid}"));
    sleepers(&system).await;
    ends(&system).await;
    echo(&system).await;
    system.say("init: done");
}

/// Processes sleep at the same time.
async fn sleepers(system: &System) {
    let mut pids = Vec::new();
    for naps in [3, 2, 1] {
        let program = move |system: System| async move {
            system.sleep(Duration::from_millis(20 * naps)).await;
            system.say(format!("sleeper: awake after {naps} naps"));
        };
        pids.push(system.spawn("sleeper", program).await);
    }
    system.say(format!("init: started the sleepers {pids:?}"));
    for pid in pids {
        system.wait_for(pid).await;
    }
}

/// A process ends in one of three ways, and whoever waits for it learns in which.
async fn ends(system: &System) {
    let turns = Rc::new(Cell::new(0));
    let counter = Rc::clone(&turns);
    let spinner = system.spawn("spinner", |system| async move {
        let _words = LastWords(system.clone(), "spinner: farewell");
        loop {
            counter.set(counter.get() + 1);
            system.give_way().await;
        }
    });
    let spinner = spinner.await;
    while turns.get() < 3 {
        system.give_way().await;
    }
    let judge = move |system: System| async move {
        let ending = system.wait_for(spinner).await;
        let ending = ending.map_or("is not there".into(), |ending| ending.to_string());
        system.say(format!("judge: process {spinner} {ending}"));
    };
    let judge = system.spawn("judge", judge).await;
    system.give_way().await;
    system.kill(spinner).await;
    system.wait_for(judge).await;
    let is_there = system.kill(spinner).await;
    system.say(format!("init: killed it again: {is_there}"));

    let bad = system.spawn("bad", |_| async { panic!("this is on purpose") });
    if let Some(ending) = system.wait_for(bad.await).await {
        system.say(format!(
            "init: the bad program {ending}, the system goes on"
        ));
    }
}

/// A server among the other processes, and two clients that talk to it at the same time.
async fn echo(system: &System) {
    let listener = match TcpListener::bind("127.0.0.1:0") {
        Ok(listener) => listener,
        Err(error) => return system.say(format!("init: no network: {error}")),
    };
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let server = |system: System| async move {
        let _words = LastWords(system.clone(), "echo server: closed");
        if let Err(error) = serve(&system, listener).await {
            system.say(format!("echo server: {error}"));
        }
    };
    let server = system.spawn("echo server", server).await;
    let mut clients = Vec::new();
    for name in ["ping", "pong"] {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let ears = Rc::clone(&heard);
        let client = move |system: System| async move {
            if let Err(error) = talk(&system, address, name, &ears).await {
                system.say(format!("client: {error}"));
            }
        };
        let pid = system.spawn("client", client).await;
        clients.push((name, pid, heard));
    }
    for (name, pid, heard) in clients {
        system.wait_for(pid).await;
        system.say(format!("{name}: heard {:?}", heard.take()));
    }
    system.kill(server).await;
}

/// Starts a process for each connection.
async fn serve(system: &System, listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    system.say("echo server: open");
    loop {
        system.ready(&listener, Interest::READABLE).await?;
        let (stream, _) = listener.accept()?;
        let connection = |system: System| async move {
            // A client that breaks off ends its own connection only.
            let _ = send_back(&system, stream).await;
        };
        system.spawn("connection", connection).await;
    }
}

async fn send_back(system: &System, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut bytes = [0; 1024];
    loop {
        system.ready(&stream, Interest::READABLE).await?;
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        write_all(system, &mut stream, &bytes[..count]).await?;
    }
}

async fn write_all(system: &System, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        system.ready(stream, Interest::WRITABLE).await?;
        sent += stream.write(&bytes[sent..])?;
    }
    Ok(())
}

/// Sends three lines, each when the one before has come back.
async fn talk(
    system: &System,
    address: SocketAddr,
    name: &str,
    heard: &RefCell<Vec<String>>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?; // on this machine: at once
    stream.set_nonblocking(true)?;
    for number in 1..=3 {
        let line = format!("{name} {number}");
        write_all(system, &mut stream, line.as_bytes()).await?;
        let mut reply = Vec::new();
        while reply.len() < line.len() {
            system.ready(&stream, Interest::READABLE).await?;
            let mut bytes = [0; 64];
            match stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => reply.extend_from_slice(&bytes[..count]),
            }
        }
        heard
            .borrow_mut()
            .push(String::from_utf8_lossy(&reply).into_owned());
    }
    Ok(())
}

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

    use super::*;

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
