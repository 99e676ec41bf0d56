"""One event loop, in Rust, for every coroutine.

`riata.run(main())` is `asyncio.run(main())` on riata's loop. `riata.install()` makes every loop that the program
asks asyncio for one of riata's; `riata run script.py` does so for a program that knows nothing of riata.
"""

from __future__ import annotations

from riata import _interop
from riata._loop import Loop, new_event_loop
from riata._native import Future, Handle, Task, TimerHandle, __version__
from riata._run import install, run

_interop.install()

__all__ = [
    "Future",
    "Handle",
    "Loop",
    "Task",
    "TimerHandle",
    "__version__",
    "install",
    "new_event_loop",
    "run",
]

try:
    from riata._policy import EventLoopPolicy
except ImportError:  # Python 3.16 and later have no policies
    pass
else:
    __all__ += ["EventLoopPolicy"]
