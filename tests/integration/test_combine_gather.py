"""`sleep`, `gather`, `shield`, `ensure_future`: asyncio's and riata's, on the loops of both, with futures of both."""

import asyncio
import gc
from collections.abc import Callable, Generator
from typing import Any

import pytest
from tests.integration.combine import MODULES, module, never

LIB = pytest.mark.parametrize("lib", MODULES)
Run = Callable[[Any], Any]


async def value(of: Any) -> Any:
    return of


@LIB
def test_timers_and_tasks_in_the_same_order(lib: str, run: Run) -> None:
    log: list[str] = []

    async def sleeper(name: str, delay: float) -> None:
        await module(lib).sleep(delay)
        log.append(name)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, log.append, "before")
        tasks = [asyncio.ensure_future(sleeper(str(n), 0.01)) for n in range(3)]
        zero = asyncio.ensure_future(sleeper("zero", 0))
        negative = asyncio.ensure_future(sleeper("negative", -1))
        await module(lib).gather(*tasks, zero, negative)

    run(main())
    # A machine with much to do may take longer to begin the tasks than the timer runs.
    assert [name for name in log if name in ("zero", "negative")] == ["zero", "negative"]
    assert [name for name in log if name not in ("zero", "negative")] == ["before", "0", "1", "2"]


@LIB
def test_a_cancelled_sleep_leaves_no_timer(lib: str, run: Run) -> None:
    async def main() -> None:
        task = asyncio.create_task(module(lib).sleep(3600))
        await asyncio.sleep(0)
        assert task.cancel("message")
        with pytest.raises(asyncio.CancelledError, match="message"):
            await task
        with pytest.raises(TypeError):
            await module(lib).sleep("soon")

    run(main())


@LIB
def test_numbers_of_any_kind(lib: str, run: Run) -> None:
    class Number(float):
        pass

    async def main() -> None:
        for number in (True, Number(0.001), Number(-1), 10**-9):
            if number is not True:
                assert await module(lib).sleep(number, number) is number

    run(main())


@LIB
def test_overridden_call_later_is_asked(lib: str, loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    calls: list[float] = []
    original = loop.call_later

    def call_later(delay: float, callback: Any, *args: Any, **options: Any) -> Any:
        calls.append(delay)
        return original(delay, callback, *args, **options)

    loop.call_later = call_later
    assert loop.run_until_complete(module(lib).sleep(0.001, 5)) == 5
    assert calls == [0.001]
    loop.close()


@LIB
@pytest.mark.parametrize("debug", [False, True])
def test_results_in_order_and_duplicates(lib: str, debug: bool, run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(debug)
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(value("task"))
        asyncio.get_running_loop().call_soon(future.set_result, "future")
        found = await module(lib).gather(future, value(1), task, future, value(2), task)
        assert found == ["future", 1, "task", "future", 2, "task"]
        assert await module(lib).gather() == []
        many = await module(lib).gather(*[value(n) for n in range(40)], future)
        assert many == [*range(40), "future"]

    run(main())


class Awaitable:
    """Awaitable, compared by value."""

    def __init__(self, result: int) -> None:
        self.result = result
        self.awaited = 0

    def __await__(self) -> Generator[Any, None, int]:
        self.awaited += 1
        yield from asyncio.sleep(0).__await__()
        return self.result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Awaitable) and self.result == other.result

    def __hash__(self) -> int:
        return hash(self.result)


@LIB
def test_equal_awaitables_are_one(lib: str, run: Run) -> None:
    async def main() -> None:
        first, second, other = Awaitable(1), Awaitable(1), Awaitable(2)
        assert await module(lib).gather(first, value(0), second, other) == [1, 0, 1, 2]
        assert (first.awaited, second.awaited, other.awaited) == (1, 0, 1)

    run(main())


@LIB
def test_the_first_exception_wins_and_the_others_run_on(lib: str, run: Run) -> None:
    async def fail(after: int) -> None:
        for _ in range(after):
            await asyncio.sleep(0)
        raise ValueError(after)

    async def main() -> None:
        slow = asyncio.create_task(value("slow"))
        outer = module(lib).gather(fail(2), fail(1), slow, never_ending := asyncio.create_task(never()))
        with pytest.raises(ValueError, match="1"):
            await outer
        assert await slow == "slow"
        assert not outer.cancel()
        assert not never_ending.cancelled()
        never_ending.cancel()
        outcomes = await module(lib).gather(fail(1), value(3), never_ending, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ValueError, int, asyncio.CancelledError]

    run(main())
    gc.collect()


@LIB
def test_cancelling_it_cancels_the_children(lib: str, run: Run) -> None:
    async def main() -> None:
        children = [asyncio.create_task(never()) for _ in range(3)]
        outer = module(lib).gather(*children, return_exceptions=True)
        assert "_GatheringFuture pending" in repr(outer)
        await asyncio.sleep(0)
        assert outer.cancel("why")
        assert not outer.done()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert all(child.cancelled() for child in children)
        assert not outer.cancel()

    run(main())


@LIB
def test_a_task_that_waits_for_one_is_cancelled_with_its_children(lib: str, run: Run) -> None:
    async def main() -> None:
        child = asyncio.create_task(never())

        async def wait() -> None:
            await module(lib).gather(child, never())

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert child.cancelled()
        assert waiter.cancelled()

        early = asyncio.create_task(wait())
        early.cancel()
        with pytest.raises(asyncio.CancelledError):
            await early

    run(main())


@LIB
@pytest.mark.parametrize("nested", [False, True])
def test_gathered_twice(lib: str, nested: bool, run: Run) -> None:
    async def main() -> None:
        gather = module(lib).gather
        inner = gather(value(1), value(2))
        outer = gather(inner, asyncio.gather(value(3))) if nested else inner
        assert await outer == ([[1, 2], [3]] if nested else [1, 2])

    run(main())


@LIB
def test_futures_of_different_loops(lib: str, loop_factory: Callable[[], Any]) -> None:
    one, two = loop_factory(), loop_factory()
    first, second = one.create_future(), two.create_future()
    with pytest.raises(ValueError, match="different loop"):
        module(lib).gather(first, second)
    with pytest.raises(ValueError, match="different loop"):
        module(lib).ensure_future(first, loop=two)
    assert module(lib).ensure_future(first, loop=one) is first
    with pytest.raises(TypeError, match=r"An asyncio.Future, a coroutine or an awaitable is required"):
        module(lib).ensure_future("text", loop=one)
    coro = value(1)
    one.close()
    with pytest.raises(RuntimeError, match="closed"):
        module(lib).ensure_future(coro, loop=one)
    assert coro.cr_frame is None
    two.close()


@LIB
def test_foreign_futures_are_children_too(lib: str, run: Run) -> None:
    class Foreign(asyncio.Future[Any]):
        """CPython's, of a Python subclass."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        foreign = Foreign(loop=loop)
        loop.call_soon(foreign.set_result, "foreign")
        assert await module(lib).gather(foreign, value(1)) == ["foreign", 1]
        pending = Foreign(loop=loop)
        shielded = module(lib).shield(pending)
        shielded.cancel()
        await asyncio.sleep(0)
        assert not pending.done()
        assert not pending._callbacks
        gathered = module(lib).gather(pending)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        assert pending.cancelled()

    run(main())


@LIB
def test_shield(lib: str, run: Run) -> None:
    async def fail() -> None:
        raise KeyError("inner")

    async def main() -> None:
        shield = module(lib).shield
        assert await shield(value(1)) == 1
        done = asyncio.get_running_loop().create_future()
        done.set_result(2)
        assert shield(done) is done
        with pytest.raises(KeyError):
            await shield(fail())
        inner = asyncio.create_task(never())
        outer = shield(inner)
        await asyncio.sleep(0)
        outer.cancel()
        await asyncio.sleep(0)
        assert not inner.done()
        again = shield(inner)
        inner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await again
        assert again.cancelled()

    run(main())


@LIB
def test_an_awaitable_becomes_a_task(lib: str, run: Run) -> None:
    async def main() -> None:
        task = module(lib).ensure_future(Awaitable(7))
        assert isinstance(task, asyncio.Task)
        assert module(lib).ensure_future(task) is task
        assert await task == 7

    run(main())


@LIB
def test_a_task_factory_makes_the_children(lib: str, run: Run) -> None:
    made: list[str] = []

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        assert await module(lib).gather(value(1), module(lib).sleep(0, 2)) == [1, 2]

    run(main())
    assert made[:2] == ["value", "sleep"]
