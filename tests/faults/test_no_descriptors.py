"""EMFILE where a descriptor is asked for: the caller is told, nothing is left open, and it works once there are some.

Accepting is in `integration/test_transport_server.py`.
"""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from ..integration.streams import Recorder, failures

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@contextlib.contextmanager
def descriptors(more: int) -> Iterator[None]:
    """Inside, only `more` further descriptors can be had."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(more)]
    first = os.dup(0)
    for fd in (*taken, first):
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def ended(protocol: Any) -> None:
    protocol.transport.close()
    await protocol.lost


async def connection(address: Any) -> None:
    _, protocol = await asyncio.get_running_loop().create_connection(Recorder, *address)
    await ended(protocol)


async def datagrams(_: Any) -> None:
    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.lost = asyncio.get_running_loop().create_future()
            self.transport = transport

        def connection_lost(self, error: Exception | None) -> None:
            self.lost.set_result(error)

    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    await ended(protocol)


async def server(_: Any) -> None:
    made = await asyncio.get_running_loop().create_server(Recorder, "127.0.0.1", 0)
    made.close()
    await made.wait_closed()


async def child(_: Any) -> None:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-c", "pass"]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    await process.communicate()


@pytest.mark.parametrize("more", [0, 1, 3, 5])
@pytest.mark.parametrize("use", [connection, datagrams, server, child], ids=lambda use: use.__name__)
def test_a_use_that_finds_none(run: Run, use: Callable[[Any], Awaitable[None]], more: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            await use(address)  # what is opened once and kept (a thread's, a watcher's) is open now
            told = failures(loop)
            before = open_fds()
            with descriptors(more):
                (outcome,) = await asyncio.gather(use(address), return_exceptions=True)
            if outcome is None:
                assert more > 0 or use is server, "only create_server, to Python 3.12, serves on no socket then"
            else:
                assert isinstance(outcome, OSError)
                # create_server tells in words: it tries every address.
                assert outcome.errno == errno.EMFILE or str(outcome).startswith("could not bind on any address")
            for _ in range(5):
                await asyncio.sleep(0)
            assert open_fds() <= before, "left open"
            await use(address)
            assert not told

    run(main())
