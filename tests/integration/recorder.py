"""A protocol that notes what it is told, for transports of every kind."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MEGABYTE = 1 << 20


class Recorder(asyncio.Protocol):
    """Notes what it is told, in order; does not hold its transport."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.received = bytearray()
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.received += data
        if self.events[-1] != "data":
            self.events.append("data")
        self.arrived.set()

    def eof_received(self) -> bool | None:
        self.events.append("eof")
        self.arrived.set()
        return None

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append("lost")
        self.lost.set_result(exc)

    async def until(self, count: int) -> None:
        """Waits until `count` bytes have arrived."""
        while len(self.received) < count:
            self.arrived.clear()
            await self.arrived.wait()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
