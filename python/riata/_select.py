"""`select`: the first of several awaitables, and nothing lost from the others.

Each coroutine runs in a task of its own. Whichever ends first cancels the others *in the step in which it ends*, so
that no other can end, and take an item with it, between the decision and its cancellation. What is cancelled while it
waits for an item gives its turn back: that is asyncio's own rule for queues and locks.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, Literal, TypeVar, overload

from riata._native import Future, Task

T = TypeVar("T")
T0 = TypeVar("T0")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")


# The index tells which result it is: type checkers know one from the other.
@overload
async def select(a: Awaitable[T0], b: Awaitable[T1], /) -> tuple[Literal[0], T0] | tuple[Literal[1], T1]: ...
@overload
async def select(
    a: Awaitable[T0], b: Awaitable[T1], c: Awaitable[T2], /
) -> tuple[Literal[0], T0] | tuple[Literal[1], T1] | tuple[Literal[2], T2]: ...
@overload
async def select(
    a: Awaitable[T0], b: Awaitable[T1], c: Awaitable[T2], d: Awaitable[T3], /
) -> tuple[Literal[0], T0] | tuple[Literal[1], T1] | tuple[Literal[2], T2] | tuple[Literal[3], T3]: ...
@overload
async def select(*awaitables: Awaitable[T]) -> tuple[int, T]: ...
async def select(*awaitables: Awaitable[Any]) -> tuple[int, Any]:
    """Wait for the first of `awaitables` to end; return its index among them and its result.

    If several can end at once, the first of them in the order of the arguments does. If it fails, its exception is
    raised. Coroutines, which nobody else can await, are cancelled unless they come first, and have ended when this
    returns; one that is not needed is not even begun. So `queue.get()` takes no item, and `lock.acquire()` no lock,
    unless it is chosen. Futures and tasks are left as they are, to be waited for again.

    If the caller is cancelled when one has ended already, its result is returned, and the cancellation comes with the
    next `await`: nothing that was taken is lost. What a coroutine raises when it is cancelled, other than the
    cancellation, goes to the loop's exception handler.

    Raises:
        TypeError: something given is not awaitable.
        ValueError: nothing is given.
    """
    if not awaitables:
        raise ValueError("select needs at least one awaitable")
    wrong = [given for given in awaitables if not inspect.isawaitable(given)]
    if wrong:
        raise TypeError(f"an awaitable is required, not {wrong[0]!r}")
    contest: _Contest[Any] = _Contest(asyncio.get_running_loop())
    try:
        for index, awaitable in enumerate(awaitables):
            contest.enter(index, awaitable)
            if contest.winner is not None:
                break
        winner = await contest.end()
    finally:
        contest.leave()
        for awaitable in awaitables:
            if asyncio.iscoroutine(awaitable):
                awaitable.close()  # it was never begun, or has ended
    return winner


class _Contest(Generic[T]):
    """Who takes part in one `select`, and who has won."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._tasks: dict[int, asyncio.Task[T]] = {}
        # Futures that were given, with what listens to them.
        self._given: dict[int, tuple[asyncio.Future[T], Callable[[asyncio.Future[T]], object]]] = {}
        # How many coroutines have begun and not ended.
        self._running = 0
        # Whether the coroutines were cancelled: who raises from then on has not won.
        self._cancelled = False
        self._waiter: _Waiter | None = None
        self.winner: int | None = None

    def enter(self, index: int, awaitable: Awaitable[T]) -> None:
        """Let `awaitable` take part; a coroutine runs to where it has to wait."""
        if isinstance(awaitable, asyncio.Future):
            listener = partial(self._given_is_done, index)
            self._given[index] = awaitable, listener
            if awaitable.done():
                self._decide(index)
            else:
                awaitable.add_done_callback(listener)
            return
        self._running += 1
        self._tasks[index] = Task(self._run(index, awaitable), loop=self.loop, eager_start=True)

    def _given_is_done(self, index: int, _future: asyncio.Future[T]) -> None:
        self._decide(index)

    async def _run(self, index: int, awaitable: Awaitable[T]) -> T:
        has_result = False
        try:
            result = await awaitable
            has_result = True
        finally:
            self._running -= 1
            if has_result or not self._cancelled:
                self._decide(index)
            else:
                self._wake()
        return result

    def _decide(self, index: int) -> None:
        if self.winner is None:
            self.winner = index
            self._cancel()
        self._wake()

    def _wake(self) -> None:
        if not self._running and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _cancel(self) -> None:
        self._cancelled = True
        for index, task in self._tasks.items():
            if index != self.winner:
                task.cancel()

    async def end(self) -> tuple[int, T]:
        """Wait until somebody has won and every other coroutine has ended; return the winner's index and result.

        Raises:
            asyncio.CancelledError: the caller was cancelled, and nobody has won.
        """
        if self._running or self.winner is None:
            self._waiter = _Waiter(self)
            try:
                await self._waiter
            except asyncio.CancelledError as cancelled:
                if self.winner is None:
                    raise
                caller = asyncio.current_task()
                if caller is not None:
                    caller.uncancel()
                    caller.cancel(*cancelled.args)
        assert self.winner is not None
        given = self._given.get(self.winner)
        future = self._tasks[self.winner] if given is None else given[0]
        return self.winner, future.result()

    def cancel(self) -> bool:
        """The caller is cancelled: nobody shall win any more. False if coroutines have to end first."""
        if self.winner is None:
            self._cancel()
        return not self._running

    def leave(self) -> None:
        """Listen no longer; cancel what still runs, which is nothing unless `end` was kept from its work."""
        for future, listener in self._given.values():
            future.remove_done_callback(listener)
        self._waiter = None
        if self._running:
            self._cancel()


class _Waiter(Future[None]):
    """What the caller waits for. Cancelling it reaches the coroutines at once, before they can take anything."""

    def __init__(self, contest: _Contest[Any]) -> None:
        super().__init__(loop=contest.loop)
        self._contest = contest

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the coroutines. While they run this is not done; the caller's task remembers that it is cancelled."""
        return self._contest.cancel() and super().cancel(msg)
