"""Endpoints for datagrams, and a protocol that notes what it is told."""

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[[Coroutine[Any, Any, Any]], Any]
LOCAL = ("127.0.0.1", 0)
EMPTY_DATAGRAMS = sys.version_info >= (3, 13)


class Recorder(asyncio.DatagramProtocol):
    """Notes what it is told."""

    transport: Any

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.news = asyncio.Event()
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def note(self, *what: Any) -> None:
        self.told.append(what)
        self.news.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.note("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.note(data, addr)

    def error_received(self, exc: BaseException) -> None:
        self.note("error", exc)

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.note("lost")
        self.lost.set_result(exc)

    async def until(self, count: int) -> list[Any]:
        """Wait until it was told `count` things after `connection_made`."""
        while len(self.told) <= count:
            self.news.clear()
            await self.news.wait()
        return self.told[1:]


async def endpoint(factory: Callable[[], Any] = Recorder, **options: Any) -> tuple[Any, Any]:
    if not options:
        options["local_addr"] = LOCAL
    return await asyncio.get_running_loop().create_datagram_endpoint(factory, **options)


async def ended(*transports: Any) -> None:
    for transport in transports:
        protocol = transport.get_protocol()
        transport.close()
        if protocol is not None:
            assert await protocol.lost is None


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def bound_pair(tmp_path: Path) -> tuple[Any, Any, socket.socket]:
    """An endpoint that has no room to send, its protocol, and the socket that it is connected to."""
    theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.bind(str(tmp_path / "theirs"))
    transport, protocol = await endpoint(family=socket.AF_UNIX, remote_addr=str(tmp_path / "theirs"))
    while not transport.get_write_buffer_size():
        transport.sendto(b"full")
    return transport, protocol, theirs


def reports(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    return told
