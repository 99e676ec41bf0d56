"""A watchdog for frozen loops: `riata run --watchdog SECONDS`, or `riata.watchdog.start(SECONDS)`.

When one callback, or one step of a task, holds a loop for longer than the limit, a thread reports it while it lasts:
where the blocked thread is, which task it is in, and where that task was made. Each freeze is reported once, to the
logger `riata.watchdog` and to a callable. It works for riata's loops, in whichever thread they run. What holds
the GIL is reported as soon as it lets go.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from riata import _native

__all__ = ["Freeze", "start", "stop"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Freeze:
    """One callback, or one step of a task, that holds a loop for too long."""

    loop: asyncio.AbstractEventLoop
    """The loop that is held."""
    thread: int
    """The thread that runs it, as `threading.get_ident` tells."""
    seconds: float
    """For how long, so far."""
    over: bool
    """It has ended before the report could be made, since it held the GIL; then there is no stack."""
    stack: traceback.StackSummary
    """Where the thread is, the innermost frame last."""
    task: asyncio.Task[Any] | None
    """The task whose step it is; None for a callback."""
    created: traceback.StackSummary
    """Where that task was made, the innermost frame last; empty for one made before the watchdog was started."""

    def __str__(self) -> str:
        """All of it, as a report of several lines."""
        who = "a callback" if self.task is None else f"the task {self.task.get_name()!r}"
        verb = "held" if self.over else "holds"
        lines = [f"{who} {verb} the loop for {self.seconds:.3f} s"]
        if self.over:
            lines.append("It had ended when the GIL was free again.")
        if self.stack:
            lines.append("The blocked thread (most recent call last):")
            lines.append("".join(self.stack.format()).rstrip())
        if self.created:
            lines.append("The task was created at (most recent call last):")
            lines.append("".join(self.created.format()).rstrip())
        return "\n".join(lines)


def start(limit: float, report: Callable[[Freeze], object] | None = None) -> None:
    """Report whatever holds a loop of riata's for longer than `limit` seconds.

    It is found within a quarter of the limit, or a quarter of a second. Tasks note where they are made from now on,
    which takes about 0.1 µs each; nothing else costs anything. A forked child is not watched until it calls this.

    Args:
        limit: seconds.
        report: is called with each freeze, on the watchdog's own thread, while the loop is frozen; besides the logger.

    Raises:
        ValueError: the limit is not a positive number.
        RuntimeError: a watchdog was started already.
    """

    def tell(loop: asyncio.AbstractEventLoop, thread: int, seconds: float, over: bool) -> None:
        freeze = _freeze(loop, thread, seconds, over)
        logger.warning("%s", freeze)
        if report is not None:
            report(freeze)

    _native._watch(limit, tell)
    # The thread must have ended before the interpreter does.
    atexit.register(stop)


def stop() -> None:
    """Report no more. Waits for a report that is being made, unless that calls it. Does nothing when nobody watches."""
    atexit.unregister(stop)
    _native._unwatch()


def _freeze(loop: asyncio.AbstractEventLoop, thread: int, seconds: float, over: bool) -> Freeze:
    task = None if over else asyncio.current_task(loop)
    frame = None if over else sys._current_frames().get(thread)
    stack = traceback.StackSummary() if frame is None else traceback.extract_stack(frame)
    return Freeze(loop, thread, seconds, over, stack, task, _creation(task))


def _creation(task: asyncio.Task[Any] | None) -> traceback.StackSummary:
    """Where a task was made: from debug mode's notes, else from the watchdog's."""
    noted: traceback.StackSummary | None = getattr(task, "_source_traceback", None)
    if noted:
        return noted
    frames: list[tuple[CodeType, int]] = _native._created_by(task)
    lines = [(code.co_filename, line, code.co_name, None) for code, line in reversed(frames)]
    return traceback.StackSummary.from_list(lines)
