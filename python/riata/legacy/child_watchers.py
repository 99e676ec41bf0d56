"""Child watchers (to Python 3.13): `asyncio.get_child_watcher`, and the classes of what it gives.

Loops watch their own children by now and ask no watcher. What is left is what programs do with one themselves:
`add_child_handler`. Every class here does that in the same way, by a thread that waits for that one child, whatever the
name says of signals: none of them takes children that are not its own.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.unix_events
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any, Self

from riata.legacy import policies
from riata.legacy.warning import deprecated

_TODAY = "leave it out; every loop watches its own children"


def _warn(name: str) -> None:
    deprecated(f"asyncio.{name} is gone since Python 3.14", _TODAY)


class AbstractChildWatcher:
    """What a watcher has."""

    def __init_subclass__(cls) -> None:
        if cls.__module__ != __name__:
            _warn("AbstractChildWatcher")

    def add_child_handler(self, pid: int, callback: Callable[..., object], *args: Any) -> None:
        """Have `callback(pid, returncode, *args)` called when the child ends."""
        raise NotImplementedError

    def remove_child_handler(self, pid: int) -> bool:
        """Have nothing called; whether something would have been."""
        raise NotImplementedError

    def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Call callbacks on `loop`."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back."""
        raise NotImplementedError

    def is_active(self) -> bool:
        """Whether ends of children are noticed."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, *exc: object) -> None:
        raise NotImplementedError


class _Watcher(AbstractChildWatcher):
    def __init__(self) -> None:
        _warn(type(self).__name__)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handlers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}

    def add_child_handler(self, pid: int, callback: Callable[..., object], *args: Any) -> None:
        """Have `callback(pid, returncode, *args)` called on the attached loop, else on the running one.

        Raises:
            RuntimeError: no loop is attached, and none is running.
        """
        loop = self._loop or asyncio.get_running_loop()
        watched = pid in self._handlers
        self._handlers[pid] = (callback, args)
        if not watched:
            threading.Thread(target=self._wait, args=(loop, pid), name=f"waitpid-{pid}", daemon=True).start()

    def remove_child_handler(self, pid: int) -> bool:
        """Have nothing called; whether something would have been."""
        return self._handlers.pop(pid, None) is not None

    def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Call callbacks on `loop`; None for the loop that runs when a handler is added."""
        self._loop = loop

    def close(self) -> None:
        """Forget all handlers."""
        self._handlers.clear()
        self._loop = None

    def is_active(self) -> bool:
        """True: ends of children are noticed from the beginning."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """A handler may be added at any time."""

    def _wait(self, loop: asyncio.AbstractEventLoop, pid: int) -> None:
        try:
            returncode = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:  # somebody else has asked for its status: asyncio's number for that
            returncode = 255
        callback, args = self._handlers.pop(pid, (None, ()))
        if callback is not None and not loop.is_closed():
            loop.call_soon_threadsafe(callback, pid, returncode, *args)


class PidfdChildWatcher(_Watcher):
    """`asyncio.PidfdChildWatcher`."""


class ThreadedChildWatcher(_Watcher):
    """`asyncio.ThreadedChildWatcher`."""


class SafeChildWatcher(_Watcher):
    """`asyncio.SafeChildWatcher`."""


class FastChildWatcher(_Watcher):
    """`asyncio.FastChildWatcher`, which takes no children of others."""


class MultiLoopChildWatcher(_Watcher):
    """`asyncio.MultiLoopChildWatcher`."""


_current: AbstractChildWatcher | None = None


def get_child_watcher(*_policy: object) -> AbstractChildWatcher:
    """`asyncio.get_child_watcher`, also as a policy's method: the one that was set last, or one that is made now."""
    global _current
    _warn("get_child_watcher")
    if _current is None:
        with warnings.catch_warnings(action="ignore"):  # one is enough
            _current = PidfdChildWatcher()
    return _current


def set_child_watcher(watcher: AbstractChildWatcher | None) -> None:
    """`asyncio.set_child_watcher`: keep `watcher` for `get_child_watcher`; no loop asks it."""
    global _current
    _warn("set_child_watcher")
    if watcher is not None and not isinstance(watcher, AbstractChildWatcher):
        raise TypeError(f"watcher must be an instance of AbstractChildWatcher or None, not '{type(watcher).__name__}'")
    _current = watcher


def _set_by_policy(policy: object, watcher: AbstractChildWatcher | None) -> None:
    set_child_watcher(watcher)


def restore() -> None:
    """Put the names into asyncio, unless it has them still."""
    if hasattr(asyncio, "get_child_watcher"):
        return
    classes = (
        AbstractChildWatcher,
        PidfdChildWatcher,
        ThreadedChildWatcher,
        SafeChildWatcher,
        FastChildWatcher,
        MultiLoopChildWatcher,
    )
    for value in (*classes, get_child_watcher, set_child_watcher):
        setattr(asyncio.unix_events, value.__name__, value)
        setattr(asyncio, value.__name__, value)
    policy: Any = getattr(asyncio.events, "_BaseDefaultEventLoopPolicy", policies.DefaultEventLoopPolicy)
    policy.get_child_watcher = get_child_watcher
    policy.set_child_watcher = _set_by_policy
