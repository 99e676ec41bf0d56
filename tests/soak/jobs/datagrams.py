"""Datagrams there and back. One at a time and small, so that the kernel has no reason to drop any."""

from __future__ import annotations

import asyncio
import sys
from random import Random
from typing import Any

from ..surroundings import Surroundings

# asyncio sends no empty datagram before Python 3.13: `sendto(b"")` does nothing.
SMALLEST = 0 if sys.version_info >= (3, 13) else 1


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.received.put_nowait(data)

    def error_received(self, error: Exception) -> None:
        raise AssertionError("an error was received") from error

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.cancelled():
            self.lost.set_result(error)


async def datagrams_come_back(around: Surroundings, chance: Random) -> None:
    loop = asyncio.get_running_loop()
    connected = chance.random() < 0.5
    where: dict[str, Any] = {"remote_addr": around.udp} if connected else {"local_addr": ("127.0.0.1", 0)}
    transport, endpoint = await loop.create_datagram_endpoint(_Endpoint, **where)
    try:
        for _ in range(chance.randint(1, 30)):
            data = chance.randbytes(chance.randint(SMALLEST, 1000))
            transport.sendto(data, None if connected else around.udp)
            assert await endpoint.received.get() == data
    finally:
        transport.close()
    assert await endpoint.lost is None
    assert endpoint.received.empty(), "more came back than was sent"
