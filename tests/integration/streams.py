"""Protocols that note what they are told, and connections to try stream transports with."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from tests.integration import recorder
from tests.integration.recorder import MEGABYTE


class Recorder(recorder.Recorder):
    """Knows its transport, too, and may keep it open after the peer's end."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: Any = None
        self.keep_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        super().connection_made(transport)

    def eof_received(self) -> bool:
        super().eof_received()
        return self.keep_open


def failures(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What the loop's exception handler is told from now on."""
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    return told


async def pair(factory: Callable[[], Any] = Recorder) -> tuple[Any, Any, socket.socket]:
    """A transport with its protocol, and the other end as a socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
    return transport, protocol, theirs


async def receive_all(sock: socket.socket) -> bytes:
    received = bytearray()
    while data := await asyncio.get_running_loop().sock_recv(sock, MEGABYTE):
        received += data
    return bytes(received)


async def connected() -> tuple[Recorder, Recorder, asyncio.Server]:
    """Both ends of a TCP connection, as protocols: the client's and the server's."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Recorder] = loop.create_future()

    class Accepted(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.set_result(self)

    server = await loop.create_server(Accepted, "127.0.0.1", 0)
    _, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    return client, await accepted, server


def reset(transport: Any) -> None:
    """Ends a TCP connection so that the peer reads ECONNRESET."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
