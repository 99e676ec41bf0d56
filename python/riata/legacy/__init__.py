"""What Python took away from asyncio, given back.

`riata.legacy.enable()`, before anything else, or `riata run --legacy SCRIPT`, makes programs written for Python 3.4 to
3.9 run on today's. Each use of what is gone warns with one DeprecationWarning that names today's way. What the Python
at hand still has stays as it is, with warnings of its own.

- `generators`: `@asyncio.coroutine` and `yield from`; generators count as coroutines
- `loop_argument`: `loop=` of functions, locks and queues; coroutines given to `asyncio.wait`
- `current_loop`: `asyncio.get_event_loop()` makes a loop in the main thread, and with it futures outside of any
- `policies`: event loop policies, where there are none any more (3.16)
- `tasks`: `asyncio.Task.all_tasks` and `asyncio.Task.current_task`
- `locks`: `with (yield from lock)` and `with await lock`
- `queues`: `asyncio.JoinableQueue`
- `child_watchers`: `asyncio.get_child_watcher` and the classes of watchers
- `executors`: a default executor that is no `ThreadPoolExecutor`
- `wording`: texts of errors that have changed since

Functions that a program has kept before `enable` are replaced there, too (`copies`); classes are changed in place.
"""

from __future__ import annotations

from riata.legacy import (
    child_watchers,
    current_loop,
    executors,
    generators,
    locks,
    loop_argument,
    policies,
    queues,
    tasks,
    wording,
)

__all__ = ["enable"]

_enabled = False


def enable() -> None:
    """Give back what Python took away from asyncio, for the rest of this process. Doing it twice changes nothing.

    It makes no difference whether `riata.install` is called before, afterwards or not at all.
    """
    global _enabled
    if _enabled:
        return
    _enabled = True
    for part in (policies, current_loop, generators, tasks, locks, queues, child_watchers, executors, wording):
        part.restore()
    loop_argument.accept_in_classes()
    _put_on()
    loop_argument.accept_in_copies()


def _put_on() -> None:
    """Stand in front of asyncio's functions, once `enable` was called; also called when they have been replaced."""
    if _enabled:
        loop_argument.accept_in_functions()
        policies.ask_for_loops()


def _take_off() -> None:
    """Leave asyncio's functions bare, for as long as they are replaced."""
    loop_argument.uncover_functions()
    policies.ask_no_more()
