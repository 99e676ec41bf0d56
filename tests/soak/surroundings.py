"""What jobs find around them: servers to talk to, contexts for TLS, files to send; and what the servers noticed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..certificates import contexts, make_certificate


@dataclass
class Connections:
    """How many connections the servers were told of, and how many they were told have ended."""

    made: int = 0
    lost: int = 0


class Echo(asyncio.Protocol):
    """Sends back what it gets, holding no more than a window of it; ends when the peer has."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._open = False

    def connection_made(self, transport: Any) -> None:
        assert not self._open, "made twice"
        self._open = True
        self._connections.made += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._open, "data after the end"
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        assert self._open, "lost twice"
        self._open = False
        self._connections.lost += 1


class DatagramEcho(asyncio.DatagramProtocol):
    """Sends every datagram back to where it came from."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._transport.sendto(data, address)


@dataclass
class Surroundings:
    """Addresses are what `create_connection` and its like take."""

    tcp: Any
    unix: str
    tls: Any
    upgrade: Any
    udp: Any
    client_context: ssl.SSLContext
    folder: Path
    connections: Connections = field(default_factory=Connections)


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[Surroundings]:
    """Start the servers; on the way out, end them and see that they let go of everything."""
    loop = asyncio.get_running_loop()
    server_context, client_context = contexts(make_certificate(folder))
    connections = Connections()

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Echo a line in plain text, then everything in TLS."""
        connections.made += 1
        try:
            writer.write(await reader.readuntil(b"\n"))
            await writer.start_tls(server_context)
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except (OSError, EOFError):
            pass  # the client was cancelled
        finally:
            connections.lost += 1
            writer.close()

    def echo() -> Echo:
        return Echo(connections)

    path = str(folder / "echo")
    async with AsyncExitStack() as stack:
        tcp = await stack.enter_async_context(await loop.create_server(echo, "127.0.0.1", 0))
        await stack.enter_async_context(await loop.create_unix_server(echo, path))
        tls = await stack.enter_async_context(await loop.create_server(echo, "127.0.0.1", 0, ssl=server_context))
        upgrading = await stack.enter_async_context(await asyncio.start_server(upgrade, "127.0.0.1", 0))
        datagrams, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=("127.0.0.1", 0))
        stack.callback(datagrams.close)
        yield Surroundings(
            tcp=tcp.sockets[0].getsockname(),
            unix=path,
            tls=tls.sockets[0].getsockname(),
            upgrade=upgrading.sockets[0].getsockname(),
            udp=datagrams.get_extra_info("sockname"),
            client_context=client_context,
            folder=folder,
            connections=connections,
        )
