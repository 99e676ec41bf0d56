"""Connections that become TLS, TLS in TLS, and TLS that is asyncio's own over riata's transports."""

import asyncio
import gc
import os
import socket
import ssl
import weakref
from typing import Any

import pytest

from .recorder import MEGABYTE
from .secure import (
    Peer,
    Run,
    client_context,
    end,
    secured,
    server_context,
    with_peer,
)
from .streams import Recorder, connected


async def upgrade(client: Recorder, served: Recorder) -> None:
    """Makes both sides of a connection TLS (or TLS again)."""
    loop = asyncio.get_running_loop()
    client.transport, served.transport = await asyncio.gather(
        loop.start_tls(client.transport, client, client_context(), server_hostname="localhost"),
        loop.start_tls(served.transport, served, server_context(), server_side=True),
    )


async def talk(client: Recorder, served: Recorder, size: int = 300_000) -> None:
    """Sends and compares, both ways at once."""
    client.received.clear()
    served.received.clear()
    there, back = os.urandom(size), os.urandom(size)
    client.transport.write(there)
    served.transport.write(back)
    await served.until(size)
    await client.until(size)
    assert served.received == there
    assert client.received == back


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_tls_in_tls(run: Run, layers: int) -> None:
    async def main() -> None:
        client, served, server = await connected()
        await talk(client, served)
        for _ in range(layers):
            await upgrade(client, served)
            await talk(client, served)
        # What a turn writes to the innermost leaves in that turn, through all of them.
        for number in range(50):
            client.transport.write(b"%02d" % number)
        served.received.clear()
        await served.until(100)
        assert client.events.count("made") == 1
        client.transport.close()
        assert await client.lost is None
        assert await served.lost is None
        assert client.events.count("lost") == served.events.count("lost") == 1
        await end(server)

    run(main())


def test_a_tls_connection_that_is_upgraded(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        outer = client.transport
        await upgrade(client, served)
        await talk(client, served)
        assert client.transport._ssl_protocol._transport is outer
        assert client.transport.get_extra_info("ssl_object") is not outer.get_extra_info("ssl_object")
        assert client.transport.get_extra_info("peername") == outer.get_extra_info("peername")
        served.transport.abort()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_much_under_back_pressure_in_two_layers(run: Run) -> None:
    async def main() -> None:
        client, served, server = await connected()
        await upgrade(client, served)
        await upgrade(client, served)
        served.transport.pause_reading()
        text = os.urandom(MEGABYTE)
        count = 0
        while "pause" not in client.events:
            client.transport.write(text)
            count += 1
            await asyncio.sleep(0)
        served.transport.resume_reading()
        await served.until(count * MEGABYTE)
        assert served.received == text * count
        assert "resume" in client.events
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_streams_are_upgraded(run: Run) -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"upgrade\n"
            writer.write(b"now\n")
            await writer.start_tls(server_context())
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"upgrade\n")
        assert await reader.readline() == b"now\n"
        await writer.start_tls(client_context(), server_hostname="localhost")
        writer.write(b"secret\n")
        assert await reader.read() == b"SECRET\n"
        assert writer.get_extra_info("cipher")
        writer.close()
        await writer.wait_closed()
        await end(server)

    run(main())


def test_a_hello_that_came_with_the_request_for_tls() -> None:
    """asyncio does this since 3.14."""
    import riata

    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            while not reader._buffer:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            await writer.start_tls(server_context())
            writer.write(await reader.readexactly(5))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.setblocking(False)
        peer = Peer(sock, server_side=False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        await loop.sock_sendall(sock, b"STARTTLS\r\n" + peer.outgoing.read())
        await peer.handshake()
        await peer.send(b"hello")
        assert await peer.receive(5) == b"hello"
        await peer.receive_closing()
        sock.close()
        await end(server)

    riata.run(main())


def test_arguments_of_start_tls_are_checked(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        client, served, server = await connected()
        for wrong in (None, "context", ssl):
            with pytest.raises(TypeError, match=r"^sslcontext is expected to be an instance of ssl\.SSLContext, got "):
                await loop.start_tls(client.transport, client, wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="is not supported by start_tls"):
            await loop.start_tls(asyncio.Transport(), client, client_context())
        with pytest.raises(ValueError, match="ssl_handshake_timeout should be a positive number, got 0"):
            await loop.start_tls(client.transport, client, client_context(), ssl_handshake_timeout=0)
        await upgrade(client, served)
        await talk(client, served, 10)
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_asyncios_own_tls_over_our_transport(run: Run) -> None:
    async def asyncios(transport: Any, protocol: Any, context: ssl.SSLContext, **options: Any) -> Any:
        """What a library does that brings asyncio's SSLProtocol itself."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        below = asyncio.sslproto.SSLProtocol(loop, protocol, context, waiter, call_connection_made=False, **options)
        transport.set_protocol(below)
        below.connection_made(transport)
        await waiter
        return below._app_transport

    async def main() -> None:
        client, served, server = await connected()
        client.transport, served.transport = await asyncio.gather(
            asyncios(client.transport, client, client_context(), server_hostname="localhost"),
            asyncios(served.transport, served, server_context(), server_side=True),
        )
        await talk(client, served)
        await upgrade(client, served)  # by asyncio's code too
        await talk(client, served)
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_subclass_of_asyncios_protocol_by_composition(run: Run) -> None:
    """Libraries look at the class of what they are given."""

    async def main() -> None:
        transport, protocol, peer = await with_peer()
        assert isinstance(transport, asyncio.sslproto._SSLProtocolTransport)
        assert isinstance(transport._ssl_protocol, asyncio.sslproto.SSLProtocol)
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run(main())


def test_connections_that_have_ended_are_forgotten(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        await talk(client, served)
        kept = [weakref.ref(one.transport._ssl_protocol) for one in (client, served)]
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)
        del client, served, server
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        assert [reference() for reference in kept] == [None, None]

    run(main())
