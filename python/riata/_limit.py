"""What `gather(limit=…)` and `as_completed(limit=…)` wait for: futures whose coroutines begin when there is room."""

from __future__ import annotations

import asyncio
import inspect
import operator
from collections import deque
from collections.abc import Awaitable, Iterable
from contextvars import copy_context
from typing import Any, TypeVar

from riata._native import Future, ensure_future

T = TypeVar("T")


def begun_in_turn(awaitables: Iterable[Any], limit: Any) -> tuple[Any, ...]:
    """The same, with a future in the place of each coroutine. No more than `limit` coroutines run at a time.

    They begin in the order of `awaitables`, the first of them now. A future that was given runs anyway and does not
    count. Something given twice is one and the same in what is returned. Called by the native functions.

    Raises:
        RuntimeError: no loop runs in this thread.
        TypeError: the limit is not an integer.
        ValueError: the limit is less than 1.
    """
    line = Line(check_limit(limit))
    slots: dict[int, _Slot] = {}
    kept = list(awaitables)
    for awaitable in kept:
        if inspect.isawaitable(awaitable) and not asyncio.isfuture(awaitable) and id(awaitable) not in slots:
            slots[id(awaitable)] = _Slot(awaitable, line)
    line.begin(slots.values())
    return tuple(slots.get(id(awaitable), awaitable) for awaitable in kept)


def check_limit(limit: Any) -> int:
    """The limit as an integer of at least 1.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is less than 1.
    """
    number = operator.index(limit)
    if number < 1:
        raise ValueError(f"limit must be at least 1, not {number}")
    return number


class Line:
    """Those who wait for room."""

    def __init__(self, limit: int) -> None:
        self.loop = asyncio.get_running_loop()
        # Tasks that begin later have the context of the caller too.
        self.context = copy_context()
        self._room = limit
        self._waiting: deque[_Slot] = deque()

    def begin(self, slots: Iterable[_Slot]) -> None:
        """Begin as many of `slots` as there is room for; the others wait."""
        self._waiting.extend(slots)
        self._fill()

    def leave(self) -> None:
        """One has ended: the next may begin."""
        self._room += 1
        self._fill()

    def _fill(self) -> None:
        while self._room and self._waiting:
            if self._waiting.popleft().begin():
                self._room -= 1


class _Slot(Future[Any]):
    """Stands for the task of a coroutine that may not have begun yet."""

    def __init__(self, awaitable: Awaitable[Any], line: Line) -> None:
        super().__init__(loop=line.loop)
        self._line = line
        self._awaitable: Awaitable[Any] | None = awaitable
        self._begun: asyncio.Future[Any] | None = None

    def begin(self) -> bool:
        """Make the task; False if there is nothing to do any more."""
        awaitable, self._awaitable = self._awaitable, None
        if awaitable is None:
            return False
        try:
            self._begun = self._line.context.copy().run(ensure_future, awaitable, loop=self._line.loop)
        except Exception as error:  # the program's task factory raised it
            self.set_exception(error)
            return False
        self._begun.add_done_callback(self._end, context=self._line.context)
        return True

    def _end(self, begun: asyncio.Future[Any]) -> None:
        self._begun = None
        try:
            result = begun.result()
        except asyncio.CancelledError as error:
            super().cancel(*error.args)
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(result)
        self._line.leave()

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task, which may take its time over it; a coroutine that has not begun never does."""
        if self._begun is not None:
            return self._begun.cancel(msg)
        awaitable, self._awaitable = self._awaitable, None
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        return super().cancel(msg)
