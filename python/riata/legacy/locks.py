"""`with (yield from lock)` and `with await lock` (to Python 3.8)."""

from __future__ import annotations

import asyncio.locks
import types
from collections.abc import Generator
from typing import Any

from riata.legacy.warning import deprecated

_TODAY = "write async with lock"


class Held:
    """What `yield from lock` gives: a context manager that releases the lock, once."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        """The lock is held already."""

    def __exit__(self, *exc: object) -> None:
        try:
            self._lock.release()
        finally:
            self._lock = None


def _refuse(self: Any) -> None:
    raise RuntimeError('"yield from" should be used as context manager expression')


def _leave(self: Any, *exc: object) -> None:
    """There is an `__exit__` because there is an `__enter__`, which always raises."""


@types.coroutine
def _yield_from(self: Any) -> Generator[Any, Any, Held]:
    deprecated("with (yield from lock) is gone since Python 3.9", _TODAY)
    yield from self.acquire()
    return Held(self)


async def _acquired(lock: Any) -> Held:
    await lock.acquire()
    return Held(lock)


def _await(self: Any) -> Generator[Any, Any, Held]:
    deprecated("with await lock is gone since Python 3.9", _TODAY)
    return _acquired(self).__await__()


def restore() -> None:
    """Let `yield from` and `await` acquire locks, conditions and semaphores."""
    mixin: Any = asyncio.locks._ContextManagerMixin
    mixin.__iter__, mixin.__await__ = _yield_from, _await
    mixin.__enter__, mixin.__exit__ = _refuse, _leave
