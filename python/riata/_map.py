"""`map`: a function over many inputs, a few at a time, the next only when there is room for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, overload

from riata._go import begin
from riata._limit import check_limit
from riata._native import wait

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure(Generic[S]):
    """What `map(…, return_exceptions=True)` gives for an input whose call failed."""

    input: S
    exception: BaseException


@overload
def map(
    fn: Callable[[S], Coroutine[Any, Any, T]],
    iterable: Iterable[S] | AsyncIterable[S],
    /,
    *,
    limit: int,
    ordered: bool = True,
    return_exceptions: Literal[False] = False,
) -> AsyncGenerator[T, None]: ...
@overload
def map(
    fn: Callable[[S], Coroutine[Any, Any, T]],
    iterable: Iterable[S] | AsyncIterable[S],
    /,
    *,
    limit: int,
    ordered: bool = True,
    return_exceptions: bool,
) -> AsyncGenerator[T | Failure[S], None]: ...
@overload
def map(
    fn: Callable[[S], T],
    iterable: Iterable[S] | AsyncIterable[S],
    /,
    *,
    limit: int,
    ordered: bool = True,
    return_exceptions: Literal[False] = False,
) -> AsyncGenerator[T, None]: ...
@overload
def map(
    fn: Callable[[S], T],
    iterable: Iterable[S] | AsyncIterable[S],
    /,
    *,
    limit: int,
    ordered: bool = True,
    return_exceptions: bool,
) -> AsyncGenerator[T | Failure[S], None]: ...
def map(
    fn: Callable[[Any], Any],
    iterable: Iterable[Any] | AsyncIterable[Any],
    /,
    *,
    limit: int,
    ordered: bool = True,
    return_exceptions: bool = False,
) -> AsyncGenerator[Any, None]:
    """Call `fn` with each item of `iterable`, at most `limit` at a time; iterate over the results with `async for`.

    A coroutine function runs in tasks, a plain function on threads of the loop's default executor, as with `go`. An
    item is taken from the iterable, which may be asynchronous, only when there is room: what runs, and what has ended
    and was not taken by the consumer, are never more than `limit` together. Nothing begins before the first result is
    asked for.

    The first failure cancels the rest and is raised, whatever results are left. What the iterable itself raises is
    raised when everything begun before has been given out. Leaving the loop early cancels what runs when the generator
    is closed: at once with `contextlib.aclosing`, else when it is collected.

    Args:
        fn: a function of one argument.
        iterable: its arguments.
        limit: how many may be in work, at least 1.
        ordered: results in the order of the iterable; False: as they come.
        return_exceptions: a call that fails gives a `Failure` with its input, and the others go on.

    Raises:
        TypeError: the limit is not an integer, or the iterable cannot be iterated over.
        ValueError: the limit is less than 1.
    """
    return _results(_Work(fn, iterable, check_limit(limit), ordered, return_exceptions))


async def _results(work: _Work) -> AsyncGenerator[Any, None]:
    try:
        work.open()
        while await work.ready():
            yield work.take()
    finally:
        await work.close()


class _Work:
    """What one `map` has begun and not given out."""

    def __init__(
        self,
        fn: Callable[[Any], Any],
        iterable: Iterable[Any] | AsyncIterable[Any],
        limit: int,
        ordered: bool,
        return_exceptions: bool,
    ) -> None:
        self._fn = fn
        # What is read where there is room, unless a task reads it, and that task.
        self._source: Iterator[Any] = iter(())
        self._reading: AsyncIterator[Any] | None = None
        self._reader: asyncio.Task[None] | None = None
        if isinstance(iterable, AsyncIterable):
            self._reading = aiter(iterable)
        else:
            self._source = iter(iterable)
        self._limit = limit
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        # What has begun and was not taken, with its input.
        self._inputs: dict[asyncio.Future[Any], Any] = {}
        # What is given out next: in the order of beginning, or of ending.
        self._line: deque[asyncio.Future[Any]] = deque()
        self._failed: asyncio.Future[Any] | None = None
        # What the reader waits for.
        self._room: asyncio.Future[None] | None = None
        # What the consumer waits for.
        self._waiter: asyncio.Future[None] | None = None
        self._exhausted = self._cancelled = False
        self._source_error: BaseException | None = None

    def open(self) -> None:
        """Begin what there is room for."""
        self._loop = asyncio.get_running_loop()
        if self._reading is not None:
            self._reader = self._loop.create_task(self._read(self._reading))
        else:
            self._fill()

    async def ready(self) -> bool:
        """Wait until there is something to take; False at the end.

        Raises:
            BaseException: of a call that failed, or of the source.
        """
        while True:
            if self._failed is not None:
                self._failed.result()
            if self._line and self._line[0].done():
                return True
            if self._exhausted and not self._inputs:
                if self._source_error is not None:
                    raise self._source_error
                return False
            self._waiter = self._loop.create_future()
            await self._waiter

    def take(self) -> Any:
        """The next result; makes room for another call."""
        future = self._line.popleft()
        given = self._inputs.pop(future)
        if self._reader is None:
            self._fill()
        else:
            _wake(self._room)
        try:
            return future.result()
        except (Exception, asyncio.CancelledError) as error:
            if not self._return_exceptions:
                raise
            return Failure(given, error)

    async def close(self) -> None:
        """Cancel what runs and wait for its end."""
        if not self._cancelled:
            self._cancel()
        begun: list[asyncio.Future[Any] | None] = [*self._inputs, self._reader]
        running = {future for future in begun if future is not None and not future.done()}
        cancelled: asyncio.CancelledError | None = None
        while running:
            try:
                _, running = await wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
                running = {future for future in running if not future.done()}
        if cancelled is not None:
            raise cancelled

    def _fill(self) -> None:
        while not self._exhausted and len(self._inputs) < self._limit:
            try:
                item = next(self._source)
            except StopIteration:
                self._exhausted = True
            except Exception as error:
                self._exhausted, self._source_error = True, error
            else:
                self._begin(item)

    async def _read(self, source: AsyncIterator[Any]) -> None:
        try:
            while True:
                while len(self._inputs) >= self._limit:
                    self._room = self._loop.create_future()
                    await self._room
                self._begin(await anext(source))
        except StopAsyncIteration:
            pass
        except (Exception, asyncio.CancelledError) as error:
            self._source_error = error
        finally:
            self._exhausted = True
            _wake(self._waiter)

    def _begin(self, item: Any) -> None:
        task = self._loop.create_task(self._call(item))
        self._inputs[task] = item
        if self._ordered:
            self._line.append(task)
        task.add_done_callback(self._end)

    async def _call(self, item: Any) -> Any:
        return await begin(self._loop, self._fn, item)

    def _end(self, future: asyncio.Future[Any]) -> None:
        if not self._ordered:
            self._line.append(future)
        if not self._return_exceptions and self._failed is None and (future.cancelled() or future.exception()):
            self._failed = future
            self._cancel()
        _wake(self._waiter)

    def _cancel(self) -> None:
        self._exhausted = self._cancelled = True
        for future in self._inputs:
            future.cancel()
        if self._reader is not None:
            self._reader.cancel()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
