"""Peers that reset a TLS connection, before its handshake, in it, and in every state after it."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ..certificates import contexts
from ..integration.streams import MEGABYTE, Recorder, failures, reset

Run = Callable[[Coroutine[Any, Any, Any]], Any]

STAGES = ["at once", "after the hello", "in the flight"]


def reset_socket(sock: socket.socket) -> None:
    """Close so that the peer reads ECONNRESET."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Handshake:
    """One side of a handshake on memory: what it wants sent, for what it was given."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)

    def step(self, received: bytes = b"") -> bytes:
        """Go on with what was received; what is to be sent now."""
        self._incoming.write(received)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._object.do_handshake()
        return self._outgoing.read()


async def reset_as_server(peer: socket.socket, context: ssl.SSLContext, stage: str) -> None:
    """Play the server as far as `stage`, and reset."""
    loop = asyncio.get_running_loop()
    if stage != "at once":
        hello = await loop.sock_recv(peer, MEGABYTE)
        if stage == "in the flight":
            flight = Handshake(context, server_side=True).step(hello)
            await loop.sock_sendall(peer, flight[: len(flight) // 2])
    reset_socket(peer)


async def reset_as_client(peer: socket.socket, context: ssl.SSLContext, stage: str) -> None:
    """Play the client as far as `stage`, and reset."""
    loop = asyncio.get_running_loop()
    handshake = Handshake(context, server_side=False)
    if stage == "after the hello":
        await loop.sock_sendall(peer, handshake.step())
        await loop.sock_recv(peer, 1)  # the server has answered
    elif stage == "in the flight":
        hello = handshake.step()
        await loop.sock_sendall(peer, hello[: len(hello) // 2])
    reset_socket(peer)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["create_connection", "start_tls"])
def test_a_server_that_resets_in_the_handshake(run: Run, certificate: Path, how: str, stage: str) -> None:
    server_context, client_context = contexts(certificate)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        protocols: list[Recorder] = []

        def factory() -> Recorder:
            protocols.append(Recorder())
            return protocols[-1]

        async def connect(address: Any) -> None:
            if how == "create_connection":
                await loop.create_connection(factory, *address, ssl=client_context)
            else:
                transport, protocol = await loop.create_connection(factory, *address)
                await loop.start_tls(transport, protocol, client_context)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            connecting = loop.create_task(connect(listener.getsockname()))
            peer, _ = await loop.sock_accept(listener)
        await reset_as_server(peer, server_context, stage)
        with pytest.raises(ConnectionError):
            await connecting
        for _ in range(5):
            await asyncio.sleep(0)
        if how == "create_connection":
            assert [protocol.events for protocol in protocols] == [[]], "it never was connected"
        assert not told

    run(main())


@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_resets_in_the_handshake(run: Run, certificate: Path, stage: str) -> None:
    """It costs nobody but itself: the server goes on."""
    server_context, client_context = contexts(certificate)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        protocols: list[Recorder] = []

        class Accepted(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                protocols.append(self)

        server = await loop.create_server(Accepted, "127.0.0.1", 0, ssl=server_context)
        address = server.sockets[0].getsockname()
        for _ in range(5):
            peer = socket.socket()
            peer.setblocking(False)
            await loop.sock_connect(peer, address)
            await reset_as_client(peer, client_context, stage)
        transport, client = await loop.create_connection(Recorder, *address, ssl=client_context)
        transport.write(b"well")
        while not protocols:
            await asyncio.sleep(0)
        await protocols[0].until(4)
        transport.close()
        assert await client.lost is None
        assert await protocols[0].lost is None
        assert len(protocols) == 1
        assert not told, "asyncio tells of these in debug mode only"
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("state", ["reading", "paused", "writing", "closing", "writing and closing"])
def test_a_reset_in_every_state_after_the_handshake(run: Run, certificate: Path, state: str) -> None:
    server_context, client_context = contexts(certificate)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        accepted: asyncio.Future[Recorder] = loop.create_future()

        class Accepted(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                accepted.set_result(self)

        server = await loop.create_server(Accepted, "127.0.0.1", 0, ssl=server_context)
        transport, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname(), ssl=client_context)
        peer = await accepted
        if state == "paused":
            transport.pause_reading()
        if "writing" in state:
            peer.transport.pause_reading()
            transport.write(b"x" * 32 * MEGABYTE)
        if "closing" in state:
            transport.close()
        reset(peer.transport)
        await peer.lost
        if state == "paused":
            for _ in range(5):
                await asyncio.sleep(0)
            transport.resume_reading()
        error = await client.lost
        assert error is None or isinstance(error, ConnectionError)
        if "closing" not in state:
            assert isinstance(error, ConnectionError)
        assert client.events.count("lost") == 1
        assert client.events[-1] == "lost"
        assert transport.is_closing()
        transport.write(b"to nobody")
        for _ in range(5):
            await asyncio.sleep(0)
        assert client.events.count("lost") == 1
        assert not told
        server.close()
        await server.wait_closed()

    run(main())
