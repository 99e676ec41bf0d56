"""`asyncio.Task.all_tasks` and `asyncio.Task.current_task` (to Python 3.8)."""

from __future__ import annotations

import asyncio
import asyncio.tasks
from typing import Any

from riata import _native
from riata.legacy.warning import deprecated


def all_tasks(cls: type, loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
    """The tasks of `loop`, by default of the current one, that are not done."""
    deprecated("asyncio.Task.all_tasks is gone since Python 3.9", "use asyncio.all_tasks")
    return asyncio.all_tasks(asyncio.get_event_loop() if loop is None else loop)


def current_task(cls: type, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Task[Any] | None:
    """The task that runs on `loop`, by default on the current one, or None."""
    deprecated("asyncio.Task.current_task is gone since Python 3.9", "use asyncio.current_task")
    return asyncio.current_task(asyncio.get_event_loop() if loop is None else loop)


def restore() -> None:
    """Put both into asyncio's class and into riata's; asyncio's is made in C, and refuses attributes."""
    for owner in (asyncio.tasks.Task, _native.Task):
        for function in (all_tasks, current_task):
            if not hasattr(owner, function.__name__):
                _native._put_into_class(owner, function.__name__, classmethod(function))
