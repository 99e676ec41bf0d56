"""Peers that reset a TCP connection: while it is made, when it is half-closed, while it is written to.

The states of an established transport are in `integration/test_transport.py`; here are those on the way there, and
what coroutines see of a reset.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ..integration.streams import MEGABYTE, Recorder, failures

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def reset(sock: socket.socket) -> None:
    """Close so that the peer reads ECONNRESET."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def listener(backlog: int = 100) -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0), backlog=backlog)
    sock.setblocking(False)
    return sock


async def raw_client(address: Any) -> socket.socket:
    """A plain socket that is connected to `address`."""
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


@pytest.mark.parametrize("how", ["create_connection", "open_connection", "sock_connect"])
def test_nobody_listens(run: Run, how: str) -> None:
    """The kernel answers the first packet with a reset."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        with listener() as sock:
            address = sock.getsockname()
        connect: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "create_connection": lambda: loop.create_connection(Recorder, *address),
            "open_connection": lambda: asyncio.open_connection(*address),
            "sock_connect": lambda: raw_client(address),
        }
        with pytest.raises(ConnectionRefusedError):
            await connect[how]()
        assert not told

    run(main())


def test_a_listener_that_goes_away_with_the_connection_in_its_queue(run: Run) -> None:
    """The connection is made as far as the client can see; nobody ever accepts it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        with listener() as sock:
            _, protocol = await loop.create_connection(Recorder, *sock.getsockname())
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert protocol.events == ["made", "lost"]
        assert not told

    run(main())


def test_a_client_that_resets_while_it_waits_to_be_accepted(run: Run) -> None:
    """The server accepts a connection that is dead already, and goes on with the next."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        protocols: list[Recorder] = []

        def factory() -> Recorder:
            protocols.append(Recorder())
            return protocols[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, start_serving=False)
        address = server.sockets[0].getsockname()
        server.sockets[0]._sock.listen(100)  # type: ignore[attr-defined]
        reset(await raw_client(address))
        last = await raw_client(address)
        await server.start_serving()
        await loop.sock_sendall(last, b"still there")
        while not (protocols and protocols[-1].received):
            await asyncio.sleep(0)
        assert protocols[-1].received == b"still there"
        last.close()
        await asyncio.gather(*(protocol.lost for protocol in protocols))
        assert not told
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("ended", ["ours", "theirs"])
def test_a_reset_of_a_half_closed_connection(run: Run, ended: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        with listener() as sock:
            transport, protocol = await loop.create_connection(Recorder, *sock.getsockname())
            peer, _ = await loop.sock_accept(sock)
        if ended == "ours":
            transport.write_eof()
            assert await loop.sock_recv(peer, 1) == b""
        else:
            protocol.keep_open = True
            peer.shutdown(socket.SHUT_WR)
            while "eof" not in protocol.events:
                await asyncio.sleep(0)
        reset(peer)
        if ended == "theirs":  # There is nothing left to read: the next write finds out.
            while not protocol.lost.done():
                transport.write(b"anybody?")
                await asyncio.sleep(0)
        assert isinstance(await protocol.lost, ConnectionError)
        assert protocol.events[-1] == "lost"
        assert protocol.events.count("lost") == 1
        assert not told

    run(main())


@pytest.mark.parametrize("waiting_for", ["read", "drain", "sock_recv", "sock_sendall"])
def test_a_coroutine_that_waits_is_told_of_the_reset(run: Run, waiting_for: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        writer = client = None
        with listener() as sock:
            address = sock.getsockname()
            if waiting_for in ("read", "drain"):
                reader, writer = await asyncio.open_connection(*address)
            else:
                client = await raw_client(address)
            peer, _ = await loop.sock_accept(sock)

        async def wait() -> None:
            if waiting_for == "read":
                await reader.read(1)
            elif waiting_for == "drain":
                assert writer is not None
                writer.write(b"x" * 32 * MEGABYTE)
                await writer.drain()
            elif waiting_for == "sock_recv":
                assert client is not None
                await loop.sock_recv(client, 1)
            else:
                assert client is not None
                await loop.sock_sendall(client, b"x" * 32 * MEGABYTE)

        waiting = loop.create_task(wait())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        reset(peer)
        with pytest.raises(ConnectionError):
            await waiting
        if writer is not None:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        if client is not None:
            client.close()
        assert not told

    run(main())
