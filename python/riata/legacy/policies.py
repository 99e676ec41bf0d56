"""Event loop policies, where asyncio has none any more (Python 3.16)."""

from __future__ import annotations

import asyncio
import asyncio.events
import threading
from collections.abc import Callable
from typing import Any

from riata.legacy import current_loop
from riata.legacy.warning import deprecated

_TODAY = "give asyncio.run or asyncio.Runner a loop_factory"
_events: Any = asyncio.events
_missing = not any(hasattr(_events, name) for name in ("_get_event_loop_policy", "get_event_loop_policy"))
# What makes loops where no policy does.
_new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


class AbstractEventLoopPolicy:
    """What a policy answers: which loop is the current one, and how one is made."""

    def get_event_loop(self) -> Any:
        """The current loop of this thread."""
        raise NotImplementedError

    def set_event_loop(self, loop: Any) -> None:
        """Make `loop` the current one of this thread; None for none."""
        raise NotImplementedError

    def new_event_loop(self) -> Any:
        """A new loop, which is not the current one yet."""
        raise NotImplementedError


class _Local(threading.local):
    _loop: Any = None
    _set_called = False


class DefaultEventLoopPolicy(AbstractEventLoopPolicy):
    """A loop a thread; the main thread's is made when it is first asked for."""

    _loop_factory: Callable[[], Any] | None = None

    def __init__(self) -> None:
        self._local = _Local()

    get_event_loop = current_loop.get_event_loop

    def set_event_loop(self, loop: Any) -> None:
        """Make `loop` the current one of this thread; None for none."""
        if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError(f"loop must be an instance of AbstractEventLoop or None, not '{type(loop).__name__}'")
        self._local._set_called = True
        self._local._loop = loop

    def new_event_loop(self) -> Any:
        """A new loop, which is not the current one yet."""
        return _new_event_loop() if self._loop_factory is None else self._loop_factory()


_policy: AbstractEventLoopPolicy = DefaultEventLoopPolicy()


def get_event_loop_policy() -> AbstractEventLoopPolicy:
    """The policy that was set last, or the default one."""
    deprecated("asyncio.get_event_loop_policy is gone since Python 3.16", _TODAY)
    return _policy


def set_event_loop_policy(policy: Any) -> None:
    """Let `policy` say which loop is the current one; None for the default policy."""
    global _policy
    deprecated("asyncio.set_event_loop_policy is gone since Python 3.16", _TODAY)
    if policy is not None and not isinstance(policy, AbstractEventLoopPolicy):
        text = f"policy must be an instance of AbstractEventLoopPolicy or None, not '{type(policy).__name__}'"
        raise TypeError(text)
    _policy = DefaultEventLoopPolicy() if policy is None else policy


def _get_event_loop() -> Any:
    running = asyncio._get_running_loop()
    return _policy.get_event_loop() if running is None else running


def _set_event_loop(loop: Any) -> None:
    _policy.set_event_loop(loop)


def _make_event_loop() -> Any:
    return _policy.new_event_loop()


def restore() -> None:
    """Put the names into asyncio, unless it has them still."""
    if not _missing:
        return
    for name, value in (
        ("AbstractEventLoopPolicy", AbstractEventLoopPolicy),
        ("BaseDefaultEventLoopPolicy", DefaultEventLoopPolicy),
        ("DefaultEventLoopPolicy", DefaultEventLoopPolicy),
        ("get_event_loop_policy", get_event_loop_policy),
        ("set_event_loop_policy", set_event_loop_policy),
        ("get_event_loop", _get_event_loop),
        ("set_event_loop", _set_event_loop),
    ):
        setattr(_events, name, value)
        setattr(asyncio, name, value)


def ask_for_loops() -> None:
    """Have `asyncio.new_event_loop` ask the policy; what it was makes the default policy's loops."""
    global _new_event_loop
    if _missing and _events.new_event_loop is not _make_event_loop:
        _new_event_loop = _events.new_event_loop
        _events.new_event_loop = asyncio.new_event_loop = _make_event_loop


def ask_no_more() -> None:
    """Put `asyncio.new_event_loop` back."""
    if _events.new_event_loop is _make_event_loop:
        _events.new_event_loop = asyncio.new_event_loop = _new_event_loop
