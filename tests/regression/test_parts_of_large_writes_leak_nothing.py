"""PyO3's `PySlice::new` makes three numbers and never gives them back: each piece of a large write over TLS, and each
part of a `sock_sendall` that did not fit, left some for ever."""

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ..certificates import contexts, make_certificate

Run = Callable[[Coroutine[Any, Any, Any]], Any]

TEXT = b"x" * 1_000_000
TIMES = 100


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


async def grown(send: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """How many blocks of memory are there after many times that were not before."""
    for _ in range(10):
        await send()
    before = blocks()
    for _ in range(TIMES):
        await send()
    return blocks() - before


def test_tls(run: Run, tmp_path: Path) -> None:
    try:
        server_context, client_context = contexts(make_certificate(tmp_path))
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")

    async def main() -> int:
        async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.readexactly(len(TEXT)):
                    writer.write(b"!")
            except asyncio.IncompleteReadError:
                writer.close()

        server = await asyncio.start_server(sink, "127.0.0.1", 0, ssl=server_context)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client_context)

        async def send() -> None:
            writer.write(TEXT)
            assert await reader.readexactly(1) == b"!"

        result = await grown(send)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return result

    assert run(main()) < TIMES


def test_sock_sendall(run: Run) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)

            async def send() -> None:
                sending = asyncio.ensure_future(loop.sock_sendall(ours, TEXT))
                left = len(TEXT)
                while left:
                    left -= len(await loop.sock_recv(theirs, left))
                await sending

            return await grown(send)

    assert run(main()) < TIMES
