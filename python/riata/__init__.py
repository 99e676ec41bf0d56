"""One event loop, in Rust, for every coroutine.

`riata.run(main())` is `asyncio.run(main())` on riata's loop. `riata.install()` makes every loop that the program
asks asyncio for one of riata's, and asyncio's building blocks (`asyncio.gather`, `asyncio.sleep`, …) native ones;
`riata run script.py` does so for a program that knows nothing of riata. Each of them is here by the same name, too.
`go`, `select`, `map`, and `gather` and `as_completed` with a limit are beyond asyncio.
"""

from __future__ import annotations

from riata import _interop
from riata._go import go
from riata._loop import Loop, new_event_loop
from riata._map import Failure
from riata._map import map as map
from riata._native import (
    Future,
    Handle,
    Task,
    TaskGroup,
    Timeout,
    TimerHandle,
    __version__,
    as_completed,
    ensure_future,
    gather,
    run_coroutine_threadsafe,
    shield,
    sleep,
    timeout,
    timeout_at,
    wait,
    wait_for,
    wrap_future,
)
from riata._run import run
from riata._select import select
from riata._streams import (
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    open_connection,
    open_unix_connection,
    start_server,
    start_unix_server,
)
from riata._sync import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    QueueShutDown,
    Semaphore,
)
from riata._unblock import unblock

from riata._install import install, uninstall  # isort: skip (they look at what is above)

_interop.install()

# `map` is not among them: `from riata import *` is not to hide Python's.
__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Failure",
    "Future",
    "Handle",
    "LifoQueue",
    "Lock",
    "Loop",
    "PriorityQueue",
    "Queue",
    "QueueShutDown",
    "Semaphore",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimerHandle",
    "__version__",
    "as_completed",
    "ensure_future",
    "gather",
    "go",
    "install",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "run",
    "run_coroutine_threadsafe",
    "select",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "unblock",
    "uninstall",
    "wait",
    "wait_for",
    "wrap_future",
]

try:
    from riata._policy import EventLoopPolicy
except ImportError:  # Python 3.16 and later have no policies
    pass
else:
    __all__ += ["EventLoopPolicy"]
