"""Queues: asyncio's classes and riata's, on asyncio's loop and on riata's; and what riata's have beside."""

import asyncio
import heapq
import inspect
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import riata

from . import combine

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=combine.MODULES)
def sync(request: pytest.FixtureRequest) -> Any:
    """The module whose queues are tried."""
    return combine.module(request.param)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_they_are_asyncios_to_whoever_asks() -> None:
    for name in ["Queue", "LifoQueue", "PriorityQueue"]:
        queue = getattr(riata, name)()
        assert isinstance(queue, getattr(asyncio, name))
        assert isinstance(queue, riata.Queue)
        assert getattr(riata, name)[int].__origin__ is getattr(riata, name)
    for method in [riata.Queue.get, riata.Queue().put, riata.Queue().join]:
        assert inspect.iscoroutinefunction(method)


@pytest.mark.parametrize(
    ("kind", "expected"), [("Queue", [3, 1, 2]), ("LifoQueue", [2, 1, 3]), ("PriorityQueue", [1, 2, 3])]
)
def test_in_which_order_items_come_out(sync: Any, run: Run, kind: str, expected: list[int]) -> None:
    async def main() -> None:
        queue = getattr(sync, kind)()
        for item in [3, 1, 2]:
            await queue.put(item)
        assert [await queue.get() for _ in range(3)] == expected
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()

    run(main())


def test_a_full_queue_holds_its_producer_back(sync: Any, run: Run) -> None:
    async def main() -> None:
        queue = sync.Queue(2)
        done = []

        async def produce() -> None:
            for number in range(6):
                await queue.put(number)
                done.append(number)

        producer = asyncio.create_task(produce())
        await turns(10)
        assert done == [0, 1]
        assert queue.full()
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(9)
        assert [await queue.get() for _ in range(6)] == list(range(6))
        await producer

    run(main())


def test_join_waits_for_task_done(sync: Any, run: Run) -> None:
    async def main() -> None:
        queue = sync.Queue()
        await queue.join()
        for number in range(3):
            queue.put_nowait(number)
        joining = asyncio.create_task(queue.join())
        for _ in range(3):
            await turns()
            assert not joining.done()
            await queue.get()
            queue.task_done()
        await joining
        with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
            queue.task_done()

    run(main())


@pytest.mark.parametrize("victim", [0, 1])
def test_a_cancelled_getter_loses_no_item(sync: Any, run: Run, victim: int) -> None:
    async def main() -> None:
        queue = sync.Queue()
        getting = [asyncio.create_task(queue.get()) for _ in range(2)]
        await turns(1)
        queue.put_nowait("item")
        getting[victim].cancel()
        await asyncio.wait([getting[1 - victim]])
        assert getting[1 - victim].result() == "item"
        assert not queue._getters

    run(main())


def test_a_cancelled_putter_passes_its_place_on(sync: Any, run: Run) -> None:
    async def main() -> None:
        queue = sync.Queue(1)
        queue.put_nowait(0)
        putting = [asyncio.create_task(queue.put(number)) for number in (1, 2)]
        await turns(1)
        assert queue.get_nowait() == 0
        putting[0].cancel()
        await asyncio.wait_for(putting[1], 10)
        assert queue.get_nowait() == 2
        assert not queue._putters

    run(main())


def test_what_a_subclass_overrides_is_called(sync: Any, run: Run) -> None:
    class Unique(sync.Queue):  # type: ignore[misc]
        """Holds no item twice."""

        def _init(self, maxsize: int) -> None:
            assert maxsize == 3
            self._queue: dict[Any, None] = {}

        def _put(self, item: Any) -> None:
            self._queue[item] = None

        def _get(self) -> Any:
            return self._queue.popitem()[0]

    class Weighed(sync.Queue):  # type: ignore[misc]
        """Is full by the sum of its items."""

        def qsize(self) -> int:
            return sum(self._queue)

    class Noted(sync.Queue):  # type: ignore[misc]
        """Notes what its coroutines call."""

        calls: list[str]

        def put_nowait(self, item: Any) -> None:
            self.calls.append("put_nowait")
            super().put_nowait(item)

        def get_nowait(self) -> Any:
            self.calls.append("get_nowait")
            return super().get_nowait()

    async def main() -> None:
        unique = Unique(3)
        for item in "aab":
            await unique.put(item)
        assert unique.qsize() == 2
        assert {await unique.get(), await unique.get()} == {"a", "b"}
        assert unique.empty()
        weighed = Weighed(10)
        await weighed.put(7)
        assert not weighed.full()
        await weighed.put(3)
        assert weighed.full()
        noted = Noted()
        noted.calls = []
        await noted.put(1)
        await noted.get()
        assert noted.calls == ["put_nowait", "get_nowait"]

    run(main())


def test_the_private_container_counts(sync: Any, run: Run) -> None:
    async def main() -> None:
        queue = sync.Queue()
        queue.put_nowait(1)
        assert type(queue._queue) is deque
        queue._queue.appendleft(0)
        queue.put_nowait(2)
        assert [queue.get_nowait() for _ in range(3)] == [0, 1, 2]
        lifo = sync.LifoQueue()
        lifo.put_nowait(1)
        assert lifo._queue == [1]
        least = sync.PriorityQueue()
        least.put_nowait(5)
        heapq.heappush(least._queue, 1)
        assert least.get_nowait() == 1

    run(main())


def test_how_it_looks(sync: Any) -> None:
    queue = sync.Queue(3)
    assert str(queue) == "<Queue maxsize=3>"
    queue.put_nowait("x")
    assert str(queue) == "<Queue maxsize=3 _queue=['x'] tasks=1>"


SHUTDOWN = pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio's queues can be shut down since Python 3.13")


@pytest.mark.parametrize("module", [pytest.param("asyncio", marks=SHUTDOWN), "riata"])
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown(module: str, immediate: bool, run: Run) -> None:
    sync = combine.module(module)

    async def main() -> None:
        queue = sync.Queue(1)
        queue.put_nowait("left")
        putting = asyncio.create_task(queue.put("late"))
        joining = asyncio.create_task(queue.join())
        empty = sync.Queue()
        getting = asyncio.create_task(empty.get())
        await turns(1)
        queue.shutdown(immediate)
        empty.shutdown()
        assert "shutdown" in str(queue)
        for task in (putting, getting):
            with pytest.raises(sync.QueueShutDown):
                await task
        with pytest.raises(sync.QueueShutDown):
            queue.put_nowait("later")
        if not immediate:
            assert await queue.get() == "left"
            queue.task_done()
        await joining
        with pytest.raises(sync.QueueShutDown):
            await queue.get()
        with pytest.raises(sync.QueueShutDown):
            queue.get_nowait()

    run(main())


def test_async_for_reads_until_the_shutdown(run: Run) -> None:
    async def main() -> list[int]:
        queue: riata.Queue[int] = riata.Queue(2)

        async def produce() -> None:
            for number in range(5):
                await queue.put(number)
            queue.shutdown()

        producer = asyncio.create_task(produce())
        found = [number async for number in queue]
        await producer
        assert [number async for number in queue] == []
        return found

    assert run(main()) == [0, 1, 2, 3, 4]


def test_two_readers_share_the_items(run: Run) -> None:
    async def main() -> None:
        queue: riata.Queue[int] = riata.Queue()

        async def read() -> list[int]:
            return [number async for number in queue]

        readers = [asyncio.create_task(read()) for _ in range(2)]
        for number in range(10):
            queue.put_nowait(number)
            await turns(2)
        readers[0].cancel()
        queue.put_nowait(10)
        queue.shutdown()
        rest = await readers[1]
        with pytest.raises(asyncio.CancelledError):
            await readers[0]
        assert 10 in rest
        assert queue.empty()

    run(main())
