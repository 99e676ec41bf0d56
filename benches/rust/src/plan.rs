//! What is measured, how much of it, and in which table it goes.

/// How a row is measured.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// CPU nanoseconds inside one process.
    Time,
    /// Bytes inside one process.
    Bytes,
    /// CPU nanoseconds of an echo server.
    Echo,
    /// Bytes of an echo server.
    IdleConnection,
    /// CPU nanoseconds of a web server, a request.
    Hello,
}

/// One row of a table.
#[derive(Debug)]
pub struct Row {
    /// How the row is called.
    pub name: &'static str,
    /// Which of the cases it is.
    pub case: &'static str,
    /// How it is measured.
    pub kind: Kind,
    /// Whether it goes into the table of what must be faster, or of what must not grow.
    pub is_growth: bool,
    /// How many tasks, timers, waiters or connections there are.
    pub size: usize,
    count: usize,
}

impl Row {
    /// How often the thing is done; for how many seconds, where a load says how often.
    pub fn count(&self, is_quick: bool) -> usize {
        match is_quick {
            true if self.kind == Kind::Hello => 1,
            true => (self.count / 10).max(self.size),
            false => self.count,
        }
    }

    /// Whether all loops are measured, or riata and tokio only.
    pub fn is_for_all(&self, is_quick: bool) -> bool {
        !self.is_growth && !is_quick
    }

    /// How many rounds; bytes are the same each time, and 10,000 connections take long to make.
    pub fn rounds(&self, rounds: usize) -> usize {
        match self.kind {
            Kind::Echo if self.size > 1_000 => rounds.div_ceil(3),
            Kind::Time | Kind::Echo | Kind::Hello => rounds,
            Kind::Bytes | Kind::IdleConnection => rounds.min(3),
        }
    }
}

const fn speed(name: &'static str, case: &'static str, size: usize, count: usize) -> Row {
    Row {
        name,
        case,
        kind: Kind::Time,
        is_growth: false,
        size,
        count,
    }
}

const fn echo(name: &'static str, size: usize, count: usize) -> Row {
    Row {
        kind: Kind::Echo,
        ..speed(name, "echo", size, count)
    }
}

const fn bytes(name: &'static str, case: &'static str, kind: Kind, size: usize) -> Row {
    Row {
        kind,
        ..speed(name, case, size, size)
    }
}

const fn growth(name: &'static str, case: &'static str, size: usize, count: usize) -> Row {
    Row {
        is_growth: true,
        ..speed(name, case, size, count)
    }
}

/// All there is to measure.
pub const PLAN: &[Row] = &[
    speed("switch, one task", "switch", 1, 2_000_000),
    speed("switch, 100 tasks", "switch", 100, 5_000_000),
    speed("spawn and await", "spawn", 1, 2_000_000),
    speed("spawn 1,000, await them", "spawn", 1_000, 2_000_000),
    speed("100,000 sleeping tasks", "sleeping", 100_000, 300_000),
    speed("timer set and cancelled", "timer", 1_000, 2_000_000),
    speed("queue ping-pong", "queue", 0, 2_000_000),
    speed("queue of 100, put and get", "limited queue", 100, 3_000_000),
    speed("lock hand-over, 10 tasks", "lock", 10, 2_000_000),
    speed("wake from another thread", "wake", 0, 100_000),
    echo("echo, 1 connection", 1, 50_000),
    echo("echo, 64 connections", 64, 200_000),
    echo("echo, 1,000 connections", 1_000, 200_000),
    Row {
        kind: Kind::Hello,
        ..speed("hyper hello, 64 connections", "hello", 64, 3)
    },
    bytes("bytes a task", "task bytes", Kind::Bytes, 100_000),
    bytes(
        "bytes a sleeping task",
        "sleeper bytes",
        Kind::Bytes,
        100_000,
    ),
    bytes(
        "bytes an idle connection",
        "echo",
        Kind::IdleConnection,
        1_000,
    ),
    growth("switch, 10 tasks", "switch", 10, 3_000_000),
    growth("switch, 1,000 tasks", "switch", 1_000, 3_000_000),
    growth("switch, 100,000 tasks", "switch", 100_000, 3_000_000),
    growth("spawn 10", "spawn", 10, 2_000_000),
    growth("spawn 1,000", "spawn", 1_000, 2_000_000),
    growth("spawn 100,000", "spawn", 100_000, 1_000_000),
    growth("timer, 10 pending", "timer", 10, 2_000_000),
    growth("timer, 1,000 pending", "timer", 1_000, 2_000_000),
    growth("timer, 100,000 pending", "timer", 100_000, 2_000_000),
    growth("lock, 10 waiting", "lock", 10, 1_000_000),
    growth("lock, 1,000 waiting", "lock", 1_000, 1_000_000),
    growth("lock, 100,000 waiting", "lock", 100_000, 5_000_000),
    growth("waiter gives up, 10 waiting", "give up", 10, 2_000_000),
    growth(
        "waiter gives up, 1,000 waiting",
        "give up",
        1_000,
        2_000_000,
    ),
    growth(
        "waiter gives up, 100,000 waiting",
        "give up",
        100_000,
        2_000_000,
    ),
    Row {
        is_growth: true,
        ..echo("connection, 10", 10, 200_000)
    },
    Row {
        is_growth: true,
        ..echo("connection, 1,000", 1_000, 200_000)
    },
    Row {
        is_growth: true,
        ..echo("connection, 10,000", 10_000, 200_000)
    },
];
