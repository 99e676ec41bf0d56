"""asyncio's streams, with the native ones in front, and the functions that make them.

Each class has two bases: the native one, through which the bytes go, and asyncio's own of the Python at hand, which
does the rest.
"""

from __future__ import annotations

import asyncio
import types
from asyncio import streams
from collections.abc import Awaitable, Callable
from typing import Any

from riata import _native

DEFAULT_LIMIT = 2**16
"""Bytes: the longest line, and half of what is kept before a transport is paused; asyncio's number."""


class StreamReader(_native.StreamReader, streams.StreamReader):
    """`asyncio.StreamReader`, native."""


class StreamWriter(_native.StreamWriter, streams.StreamWriter):
    """`asyncio.StreamWriter`, native."""


def _making_ours(method: Any) -> Any:
    """The method of asyncio's, whose `StreamWriter` is riata's always."""
    return types.FunctionType(
        method.__code__,
        {**method.__globals__, "StreamWriter": StreamWriter},
        method.__name__,
        method.__defaults__,
        method.__closure__,
    )


class StreamReaderProtocol(_native.StreamReaderProtocol, streams.StreamReaderProtocol):
    """`asyncio.StreamReaderProtocol`, native."""

    connection_made = _making_ours(streams.StreamReaderProtocol.connection_made)


Connected = Callable[[StreamReader, StreamWriter], Awaitable[None] | None]


def _protocol_factory(connected: Connected, limit: int) -> Callable[[], StreamReaderProtocol]:
    loop = asyncio.get_running_loop()

    def factory() -> StreamReaderProtocol:
        reader = StreamReader(limit=limit, loop=loop)
        return StreamReaderProtocol(reader, connected, loop=loop)  # type: ignore[arg-type]

    return factory


async def _open(
    connect: Callable[..., Any], limit: int, *args: Any, **options: Any
) -> tuple[StreamReader, StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await connect(lambda: protocol, *args, **options)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def open_connection(
    host: str | None = None, port: int | str | None = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """`asyncio.open_connection` with native streams: connect over TCP, as `loop.create_connection` does.

    `limit` is in bytes: the longest line, and half of what is kept before the transport is paused.

    Raises:
        OSError: the connection could not be made.
    """
    connect = asyncio.get_running_loop().create_connection
    return await _open(connect, limit, host, port, **kwds)


async def start_server(
    client_connected_cb: Connected,
    host: Any = None,
    port: int | str | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> asyncio.Server:
    """`asyncio.start_server` with native streams: serve over TCP, as `loop.create_server` does.

    `client_connected_cb` is called with a reader and a writer for each connection; a coroutine becomes a task.
    `limit` is in bytes: the longest line, and half of what is kept before a transport is paused.

    Raises:
        OSError: the address cannot be had.
    """
    serve: Any = asyncio.get_running_loop().create_server
    server: asyncio.Server = await serve(_protocol_factory(client_connected_cb, limit), host, port, **kwds)
    return server


async def open_unix_connection(
    path: Any = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """`open_connection` over a Unix socket. See `loop.create_unix_connection`."""
    connect = asyncio.get_running_loop().create_unix_connection
    return await _open(connect, limit, path, **kwds)


async def start_unix_server(
    client_connected_cb: Connected, path: Any = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> asyncio.Server:
    """`start_server` on a Unix socket. See `loop.create_unix_server`."""
    serve: Any = asyncio.get_running_loop().create_unix_server
    server: asyncio.Server = await serve(_protocol_factory(client_connected_cb, limit), path, **kwds)
    return server
