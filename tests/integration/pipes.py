"""Pipe transports, and what to try them with; their protocols note what they are told, as those of sockets do."""

import asyncio
import gc
import os
from collections.abc import Callable
from typing import IO, Any

from tests.integration.recorder import Recorder


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
