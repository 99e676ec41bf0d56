"""asyncio's own classes under other names: what the machinery is tested with where riata cannot be imported.

It has the surface of `riata` that `substitution` uses and nothing more. That a test passes on it says
nothing about riata; that it fails tells of a mistake in the substitution, or of a test that minds subclasses.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.futures
import asyncio.tasks
from typing import Any

Handle = asyncio.events.Handle
TimerHandle = asyncio.events.TimerHandle

_CTask: Any = asyncio.tasks._CTask  # type: ignore[attr-defined]
_CFuture: Any = asyncio.futures._CFuture  # type: ignore[attr-defined]


class Task(_CTask):  # type: ignore[misc]
    """CPython's C task, but not the same class."""


class Future(_CFuture):  # type: ignore[misc]
    """CPython's C future, but not the same class."""


class Loop(asyncio.SelectorEventLoop):
    """CPython's selector loop, counting its turns and what it is asked to call."""

    def __init__(self) -> None:
        super().__init__()
        self._counters = {"turns": 0, "callbacks": 0}

    def stats(self) -> dict[str, int]:
        """Counters since the loop was made: turns of the loop, callbacks found ready."""
        return dict(self._counters)

    def _run_once(self) -> None:
        self._counters["turns"] += 1
        self._counters["callbacks"] += len(self._ready)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]

    def create_future(self) -> Any:
        """A future of the class above."""
        return Future(loop=self)


def install() -> None:
    """asyncio's building blocks are asyncio's."""


def new_event_loop() -> Loop:
    """Create a loop."""
    return Loop()


_Policy: Any = getattr(asyncio.unix_events, "_DefaultEventLoopPolicy", None) or asyncio.DefaultEventLoopPolicy


class EventLoopPolicy(_Policy):  # type: ignore[misc]
    """The default policy with the loop above."""

    _loop_factory = Loop
