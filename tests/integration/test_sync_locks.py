"""Locks, events, conditions, semaphores, barriers: asyncio's classes and riata's, on asyncio's loop and on riata's."""

import asyncio
import gc
import inspect
import math
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import riata

from . import combine

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=combine.MODULES)
def sync(request: pytest.FixtureRequest) -> Any:
    """The module whose locks are tried."""
    return combine.module(request.param)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_they_are_asyncios_to_whoever_asks() -> None:
    for name in ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore"]:
        assert isinstance(getattr(riata, name)(), getattr(asyncio, name))
    assert isinstance(riata.Barrier(1), asyncio.Barrier)
    assert isinstance(riata.BoundedSemaphore(), riata.Semaphore)
    for method in [riata.Lock().acquire, riata.Event().wait, riata.Condition().wait, riata.Condition().acquire]:
        assert inspect.iscoroutinefunction(method)


def test_a_lock_is_had_by_one_in_the_order_of_asking(sync: Any, run: Run) -> None:
    async def main() -> list[int]:
        lock = sync.Lock()
        order = []

        async def work(number: int) -> None:
            async with lock:
                order.append(number)
                await turns(2)
                order.append(number)

        await asyncio.gather(*[work(number) for number in range(4)])
        assert not lock.locked()
        return order

    assert run(main()) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_releasing_what_nobody_has(sync: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Lock is not acquired\."):
        sync.Lock().release()
    semaphore = sync.BoundedSemaphore(1)
    with pytest.raises(ValueError, match="BoundedSemaphore released too many times"):
        semaphore.release()
    assert semaphore._value == 1


@pytest.mark.parametrize("victim", range(3))
def test_a_cancelled_waiter_loses_nobodys_turn(sync: Any, run: Run, victim: int) -> None:
    async def main() -> None:
        lock = sync.Lock()
        await lock.acquire()
        entered = []

        async def work(number: int) -> None:
            async with lock:
                entered.append(number)

        tasks = [asyncio.create_task(work(number)) for number in range(3)]
        await turns(1)
        lock.release()
        tasks[victim].cancel()  # the first has been woken already, and has not run
        await asyncio.wait(tasks)
        assert entered == [number for number in range(3) if number != victim]
        assert not lock.locked()
        assert not lock._waiters

    run(main())


def test_another_loop_is_refused(sync: Any, run: Run) -> None:
    lock = sync.Lock()

    async def contend() -> None:
        await lock.acquire()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(lock.acquire(), 0.001)

    run(contend())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        asyncio.run(lock.acquire())


def test_a_subclass_is_asked_by_async_with(sync: Any, run: Run) -> None:
    class Counted(sync.Lock):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name
            self.calls: list[str] = []

        async def acquire(self) -> Any:
            self.calls.append("acquire")
            return await super().acquire()

        def release(self) -> None:
            self.calls.append("release")
            super().release()

    async def main() -> None:
        lock = Counted("x")
        async with lock:
            assert lock.locked()
        assert lock.calls == ["acquire", "release"]
        assert weakref.ref(lock)() is lock

    run(main())


def test_an_event_lets_all_pass(sync: Any, run: Run) -> None:
    async def main() -> None:
        event = sync.Event()
        waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
        await turns()
        waiting[1].cancel()
        event.set()
        event.clear()
        await asyncio.wait(waiting)
        assert waiting[0].result() is waiting[2].result() is True
        assert waiting[1].cancelled()
        assert not event.is_set()
        event.set()
        assert await event.wait() is True

    run(main())


def test_a_semaphore_lets_so_many_pass(sync: Any, run: Run) -> None:
    async def main() -> int:
        semaphore = sync.Semaphore(3)
        inside = most = 0

        async def work() -> None:
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                await turns(3)
                inside -= 1

        await asyncio.gather(*[work() for _ in range(20)])
        assert semaphore._value == 3
        return most

    assert run(main()) == 3


@pytest.mark.parametrize("value", [math.inf, 2**70, True, 2.0])
def test_a_semaphore_counts_with_any_number(sync: Any, run: Run, value: Any) -> None:
    async def main() -> None:
        semaphore = sync.Semaphore(value)
        async with semaphore:
            assert semaphore._value == value - 1
        assert semaphore._value == value
        semaphore.release()
        assert semaphore._value == value + 1

    run(main())


def test_a_semaphore_of_less_than_none(sync: Any) -> None:
    for kind in [sync.Semaphore, sync.BoundedSemaphore]:
        with pytest.raises(ValueError, match="Semaphore initial value must be >= 0"):
            kind(-1)


def test_a_cancelled_semaphore_waiter_passes_its_turn_on(sync: Any, run: Run) -> None:
    async def main() -> None:
        semaphore = sync.Semaphore(0)
        tasks = [asyncio.create_task(semaphore.acquire()) for _ in range(3)]
        await turns(1)
        semaphore.release()
        tasks[0].cancel()
        await turns()
        assert [task.done() for task in tasks] == [True, True, False]
        assert tasks[0].cancelled()
        assert tasks[1].result() is True
        semaphore.release()
        assert await tasks[2] is True
        assert semaphore._value == 0

    run(main())


def test_a_condition_wakes_as_many_as_it_is_told_to(sync: Any, run: Run) -> None:
    async def main() -> None:
        condition = sync.Condition()
        woken: list[int] = []

        async def work(number: int) -> None:
            async with condition:
                assert await condition.wait() is True
                woken.append(number)

        tasks = [asyncio.create_task(work(number)) for number in range(5)]
        await turns()
        for wake, expected in [(lambda: condition.notify(), 1), (lambda: condition.notify(2), 3)]:
            async with condition:
                wake()
            await turns(10)
            assert woken == list(range(expected))
        async with condition:
            condition.notify_all()
        await asyncio.gather(*tasks)
        assert woken == list(range(5))
        for call in [condition.notify, condition.notify_all]:
            with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
                call()
        with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
            await condition.wait()

    run(main())


def test_a_cancelled_condition_waiter_takes_the_lock_before_it_leaves(sync: Any, run: Run) -> None:
    async def main() -> None:
        condition = sync.Condition()
        seen = []

        async def work() -> None:
            async with condition:
                try:
                    await condition.wait()
                finally:
                    seen.append(condition.locked())

        task = asyncio.create_task(work())
        await turns()
        async with condition:
            task.cancel()
            await turns()
            assert not task.done()  # it waits for the lock
            task.cancel()
            await turns()
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == [True]
        assert not condition.locked()

    run(main())


def test_wait_for_a_predicate(sync: Any, run: Run) -> None:
    async def main() -> None:
        condition = sync.Condition()
        value = 0

        async def wait() -> Any:
            async with condition:
                return await condition.wait_for(lambda: value == 3 and "three")

        task = asyncio.create_task(wait())
        await turns()
        for value in range(1, 4):
            async with condition:
                condition.notify()
            await turns()
            assert task.done() == (value == 3)
        assert await task == "three"

    run(main())


def test_conditions_share_a_lock(sync: Any, run: Run) -> None:
    async def main() -> None:
        lock = sync.Lock()
        first, second = sync.Condition(lock), sync.Condition(lock)
        async with first:
            assert second.locked()
            assert lock.locked()
        foreign = sync.Condition(asyncio.Lock())
        async with foreign:
            assert foreign.locked()
        assert not foreign.locked()

    run(main())


def test_a_barrier(sync: Any, run: Run) -> None:
    async def main() -> None:
        barrier = sync.Barrier(3)
        assert sorted(await asyncio.gather(*[barrier.wait() for _ in range(3)])) == [0, 1, 2]
        waiting = asyncio.create_task(barrier.wait())
        await turns()
        assert barrier.n_waiting == 1
        await barrier.abort()
        with pytest.raises(asyncio.BrokenBarrierError):
            await waiting
        assert barrier.broken

    run(main())


def test_cycles_through_waiters_are_collected(sync: Any, run: Run) -> None:
    async def main() -> weakref.ref[Any]:
        lock = sync.Lock()
        await lock.acquire()
        waiting = lock.acquire()
        waiting.send(None)
        lock.waiting = waiting  # the lock's attribute is a coroutine that holds the lock
        return weakref.ref(lock)

    reference = run(main())
    gc.collect()
    assert reference() is None
