"""Small things that a loop does often: `python -m benches.micro LOOP CASE COUNT` prints CPU seconds.

A case is a function of a loop and a count, which does something so many times.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from benches.loops import factory


async def _nothing() -> None:
    pass


def sleep_zero(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """`await asyncio.sleep(0)` in one task."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def create_and_await(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """`await asyncio.create_task(coroutine())`, one after the other."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.create_task(_nothing())

    loop.run_until_complete(main())


def gather(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """`asyncio.gather` of 100 coroutines at a time."""

    async def main() -> None:
        for _ in range(count // 100):
            await asyncio.gather(*[_nothing() for _ in range(100)])

    loop.run_until_complete(main())


def future(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """A future set by a callback while a task awaits it."""

    async def main() -> None:
        for _ in range(count):
            waiting = loop.create_future()
            loop.call_soon(waiting.set_result, None)
            await waiting

    loop.run_until_complete(main())


def call_soon(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """A callback that schedules itself with `call_soon`."""
    left = count

    def callback() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(callback)
        else:
            loop.stop()

    loop.call_soon(callback)
    loop.run_forever()


def call_soon_batch(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """1,000 callbacks a turn, by `call_soon`."""

    def callback() -> None:
        pass

    def fill(left: int) -> None:
        for _ in range(1000):
            loop.call_soon(callback)
        if left > 1000:
            loop.call_soon(fill, left - 1000)
        else:
            loop.call_soon(loop.stop)

    loop.call_soon(fill, count)
    loop.run_forever()


def timers(loop: asyncio.AbstractEventLoop, count: int) -> None:
    """Timers set and cancelled, 1,000 at a time."""

    def callback() -> None:
        pass

    for _ in range(count // 1000):
        for handle in [loop.call_later(10 + n, callback) for n in range(1000)]:
            handle.cancel()
        loop.call_soon(loop.stop)
        loop.run_forever()


CASES: dict[str, Callable[[asyncio.AbstractEventLoop, int], None]] = {
    case.__name__: case for case in (sleep_zero, create_and_await, gather, future, call_soon, call_soon_batch, timers)
}


def main() -> None:
    """One measurement in a process of its own."""
    name, case, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    loop = factory(name)()
    asyncio.set_event_loop(loop)
    CASES[case](loop, count // 10)  # warm
    begin = time.process_time()
    CASES[case](loop, count)
    print(time.process_time() - begin)
    loop.close()


if __name__ == "__main__":
    main()
