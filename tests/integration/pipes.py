"""Pipe transports, and protocols that note what they are told."""

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from typing import IO, Any

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MEGABYTE = 1 << 20


class Recorder(asyncio.Protocol):
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
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

    def eof_received(self) -> None:
        self.events.append("eof")
        self.arrived.set()

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append("lost")
        self.lost.set_result(exc)

    async def until(self, count: int) -> None:
        while len(self.received) < count:
            self.arrived.clear()
            await self.arrived.wait()


class Counting:
    """A pipe object that counts how often it is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.closes = 0

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        self.closes += 1
        os.close(self.fd)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def reading(pipe: Any, factory: Callable[[], Any] = Recorder) -> tuple[Any, Any]:
    return await asyncio.get_running_loop().connect_read_pipe(factory, pipe)


async def writing(pipe: Any, factory: Callable[[], Any] = Recorder) -> tuple[Any, Any]:
    return await asyncio.get_running_loop().connect_write_pipe(factory, pipe)


def unbuffered(file: int | str, mode: str) -> IO[bytes]:
    return open(file, mode, 0)


def forget(held: list[Any]) -> None:
    """Drops what is held, and whatever is left in cycles."""
    held.clear()
    gc.collect()


def pipe_objects() -> tuple[IO[bytes], IO[bytes]]:
    reader, writer = os.pipe()
    return unbuffered(reader, "rb"), unbuffered(writer, "wb")


async def read_until_would_block(fd: int, count: int) -> bytes:
    """Reads `count` bytes from a non-blocking descriptor while the loop turns."""
    data = bytearray()
    while len(data) < count:
        try:
            data += os.read(fd, count - len(data))
        except BlockingIOError:
            await asyncio.sleep(0)
    return bytes(data)
