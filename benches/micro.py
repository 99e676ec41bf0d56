"""Small things that a loop does often: `python -m benches.micro LOOP CASE COUNT` prints CPU and wall seconds.

A case is a function of a loop and a count, which does something so many times. Names are looked up in asyncio when they
are used, as programs do, so that `riata.install()` counts.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benches.loops import factory

Loop = asyncio.AbstractEventLoop


async def _nothing() -> None:
    pass


# Tasks and futures.


def sleep_zero(loop: Loop, count: int) -> None:
    """`await asyncio.sleep(0)` in one task."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def create_and_await(loop: Loop, count: int) -> None:
    """`await asyncio.create_task(coroutine())`, one after the other."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.create_task(_nothing())

    loop.run_until_complete(main())


def many_tasks(loop: Loop, count: int) -> None:
    """10,000 tasks at a time, each of which waits one turn."""

    async def once() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        for begin in range(0, count, 10_000):
            tasks = [asyncio.create_task(once()) for _ in range(min(10_000, count - begin))]
            for task in tasks:
                await task

    loop.run_until_complete(main())


def future(loop: Loop, count: int) -> None:
    """A future set by a callback while a task awaits it."""

    async def main() -> None:
        for _ in range(count):
            waiting = loop.create_future()
            loop.call_soon(waiting.set_result, None)
            await waiting

    loop.run_until_complete(main())


# Waiting for several, and for a time. Where ten are waited for, an operation is one of the ten.


def gather(loop: Loop, count: int) -> None:
    """`asyncio.gather` of 10 coroutines at a time."""

    async def main() -> None:
        for _ in range(count // 10):
            await asyncio.gather(*[_nothing() for _ in range(10)])

    loop.run_until_complete(main())


def wait(loop: Loop, count: int) -> None:
    """`asyncio.wait` for 10 tasks at a time."""

    async def main() -> None:
        for _ in range(count // 10):
            await asyncio.wait([asyncio.create_task(_nothing()) for _ in range(10)])

    loop.run_until_complete(main())


def as_completed(loop: Loop, count: int) -> None:
    """`asyncio.as_completed` over 10 coroutines at a time."""

    async def main() -> None:
        for _ in range(count // 10):
            for next_one in asyncio.as_completed([_nothing() for _ in range(10)]):
                await next_one

    loop.run_until_complete(main())


def task_group(loop: Loop, count: int) -> None:
    """`asyncio.TaskGroup` with 10 tasks."""

    async def main() -> None:
        for _ in range(count // 10):
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(_nothing())

    loop.run_until_complete(main())


def shield(loop: Loop, count: int) -> None:
    """`await asyncio.shield(coroutine())`."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.shield(_nothing())

    loop.run_until_complete(main())


def wait_for(loop: Loop, count: int) -> None:
    """`asyncio.wait_for` of something that waits one turn, in time."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.wait_for(asyncio.sleep(0), 10)

    loop.run_until_complete(main())


def timeout(loop: Loop, count: int) -> None:
    """`async with asyncio.timeout(10)`, left at once."""

    async def main() -> None:
        for _ in range(count):
            async with asyncio.timeout(10):
                pass

    loop.run_until_complete(main())


def sleep(loop: Loop, count: int) -> None:
    """`asyncio.sleep` of 10 µs in 100 tasks at a time."""

    async def main() -> None:
        for _ in range(count // 100):
            tasks = [asyncio.create_task(asyncio.sleep(0.00001)) for _ in range(100)]
            for task in tasks:
                await task

    loop.run_until_complete(main())


# Locks and queues.


def lock(loop: Loop, count: int) -> None:
    """`async with lock` that nobody else wants."""

    async def main() -> None:
        lock = asyncio.Lock()
        for _ in range(count):
            async with lock:
                pass

    loop.run_until_complete(main())


def lock_handed_over(loop: Loop, count: int) -> None:
    """A lock that 10 tasks want at a time."""

    async def want(lock: asyncio.Lock) -> None:
        for _ in range(count // 10):
            async with lock:
                await asyncio.sleep(0)

    async def main() -> None:
        lock = asyncio.Lock()
        await asyncio.gather(*[want(lock) for _ in range(10)])

    loop.run_until_complete(main())


def event(loop: Loop, count: int) -> None:
    """An event set for a task that waits for it."""

    async def main() -> None:
        event = asyncio.Event()

        async def wait() -> None:
            for _ in range(count):
                await event.wait()
                event.clear()

        waiting = asyncio.create_task(wait())
        while not waiting.done():
            event.set()
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def queue(loop: Loop, count: int) -> None:
    """An item to and fro between two tasks, by two queues; an operation is one way."""

    async def main() -> None:
        there: asyncio.Queue[int] = asyncio.Queue()
        back: asyncio.Queue[int] = asyncio.Queue()

        async def answer() -> None:
            for _ in range(count // 2):
                await back.put(await there.get())

        answering = asyncio.create_task(answer())
        for number in range(count // 2):
            await there.put(number)
            await back.get()
        await answering

    loop.run_until_complete(main())


# Callbacks.


def call_soon(loop: Loop, count: int) -> None:
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


def call_soon_batch(loop: Loop, count: int) -> None:
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


def call_soon_threadsafe(loop: Loop, count: int) -> None:
    """Callbacks from another thread, as fast as it can."""

    def callback() -> None:
        pass

    def send() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(callback)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=send)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()


def timers_cancelled(loop: Loop, count: int) -> None:
    """Timers set and cancelled, 1,000 at a time."""

    def callback() -> None:
        pass

    for _ in range(count // 1000):
        for handle in [loop.call_later(10 + n, callback) for n in range(1000)]:
            handle.cancel()
        loop.call_soon(loop.stop)
        loop.run_forever()


def timers_fired(loop: Loop, count: int) -> None:
    """Timers that fire, 1,000 at a time."""

    def callback() -> None:
        pass

    for _ in range(count // 1000):
        for n in range(999):
            loop.call_later(n * 1e-7, callback)
        loop.call_later(0.0002, loop.stop)
        loop.run_forever()


# Threads and sockets.


def executor(loop: Loop, count: int) -> None:
    """`run_in_executor` there and back, one after the other; one tenth of the count."""

    async def main() -> None:
        for _ in range(count // 10):
            await loop.run_in_executor(None, int)

    loop.run_until_complete(main())


class _Echo(asyncio.Protocol):
    """Sends what comes back, until enough came."""

    transport: Any  # uvloop's transports are no asyncio.Transport

    def __init__(self, count: int, done: asyncio.Future[None]) -> None:
        self.left = count
        self.done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.left -= 1
        if self.left > 0:
            self.transport.write(data)
        elif not self.done.done():
            self.done.set_result(None)


def socket_pair(loop: Loop, count: int) -> None:
    """A message to and fro between two transports; an operation is one way."""

    async def main() -> None:
        ends = []
        done = loop.create_future()
        for sock in socket.socketpair():
            sock.setblocking(False)
            ends.append(await loop.create_connection(lambda: _Echo(count // 2, done), sock=sock))
        ends[0][0].write(b"x" * 100)
        await done
        for transport, _ in ends:
            transport.close()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())


def churn(loop: Loop, count: int) -> None:
    """A TCP connection opened, accepted and closed; one hundredth of the count."""

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        for _ in range(count // 100):
            transport, _ = await loop.create_connection(asyncio.Protocol, *address)
            transport.close()
        await asyncio.sleep(0.01)
        server.close()

    loop.run_until_complete(main())


LESS = {"executor": 10, "churn": 100}
"""Of which cases an operation is counted for so many."""

CASES: dict[str, Callable[[Loop, int], None]] = {
    case.__name__: case
    for case in (
        sleep_zero,
        create_and_await,
        many_tasks,
        future,
        gather,
        wait,
        as_completed,
        task_group,
        shield,
        wait_for,
        timeout,
        sleep,
        lock,
        lock_handed_over,
        event,
        queue,
        call_soon,
        call_soon_batch,
        call_soon_threadsafe,
        timers_cancelled,
        timers_fired,
        executor,
        socket_pair,
        churn,
    )
}

TITLES = {
    "sleep_zero": "sleep(0)",
    "create_and_await": "create a task and await it",
    "many_tasks": "10,000 tasks",
    "future": "a future set and awaited",
    "gather": "gather of 10",
    "wait": "wait for 10",
    "as_completed": "as_completed of 10",
    "task_group": "TaskGroup of 10",
    "sleep": "sleep(10 µs) in 100 tasks",
    "lock": "a lock that nobody else wants",
    "lock_handed_over": "a lock handed over",
    "event": "an event set and awaited",
    "queue": "a queue, to and fro",
    "call_soon": "call_soon, one a turn",
    "call_soon_batch": "call_soon, 1,000 a turn",
    "timers_cancelled": "timers cancelled",
    "timers_fired": "timers fired",
    "executor": "an executor, there and back",
    "socket_pair": "a socket pair",
    "churn": "a connection opened and closed",
}
"""What the cases are called where they are shown; the others by their names."""


def main() -> None:
    """One measurement in a process of its own."""
    name, case, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    loop = factory(name)()
    asyncio.set_event_loop(loop)
    CASES[case](loop, count // 10)  # warm
    cpu, wall = time.process_time(), time.perf_counter()
    CASES[case](loop, count)
    scale = LESS.get(case, 1)
    print((time.process_time() - cpu) * scale, (time.perf_counter() - wall) * scale)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


if __name__ == "__main__":
    main()
