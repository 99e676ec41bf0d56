"""asyncio's locks and queues, with the native ones in front.

Each class has two bases: the native one, which does the work, and asyncio's own, so that `isinstance` holds and what is
not native (texts, `__class_getitem__`) is asyncio's of the Python at hand.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import locks, queues
from typing import Any, TypeVar

from riata import _native

T = TypeVar("T")

if sys.version_info >= (3, 13):
    QueueShutDown = queues.QueueShutDown
else:

    class QueueShutDown(Exception):
        """A queue was shut down: nothing can be put into it, or nothing is left in it."""


class Lock(_native.Lock, locks.Lock):
    """`asyncio.Lock`, native."""


class Event(_native.Event, locks.Event):
    """`asyncio.Event`, native."""


class Semaphore(_native.Semaphore, locks.Semaphore):
    """`asyncio.Semaphore`, native."""


class BoundedSemaphore(_native.BoundedSemaphore, Semaphore, locks.BoundedSemaphore):
    """`asyncio.BoundedSemaphore`, native."""


class Condition(_native.Condition, locks.Condition):
    """`asyncio.Condition`, native; on a native lock unless another is given."""

    def __init__(self, lock: asyncio.Lock | None = None) -> None:
        if lock is None:
            lock = Lock()
        self._lock = lock
        self.locked = lock.locked  # type: ignore[method-assign]
        self.acquire = lock.acquire  # type: ignore[method-assign]
        self.release = lock.release  # type: ignore[method-assign]


class Barrier(locks.Barrier):
    """`asyncio.Barrier`, on a native condition."""

    def __init__(self, parties: int) -> None:
        super().__init__(parties)
        self._cond = Condition()


class Queue(_native.Queue[T], queues.Queue[T]):
    """`asyncio.Queue`, native, with `shutdown` on every version of Python.

    `async for item in queue` takes items out until the queue is shut down and empty.
    """

    if sys.version_info < (3, 13):

        def _format(self) -> str:
            text = super()._format()
            return f"{text} shutdown" if self._is_shutdown else text


class PriorityQueue(_native.PriorityQueue[T], Queue[T], queues.PriorityQueue[Any]):
    """`asyncio.PriorityQueue`, native."""


class LifoQueue(_native.LifoQueue[T], Queue[T], queues.LifoQueue[T]):
    """`asyncio.LifoQueue`, native."""
