"""How many bytes a thing takes: `python -m benches.memory LOOP CASE COUNT` prints the bytes of COUNT things, twice.

What is counted is memory that the process has in use (its resident set), after a few were made and forgotten once,
so that what is made once does not count.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benches.loops import factory

# Opens so many connections and keeps them until the first is closed.
CLIENT = """
import socket, sys
host, port, count = sys.argv[1:]
clients = [socket.create_connection((host, int(port))) for _ in range(int(count))]
clients[0].recv(1)
"""


def resident() -> int:
    """Bytes in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _wait(future: asyncio.Future[None]) -> None:
    await future


async def pending_task(count: int) -> int:
    """A task that waits for a future of its own."""
    loop = asyncio.get_running_loop()
    before = resident()
    futures = [loop.create_future() for _ in range(count)]
    tasks = [asyncio.ensure_future(_wait(future)) for future in futures]
    await asyncio.sleep(0)
    used = resident() - before
    for future in futures:
        future.set_result(None)
    await asyncio.wait(tasks)
    return used


async def timer(count: int) -> int:
    """A timer that is set."""
    loop = asyncio.get_running_loop()
    before = resident()
    handles = [loop.call_later(1000 + number, int) for number in range(count)]
    used = resident() - before
    for handle in handles:
        handle.cancel()
    return used


async def idle_connection(count: int) -> int:
    """An accepted connection with a protocol that waits for data; the other end is another process's."""
    loop = asyncio.get_running_loop()
    made: list[asyncio.BaseTransport] = []
    whole = loop.create_future()

    class Idle(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)
            if len(made) == count:
                whole.set_result(None)

    server = await loop.create_server(Idle, "127.0.0.1", 0, backlog=4096)
    address = server.sockets[0].getsockname()
    before = resident()
    client = subprocess.Popen([sys.executable, "-c", CLIENT, *map(str, address), str(count)])
    await whole
    used = resident() - before
    for transport in made:
        transport.close()
    server.close()
    while client.poll() is None:
        await asyncio.sleep(0.01)
    return used


CASES: dict[str, Callable[[int], Coroutine[Any, Any, int]]] = {
    case.__name__: case for case in (pending_task, timer, idle_connection)
}


COUNTS = {"pending_task": 50_000, "timer": 100_000, "idle_connection": 4_000}
"""How many of each."""


def main() -> None:
    """One measurement in a process of its own."""
    name, case, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with asyncio.Runner(loop_factory=factory(name)) as runner:
        runner.run(CASES[case](10))
        used = runner.run(CASES[case](count))
        print(used, used)


if __name__ == "__main__":
    main()
