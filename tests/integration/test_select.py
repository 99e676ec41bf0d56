"""`riata.select`, on asyncio's loop and on riata's, with asyncio's queues and riata's."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

import riata

from . import combine

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=combine.MODULES)
def sync(request: pytest.FixtureRequest) -> Any:
    """The module whose locks and queues are tried."""
    return combine.module(request.param)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def give(value: Any) -> Any:
    return value


async def fail() -> None:
    raise ValueError("mine")


def test_the_first_of_those_that_are_ready_in_their_order(run: Run) -> None:
    async def main() -> None:
        assert await riata.select(combine.never(), give("a"), give("b")) == (1, "a")
        assert await riata.select(give("a")) == (0, "a")

    run(main())


def test_the_first_that_becomes_ready(run: Run, sync: Any) -> None:
    async def main() -> None:
        one, two = sync.Queue(), sync.Queue()
        loop = asyncio.get_running_loop()
        loop.call_soon(two.put_nowait, "x")
        assert await riata.select(one.get(), two.get()) == (1, "x")
        loop.call_soon(one.put_nowait, "y")
        assert await riata.select(one.get(), two.get()) == (0, "y")

    run(main())


def test_a_queue_that_is_not_chosen_keeps_its_items(run: Run, sync: Any) -> None:
    async def main() -> None:
        one, two = sync.Queue(), sync.Queue()
        one.put_nowait(1)
        two.put_nowait(2)
        assert await riata.select(one.get(), two.get()) == (0, 1)
        assert two.qsize() == 1
        # Both get an item in the same turn, while both wait.
        selecting = asyncio.ensure_future(riata.select(one.get(), one.get(), sync.Queue().get()))
        await turns()
        one.put_nowait(3)
        one.put_nowait(4)
        assert await selecting == (0, 3)
        assert one.get_nowait() == 4

    run(main())


def test_a_get_that_is_not_chosen_passes_its_turn_on(run: Run, sync: Any) -> None:
    async def main() -> None:
        one, two = sync.Queue(), sync.Queue()
        selecting = asyncio.ensure_future(riata.select(one.get(), two.get()))
        await turns()
        behind = asyncio.ensure_future(two.get())
        await turns()
        one.put_nowait(1)
        two.put_nowait(2)
        assert await selecting == (0, 1)
        assert await behind == 2

    run(main())


def test_a_get_inside_a_coroutine_of_the_programs_own(run: Run, sync: Any) -> None:
    async def doubled(queue: Any) -> int:
        item: int = await queue.get()
        return 2 * item

    async def main() -> None:
        one, two = sync.Queue(), sync.Queue()
        selecting = asyncio.ensure_future(riata.select(doubled(one), doubled(two)))
        await turns()
        two.put_nowait(2)
        one.put_nowait(1)
        _, value = await selecting
        assert value in (2, 4)
        assert one.qsize() + two.qsize() == 1

    run(main())


def test_locks_and_semaphores_that_are_not_chosen_are_free(run: Run, sync: Any) -> None:
    async def main() -> None:
        lock, semaphore, event = sync.Lock(), sync.Semaphore(1), sync.Event()
        await lock.acquire()
        await semaphore.acquire()
        selecting = asyncio.ensure_future(riata.select(event.wait(), lock.acquire(), semaphore.acquire()))
        await turns()
        event.set()
        lock.release()
        semaphore.release()
        assert await selecting == (0, True)
        assert not lock.locked()
        assert not semaphore.locked()

    run(main())


def test_what_is_not_needed_is_not_begun(run: Run) -> None:
    async def main() -> None:
        began = []

        async def begin() -> None:
            began.append(1)

        assert await riata.select(give(1), begin()) == (0, 1)  # and no warning that it was never awaited
        gc.collect()
        assert not began

    run(main())


def test_futures_and_tasks_are_left_alone(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = asyncio.ensure_future(combine.never())
        assert await riata.select(future, task, give(1)) == (2, 1)
        await turns()
        assert not future.done()
        assert not task.done()
        loop.call_soon(future.set_result, 2)
        assert await riata.select(combine.never(), future, task) == (1, 2)
        assert await riata.select(combine.never(), task, future) == (2, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await riata.select(combine.never(), task)
        assert not future._callbacks

    run(main())


def test_other_awaitables(run: Run) -> None:
    class Soon:
        def __await__(self) -> Any:
            yield
            return 5

    async def main() -> None:
        assert await riata.select(combine.never(), Soon()) == (1, 5)

    run(main())


def test_the_exception_of_the_first(run: Run) -> None:
    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        queue.put_nowait(1)
        with pytest.raises(ValueError, match="mine"):
            await riata.select(combine.never(), fail(), queue.get())
        assert queue.qsize() == 1

    run(main())


def test_everyone_has_ended_when_it_returns(run: Run) -> None:
    async def main() -> None:
        ended = []

        async def slow() -> None:
            try:
                await combine.never()
            finally:
                await turns()
                ended.append(1)

        assert await riata.select(slow(), asyncio.sleep(0, 1), slow()) == (1, 1)
        assert ended == [1, 1]
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_errors_of_those_that_are_cancelled_are_reported(run: Run) -> None:
    async def main() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

        async def ill() -> None:
            try:
                await combine.never()
            except asyncio.CancelledError:
                raise ValueError("mine") from None

        assert await riata.select(ill(), give(1)) == (1, 1)
        await turns()
        gc.collect()
        assert [str(report["exception"]) for report in reports] == ["mine"]

    run(main())


def test_a_cancelled_caller_cancels_all_and_loses_nothing(run: Run, sync: Any) -> None:
    async def main() -> None:
        queue = sync.Queue()
        selecting = asyncio.ensure_future(riata.select(queue.get(), combine.never()))
        await turns()
        queue.put_nowait(1)  # the get is woken, and has not run
        selecting.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await selecting
        assert queue.qsize() == 1
        assert len(asyncio.all_tasks()) == 1

    run(main())


@pytest.mark.parametrize("after", range(6))
def test_an_item_taken_before_the_cancellation_is_delivered(run: Run, sync: Any, after: int) -> None:
    """Whenever the cancellation comes, the item is in the queue or in the caller's hands."""

    async def main() -> None:
        queue, got = sync.Queue(), []

        async def take() -> None:
            _, item = await riata.select(queue.get(), combine.never())
            got.append(item)
            await combine.never()

        task = asyncio.ensure_future(take())
        await turns()
        queue.put_nowait(1)
        await turns(after)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)
        assert queue.qsize() + len(got) == 1

    run(main())


@pytest.mark.parametrize("after", range(6))
def test_a_timeout_around_it(run: Run, sync: Any, after: int) -> None:
    async def main() -> None:
        queue, got = sync.Queue(), []
        timeout: asyncio.Timeout | None = None

        async def take() -> str:
            nonlocal timeout
            try:
                async with asyncio.timeout(None) as timeout:
                    got.append((await riata.select(queue.get(), combine.never()))[1])
                    await combine.never()
            except TimeoutError:
                return "timeout"
            raise AssertionError

        task = asyncio.ensure_future(take())
        await turns()
        queue.put_nowait(1)
        await turns(after)
        assert timeout is not None
        timeout.reschedule(asyncio.get_running_loop().time())
        assert await asyncio.wait_for(task, 60) == "timeout"
        assert queue.qsize() + len(got) == 1
        assert task.cancelling() == 0

    run(main())


def test_many_consumers_take_every_item_once(run: Run, sync: Any, request: pytest.FixtureRequest) -> None:
    if sys.version_info < (3, 13) and request.node.callspec.params["loop_factory"] != "riata":
        pytest.skip("CPython's own task of this version cannot be told to forget a cancellation, by a timeout either")

    async def main() -> None:
        queues = [sync.Queue(3) for _ in range(3)]
        got: list[int] = []

        async def consume(shift: int) -> None:
            mine = queues[shift:] + queues[:shift]
            while True:
                try:
                    async with asyncio.timeout(0.0001 * (shift + 1)):
                        got.append((await riata.select(*[queue.get() for queue in mine]))[1])
                except TimeoutError:
                    pass

        async def produce(number: int) -> None:
            for item in range(100):
                await queues[number].put(number * 100 + item)
                if item % 7 == number:
                    await asyncio.sleep(0.0001)

        consumers = [asyncio.ensure_future(consume(shift)) for shift in range(3)]
        await asyncio.gather(*[produce(number) for number in range(3)])
        while not all(queue.empty() for queue in queues):
            await asyncio.sleep(0)
        await turns(10)
        for consumer in consumers:
            consumer.cancel()
        await asyncio.wait(consumers)
        assert sorted(got) == list(range(300))

    run(main())


def test_the_interpreters_own_exceptions_leave_nothing_running(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def exit() -> None:
        raise SystemExit(3)

    async def main() -> None:
        await riata.select(combine.never(), exit())

    loop = loop_factory()
    with pytest.raises(SystemExit):
        loop.run_until_complete(main())
    loop.run_until_complete(turns())
    loop.close()


def test_what_is_not_accepted(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="at least one"):
            await riata.select()
        with pytest.raises(TypeError, match="an awaitable is required"):
            await riata.select(asyncio.get_running_loop().create_future(), 5)  # type: ignore[arg-type]

    run(main())


def test_a_generators_next_item_in_a_task_is_kept(run: Run) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await turns(2)
            yield number

    async def main() -> None:
        iterator = numbers()
        following = asyncio.ensure_future(anext(iterator))
        got = []
        while len(got) < 3:
            index, value = await riata.select(following, asyncio.sleep(0))
            if index == 0:
                got.append(value)
                following = asyncio.ensure_future(anext(iterator))
        assert got == [0, 1, 2]
        with pytest.raises(StopAsyncIteration):
            await following

    run(main())
