"""`riata.gather` and `riata.as_completed` with a limit, on asyncio's loop and on riata's."""

import asyncio
import contextvars
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import riata

from . import combine

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Gauge:
    """Counts how many run at a time, and in which order they begin."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.order: list[int] = []

    async def work(self, number: int) -> int:
        self.order.append(number)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(number % 4 + 1):
                await asyncio.sleep(0)
        finally:
            self.now -= 1
        return number


async def fail(text: str = "mine") -> None:
    raise ValueError(text)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("limit", [1, 3, 20, 1000])
def test_gather_keeps_the_limit_and_the_order(run: Run, limit: int) -> None:
    async def main() -> None:
        gauge = Gauge()
        assert await riata.gather(*map(gauge.work, range(20)), limit=limit) == list(range(20))
        assert gauge.most == min(limit, 20)
        assert gauge.order == list(range(20))
        assert len(asyncio.all_tasks()) == 1

    run(main())


@pytest.mark.parametrize("limit", [1, 3, 20, 1000])
def test_as_completed_keeps_the_limit(run: Run, limit: int) -> None:
    async def main() -> None:
        gauge = Gauge()
        got = [await each for each in riata.as_completed(map(gauge.work, range(20)), limit=limit)]
        assert sorted(got) == list(range(20))
        gauge_two = Gauge()
        also = [await each async for each in riata.as_completed(map(gauge_two.work, range(20)), limit=limit)]
        assert sorted(also) == list(range(20))
        assert gauge.most == gauge_two.most == min(limit, 20)
        assert gauge.order == list(range(20))

    run(main())


def test_as_completed_gives_the_first_that_is_done(run: Run) -> None:
    async def main() -> None:
        events = [asyncio.Event() for _ in range(3)]

        async def wait(number: int) -> int:
            await events[number].wait()
            return number

        iterator = riata.as_completed(map(wait, range(3)), limit=2)
        following = iter(iterator)
        events[2].set()
        events[1].set()
        assert await next(following) == 1
        assert await next(following) == 2
        events[0].set()
        assert await next(following) == 0

    run(main())


def test_as_completed_after_its_timeout(run: Run) -> None:
    async def main() -> None:
        tasks = [combine.never() for _ in range(3)]
        with pytest.raises(TimeoutError):
            [await each for each in riata.as_completed(tasks, timeout=0.001, limit=1)]
        while others := asyncio.all_tasks() - {asyncio.current_task()}:  # the next begins when one has ended
            for task in others:
                task.cancel()
            await turns()

    run(main())


def test_no_limit_is_asyncios(run: Run) -> None:
    async def main() -> None:
        gauge = Gauge()
        assert await riata.gather(*map(gauge.work, range(20)), limit=None) == list(range(20))
        assert gauge.most == 20
        assert await riata.gather(limit=3) == []

    run(main())


def test_the_first_exception_and_the_others_run_on(run: Run) -> None:
    async def main() -> None:
        gauge = Gauge()
        gathering = riata.gather(gauge.work(0), fail(), *map(gauge.work, range(1, 5)), limit=2)
        with pytest.raises(ValueError, match="mine"):
            await gathering
        await turns(20)
        assert gauge.order == list(range(5))
        results = await riata.gather(gauge.work(1), fail(), gauge.work(3), return_exceptions=True, limit=1)
        assert results[0] == 1
        assert isinstance(results[1], ValueError)
        assert results[2] == 3

    run(main())


def test_cancelling_ends_those_that_run_and_never_begins_the_others(run: Run) -> None:
    async def main() -> None:
        began, ended = [], []

        async def work(number: int) -> None:
            began.append(number)
            try:
                await combine.never()
            finally:
                await turns()
                ended.append(number)

        gathering = riata.gather(*map(work, range(5)), limit=2)
        await turns()
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        await turns(10)  # as without a limit, the first that is cancelled decides
        assert began == ended == [0, 1]
        gc.collect()  # and no warning that the others were never awaited

    run(main())


def test_one_that_is_cancelled_makes_room(run: Run) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def work() -> None:
            tasks.append(asyncio.current_task())
            await combine.never()

        async def last() -> str:
            return "last"

        gathering = riata.gather(work(), last(), return_exceptions=True, limit=1)
        await turns()
        assert tasks[0] is not None
        tasks[0].cancel("why")
        cancelled, result = await gathering
        assert isinstance(cancelled, asyncio.CancelledError)
        assert result == "last"

    run(main())


def test_futures_run_anyway_and_do_not_count(run: Run) -> None:
    async def main() -> None:
        gauge = Gauge()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = asyncio.ensure_future(gauge.work(7))
        gathering = riata.gather(future, task, gauge.work(8), limit=1)
        await turns(10)
        assert task.done()
        assert gauge.order == [7, 8]
        future.set_result("x")
        assert await gathering == ["x", 7, 8]
        assert [each async for each in riata.as_completed([task], limit=1)] == [task]

    run(main())


def test_what_is_given_twice_runs_once(run: Run) -> None:
    async def main() -> None:
        gauge = Gauge()
        once = gauge.work(1)
        assert await riata.gather(once, gauge.work(2), once, limit=1) == [1, 2, 1]
        assert gauge.order == [1, 2]

    run(main())


def test_those_that_begin_later_have_the_callers_context(run: Run) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    async def work() -> int:
        value = variable.get()
        variable.set(value + 1)
        await asyncio.sleep(0)
        return value

    async def main() -> None:
        variable.set(5)
        gathering = riata.gather(*[work() for _ in range(4)], limit=1)
        variable.set(6)
        assert await gathering == [5] * 4

    run(main())


def test_other_awaitables(run: Run) -> None:
    class Soon:
        def __await__(self) -> Any:
            yield
            return 5

    async def main() -> None:
        assert await riata.gather(Soon(), Soon(), limit=1) == [5, 5]

    run(main())


def test_what_is_not_accepted(run: Run) -> None:
    async def main() -> None:
        for limit in (0, -1):
            with pytest.raises(ValueError, match="at least 1"):
                riata.gather(limit=limit)
        with pytest.raises(TypeError):
            riata.gather(limit="2")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="required"):
            riata.gather(5, limit=1)  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="at least 1"):
            [await each for each in riata.as_completed([], limit=0)]

    run(main())


def test_a_task_factory_that_fails(run: Run) -> None:
    async def main() -> None:
        def factory(loop: Any, coro: Any, **options: Any) -> Any:
            coro.close()
            raise LookupError("mine")

        gauge = Gauge()
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        results = await riata.gather(gauge.work(1), gauge.work(2), return_exceptions=True, limit=1)
        loop.set_task_factory(None)
        assert [str(result) for result in results] == ["mine", "mine"]

    run(main())


def test_many(run: Run) -> None:
    async def one(number: int) -> int:
        return number

    async def main() -> None:
        assert await riata.gather(*map(one, range(20_000)), limit=10) == list(range(20_000))

    run(main())
