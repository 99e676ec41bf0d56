"""How what one operation costs grows with how many things there are: `python -m benches.growth LOOP CASE COUNT SIZE`.

Prints CPU and wall seconds of COUNT operations among SIZE things.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from benches.loops import factory

SIZES = (10, 1_000, 100_000)
"""Tasks, timers and waiters."""

CONNECTIONS = (10, 1_000, 10_000)
"""Those are measured as in `network`."""

Spent = tuple[float, float]


class Meter:
    """CPU and wall seconds, of the part that counts."""

    def __enter__(self) -> Meter:
        self.cpu, self.wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall


async def tasks(count: int, size: int) -> Spent:
    """A step of one of `size` tasks that take turns."""
    turns = max(1, count // size)

    async def step() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    running = [asyncio.ensure_future(step()) for _ in range(size)]
    with Meter() as meter:
        for task in running:
            await task
    return meter.cpu * count / (turns * size), meter.wall * count / (turns * size)


async def timers(count: int, size: int) -> Spent:
    """A timer set and cancelled while `size` others are set."""
    loop = asyncio.get_running_loop()
    handles = deque(loop.call_later(1000 + number % 1000, int) for number in range(size))
    with Meter() as meter:
        for number in range(count):
            handles.append(loop.call_later(1000 + number % 1000, int))
            handles.popleft().cancel()
            if number % 1000 == 0:
                await asyncio.sleep(0)
    for handle in handles:
        handle.cancel()
    return meter.cpu, meter.wall


async def waiters(count: int, size: int) -> Spent:
    """A lock handed over along a line of `size` waiters, each of which goes to the end of the line again."""
    lock = asyncio.Lock()
    left = max(count, size)
    done = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        nonlocal left
        while left > 0:
            async with lock:
                left -= 1
                if left == 0:
                    done.set_result(None)
                await asyncio.sleep(0)

    operations = left
    waiting = [asyncio.ensure_future(wait()) for _ in range(size)]
    with Meter() as meter:
        await done
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return meter.cpu * count / operations, meter.wall * count / operations


CASES: dict[str, Callable[[int, int], Coroutine[Any, Any, Spent]]] = {
    case.__name__: case for case in (tasks, timers, waiters)
}


def main() -> None:
    """One measurement in a process of its own."""
    name, case, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with asyncio.Runner(loop_factory=factory(name)) as runner:
        print(*runner.run(CASES[case](count, size)))


if __name__ == "__main__":
    main()
