"""`riata.map`, on asyncio's loop and on riata's."""

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest

import riata

from . import combine

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Source = Callable[[Iterator[int]], Any]


async def asynchronous(items: Iterator[int]) -> AsyncIterator[int]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.fixture(params=[iter, asynchronous], ids=["plain", "asynchronous"])
def source(request: pytest.FixtureRequest) -> Source:
    """Makes an iterable of one kind."""
    kind: Source = request.param
    return kind


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Work:
    """Waits for fewer turns the later its input is, and counts how many do."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.taken: list[int] = []

    def inputs(self, count: int) -> Iterator[int]:
        for number in range(count):
            self.taken.append(number)
            yield number

    async def __call__(self, number: int) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await turns(60 - 3 * number)
        finally:
            self.now -= 1
        return number


async def fail_at_3(number: int) -> int:
    if number == 3:
        raise ValueError("mine")
    return number


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_results_in_order(run: Run, source: Source, limit: int) -> None:
    async def main() -> None:
        work = Work()
        got = [result async for result in riata.map(work, source(work.inputs(12)), limit=limit)]
        assert got == list(range(12))
        assert work.most == min(limit, 12)

    run(main())


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_results_as_they_come(run: Run, source: Source, limit: int) -> None:
    async def main() -> None:
        work = Work()
        got = [result async for result in riata.map(work, source(work.inputs(12)), limit=limit, ordered=False)]
        assert sorted(got) == list(range(12))
        assert work.most == min(limit, 12)
        if limit == 100:
            assert got == list(reversed(range(12)))

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_slow_consumer_holds_everything_back(run: Run, source: Source, ordered: bool) -> None:
    async def main() -> None:
        work = Work()
        results = riata.map(work, source(work.inputs(1000)), limit=3, ordered=ordered)
        await turns(100)
        assert not work.taken
        async with aclosing(results):
            for number in range(4):
                await anext(results)
                await turns(200)
                assert len(work.taken) <= number + 1 + 3
                assert work.now == 0

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_an_endless_iterable(run: Run, source: Source, ordered: bool) -> None:
    async def main() -> None:
        work = Work()
        results = riata.map(work, source(itertools.count()), limit=5, ordered=ordered)
        async with aclosing(results):
            async for result in results:
                if result >= 10:
                    break
        assert work.now == 0
        assert len(asyncio.all_tasks()) == 1

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_the_first_failure_cancels_the_rest(run: Run, source: Source, ordered: bool) -> None:
    async def main() -> None:
        ended = []

        async def work(number: int) -> int:
            try:
                if number == 2:
                    raise ValueError("mine")
                await combine.never()
            finally:
                await turns()
                ended.append(number)
            return number

        with pytest.raises(ValueError, match="mine"):
            [result async for result in riata.map(work, source(itertools.count()), limit=4, ordered=ordered)]
        assert sorted(ended) == [0, 1, 2, 3]
        assert len(asyncio.all_tasks()) == 1

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_failure_while_the_consumer_is_busy(run: Run, source: Source, ordered: bool) -> None:
    async def main() -> None:
        work = Work()

        async def fail(number: int) -> int:
            if number == 1:
                await turns()
                raise ValueError("mine")
            return await work(number) if number else 0

        results = riata.map(fail, source(itertools.count()), limit=4, ordered=ordered)
        assert await anext(results) == 0
        await turns(50)
        assert work.now == 0
        with pytest.raises(ValueError, match="mine"):
            await anext(results)
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_failures_as_results(run: Run, source: Source, ordered: bool) -> None:
    async def main() -> None:
        got = []
        failures = []
        mapped = riata.map(fail_at_3, source(iter(range(6))), limit=2, ordered=ordered, return_exceptions=True)
        async for result in mapped:
            match result:
                case riata.Failure(number, error):
                    failures.append((number, str(error)))
                case int():
                    got.append(result)
        assert got == [0, 1, 2, 4, 5]
        assert failures == [(3, "mine")]

    run(main())


def test_a_call_that_is_cancelled_is_a_failure(run: Run) -> None:
    async def cancelled(number: int) -> int:
        raise asyncio.CancelledError("mine")

    async def main() -> None:
        (failure,) = [result async for result in riata.map(cancelled, [1], limit=2, return_exceptions=True)]
        assert isinstance(failure, riata.Failure)
        assert isinstance(failure.exception, asyncio.CancelledError)
        with pytest.raises(asyncio.CancelledError):
            [result async for result in riata.map(cancelled, [1], limit=2)]

    run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_an_iterable_that_fails(run: Run, source: Source, ordered: bool) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise LookupError("mine")

    async def main() -> None:
        got = []

        async def consume() -> None:
            async for result in riata.map(Work(), source(items()), limit=2, ordered=ordered):
                got.append(result)

        with pytest.raises(LookupError, match="mine"):
            await consume()
        assert sorted(got) == [0, 1, 2]

    run(main())


def test_a_plain_function_runs_on_threads(run: Run, source: Source) -> None:
    def work(number: int) -> tuple[int, bool]:
        return number, threading.current_thread() is threading.main_thread()

    async def main() -> None:
        got = [result async for result in riata.map(work, source(iter(range(5))), limit=2)]
        assert got == [(number, False) for number in range(5)]

    run(main())


def test_a_function_that_returns_coroutines(run: Run) -> None:
    async def main() -> None:
        assert [result async for result in riata.map(lambda number: fail_at_3(number), [1, 2], limit=2)] == [1, 2]

    run(main())


def test_a_queue_until_it_is_shut_down(run: Run) -> None:
    async def main() -> None:
        queue: riata.Queue[int] = riata.Queue()
        got = []

        async def consume() -> None:
            async for result in riata.map(fail_at_3, queue, limit=2):
                got.append(result)

        consumer = asyncio.ensure_future(consume())
        for number in (0, 1, 2):
            await queue.put(number)
        await turns(20)
        assert got == [0, 1, 2]
        queue.shutdown()
        await consumer

    run(main())


@pytest.mark.parametrize("after", range(12))
def test_a_cancelled_consumer(run: Run, source: Source, after: int) -> None:
    async def main() -> None:
        work = Work()

        async def consume() -> None:
            async with aclosing(riata.map(work, source(itertools.count()), limit=3)) as results:
                async for _ in results:
                    await asyncio.sleep(0)

        consumer = asyncio.ensure_future(consume())
        await turns(3 * after)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert work.now == 0
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_loop_that_is_left_early(run: Run) -> None:
    async def main() -> None:
        work = Work()

        async def look() -> None:
            async for _ in riata.map(work, itertools.count(), limit=3):
                break

        await look()
        gc.collect()
        await turns(10)
        assert work.now == 0

    run(main())


def test_what_is_never_iterated_over(run: Run) -> None:
    async def main() -> None:
        work = Work()
        riata.map(work, work.inputs(3), limit=3)
        riata.map(work, asynchronous(work.inputs(3)), limit=3)
        await turns()
        gc.collect()
        assert not work.taken

    run(main())


def test_what_is_not_accepted() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        riata.map(fail_at_3, [], limit=0)
    with pytest.raises(TypeError):
        riata.map(fail_at_3, [], limit=None)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="not iterable"):
        riata.map(fail_at_3, 5, limit=1)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        riata.map(fail_at_3, [])  # type: ignore[call-overload]
