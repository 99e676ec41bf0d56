"""Child processes: `python -m benches.children LOOP CASE COUNT` prints the CPU and wall seconds of the parent.

The child is `true`, so what is measured is what beginning a process, watching it and hearing of its end costs.
"""

from __future__ import annotations

import asyncio
import mmap
import shutil
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine
from typing import Any

from benches.loops import factory

TRUE = shutil.which("true") or "/bin/true"
GIBIBYTE = 1 << 30


async def spawn(count: int) -> None:
    """One after the other, without pipes."""
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(TRUE)
        await process.wait()


async def spawn_with_pipes(count: int) -> None:
    """One after the other, with standard output and error read through pipes."""
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(TRUE, stdout=PIPE, stderr=PIPE)
        await process.communicate()


async def spawn_together(count: int) -> None:
    """All begun before any is waited for."""
    processes = [await asyncio.create_subprocess_exec(TRUE) for _ in range(count)]
    await asyncio.gather(*(process.wait() for process in processes))


async def spawn_from_2_gib(count: int) -> None:
    """As `spawn`, from a process that has 2 GiB in use."""
    # Private, as a program's own memory is: its page tables are what fork(2) copies.
    with mmap.mmap(-1, 2 * GIBIBYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as ballast:
        for page in range(0, len(ballast), mmap.PAGESIZE):
            ballast[page] = 1
        cpu, wall = time.process_time(), time.perf_counter()
        await spawn(count)
        _spent.append((time.process_time() - cpu, time.perf_counter() - wall))


# What a case has measured itself, to leave its preparations out.
_spent: list[tuple[float, float]] = []

CASES: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
    case.__name__: case for case in (spawn, spawn_with_pipes, spawn_together, spawn_from_2_gib)
}


TITLES = {
    "spawn": "begin `true` and wait for it",
    "spawn_with_pipes": "the same with two pipes",
    "spawn_together": "many at once",
    "spawn_from_2_gib": "from a process of 2 GiB",
}
"""What the cases are called where they are shown."""


def main() -> None:
    """One measurement in a process of its own."""
    name, case, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with asyncio.Runner(loop_factory=factory(name)) as runner:
        runner.run(spawn_with_pipes(10))  # warm
        cpu, wall = time.process_time(), time.perf_counter()
        runner.run(CASES[case](count))
        spent = time.process_time() - cpu, time.perf_counter() - wall
        print(*(_spent.pop() if _spent else spent))


if __name__ == "__main__":
    main()
