"""A websockets echo over TLS: many connections, big messages, pings, and both ends closing."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK


def test_echo_over_tls(run: Callable[..., Any], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            if message == "close":
                await connection.close(4000, "as asked")
            elif message == "abort":
                connection.transport.abort()
            else:
                await connection.send(message)

    async def main() -> None:
        async with serve(echo, "127.0.0.1", 0, ssl=server_tls, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]

            def client() -> Any:
                return connect(f"wss://localhost:{port}", ssl=client_tls, max_size=None)

            async def talk(number: int) -> None:
                async with client() as connection:
                    for turn in range(50):
                        text = f"{number}: {turn}"
                        await connection.send(text)
                        assert await connection.recv() == text

            await asyncio.gather(*(talk(number) for number in range(40)))
            async with client() as connection:
                noise = os.urandom(5_000_000)
                await connection.send(noise)
                assert await connection.recv() == noise
                await (await connection.ping())
                await connection.send("close")
                with pytest.raises(ConnectionClosedError) as closed:
                    await connection.recv()
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as asked")
            async with client() as connection:
                await connection.send("abort")
                with pytest.raises(ConnectionClosedError):
                    await connection.recv()
            async with client() as connection:
                await connection.close()
                with pytest.raises(ConnectionClosedOK):
                    await connection.recv()

    run(main())
