"""Tasks that work together: queues, groups, locks and threads."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

from ..surroundings import Surroundings


async def queue_loses_nothing(_: Surroundings, chance: Random) -> None:
    """Consumers are cancelled at random: what was put is had by somebody or still there."""
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=chance.choice([0, 1, 5]))
    count = chance.randint(1, 100)
    had: list[int] = []

    async def produce() -> None:
        for number in range(count):
            await queue.put(number)
            if chance.random() < 0.2:
                await asyncio.sleep(0)

    async def consume() -> None:
        while True:
            had.append(await queue.get())
            queue.task_done()

    async with asyncio.TaskGroup() as group:
        producing = group.create_task(produce())
        consumers = [group.create_task(consume()) for _ in range(3)]
        while not producing.done():
            if chance.random() < 0.3:
                place = chance.randrange(len(consumers))
                consumers[place].cancel()
                consumers[place] = group.create_task(consume())
            await asyncio.sleep(0)
        await queue.join()
        for consumer in consumers:
            consumer.cancel()
    assert sorted(had) == list(range(count))


async def groups_are_cancelled(_: Surroundings, chance: Random) -> None:
    """A task that fails takes its group with it; every one of them lets go of the lock."""
    lock = asyncio.Lock()
    started = ended = 0

    async def work(fails: bool) -> None:
        nonlocal started, ended
        started += 1
        try:
            async with lock:
                await asyncio.sleep(0.01 * chance.random())
            if fails:
                raise ZeroDivisionError
            await asyncio.gather(*(asyncio.sleep(0.01 * chance.random()) for _ in range(3)))
        finally:
            ended += 1

    count = chance.randint(1, 20)
    failing = chance.randrange(2 * count)
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(work(number == failing))
    assert started == ended
    assert not lock.locked()


async def threads_answer(_: Surroundings, chance: Random) -> None:
    loop = asyncio.get_running_loop()
    numbers = [chance.randrange(1000) for _ in range(chance.randint(1, 20))]
    told: list[int] = []

    def work(number: int) -> int:
        loop.call_soon_threadsafe(told.append, number)
        return number + 1

    assert await asyncio.gather(*(asyncio.to_thread(work, number) for number in numbers)) == [n + 1 for n in numbers]
    assert sorted(told) == sorted(numbers)
