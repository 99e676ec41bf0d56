"""Ways in: running a coroutine on riata, and making riata's loop the one that asyncio makes."""

from __future__ import annotations

import asyncio
import asyncio.events
import sys
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


def install() -> None:
    """Make riata's loop the one that `asyncio.run`, `asyncio.new_event_loop` and the like create.

    Loops that exist already stay what they are. Doing it twice changes nothing.
    """
    if sys.version_info < (3, 14):
        from riata._policy import EventLoopPolicy

        asyncio.set_event_loop_policy(EventLoopPolicy())
    elif hasattr(asyncio.events, "_set_event_loop_policy"):
        from riata._policy import EventLoopPolicy

        # The public name warns of its removal in 3.16.
        asyncio.events._set_event_loop_policy(EventLoopPolicy())
    else:
        asyncio.events.new_event_loop = asyncio.new_event_loop = new_event_loop
