"""A refused connection's exception held itself: its traceback has a frame that had the future whose exception it is.

anyio's tests ask who refers to it (CPython gh-124858 is the same of asyncio's happy eyeballs).
"""

import asyncio
import gc
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

Run = Callable[[Coroutine[Any, Any, None]], None]


async def by_a_socket(address: tuple[str, int]) -> None:
    with socket.socket() as client:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, address)


async def by_a_transport(address: tuple[str, int]) -> None:
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, *address)


@pytest.mark.parametrize("connect", [by_a_socket, by_a_transport])
def test_no_future_refers_to_it(run: Run, connect: Callable[[tuple[str, int]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            try:
                await connect(nobody.getsockname())
            except OSError as error:
                refused = error
        await asyncio.sleep(0)  # what woke this task has it still
        assert isinstance(refused, ConnectionRefusedError)
        assert [holder for holder in gc.get_referrers(refused) if asyncio.isfuture(holder)] == []

    run(main())
