"""Running a coroutine on riata."""

from __future__ import annotations

import asyncio
import asyncio.events
from collections.abc import Coroutine
from typing import Any, TypeVar

from riata._loop import new_event_loop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine on a new riata loop and return its result: `asyncio.run`, with riata's loop.

    Args:
        main: the coroutine.
        debug: debug mode of the loop; None for what PYTHONASYNCIODEBUG and -X dev say.

    Raises:
        RuntimeError: a loop is running in this thread.
        ValueError: `main` is no coroutine (TypeError from Python 3.14 on).
        KeyboardInterrupt: Ctrl-C was pressed; `main` was cancelled first.
    """
    if asyncio.events._get_running_loop() is not None:
        raise RuntimeError("riata.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)
