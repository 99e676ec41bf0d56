"""`asyncio.get_event_loop()` makes a loop in the main thread (to Python 3.11, with a warning to 3.13).

Futures made outside of any loop find theirs that way, too.
"""

from __future__ import annotations

import asyncio.events
import threading
from typing import Any

from riata.legacy.warning import deprecated

TODAY = "use asyncio.run(main()), or make one with asyncio.new_event_loop()"


def get_event_loop(self: Any) -> Any:
    """`BaseDefaultEventLoopPolicy.get_event_loop`: the main thread's first loop is made when it is asked for."""
    local = self._local
    first = local._loop is None and not getattr(local, "_set_called", False)
    if first and threading.current_thread() is threading.main_thread():
        deprecated("asyncio.get_event_loop() makes no loop any more, since Python 3.14", TODAY)
        self.set_event_loop(self.new_event_loop())
    if local._loop is None:
        raise RuntimeError(f"There is no current event loop in thread {threading.current_thread().name!r}.")
    return local._loop


def restore() -> None:
    """Change the default policy, which every Python asks that still has policies."""
    events: Any = asyncio.events
    # 3.14 has hidden the name.
    names = ("_BaseDefaultEventLoopPolicy", "BaseDefaultEventLoopPolicy")
    policy = next((getattr(events, name) for name in names if hasattr(events, name)), None)
    if policy is None:
        return  # `policies` has put its own in place
    set_event_loop = policy.set_event_loop

    def noted(self: Any, loop: Any) -> None:
        """Set the event loop."""
        # Whoever set None (as asyncio.run does in the end) is not given a new one.
        self._local._set_called = True
        set_event_loop(self, loop)

    policy.get_event_loop = get_event_loop
    policy.set_event_loop = noted
