"""Echo over streams: plain, Unix, TLS, and plain upgraded to TLS."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

from ..surroundings import Surroundings

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(ends: Ends, chance: Random) -> None:
    """Send a random amount in random parts; it must come back unchanged. Now and then hang up half-way instead."""
    reader, writer = ends
    text = chance.randbytes(chance.choice([1, 100, 5_000, 200_000, 1_000_000]))
    hang_up_after = chance.randrange(len(text)) if chance.random() < 0.1 else None

    async def write() -> None:
        sent = 0
        while sent < len(text):
            part = text[sent : sent + chance.randint(1, 100_000)]
            writer.write(part)
            sent += len(part)
            if chance.random() < 0.5:
                await writer.drain()
            if chance.random() < 0.05:
                await asyncio.sleep(0.01 * chance.random())
        if writer.can_write_eof():
            writer.write_eof()

    try:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(write())
            if hang_up_after is not None:
                assert await reader.readexactly(hang_up_after) == text[:hang_up_after]
                writing.cancel()
                writer.transport.abort()
            else:
                assert await reader.readexactly(len(text)) == text
                await writing
                if writer.can_write_eof():
                    assert await reader.read() == b"", "more came back than was sent"
    except BaseException:
        # Both sides would wait for each other to read, if more is on the way than the buffers hold.
        if len(text) > 5_000:
            writer.transport.abort()
        raise
    finally:
        writer.close()
        # Errors of TLS are OSErrors too: data that comes after the end was announced is one.
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def tcp_echoes(around: Surroundings, chance: Random) -> None:
    await _echo(await asyncio.open_connection(*around.tcp), chance)


async def unix_echoes(around: Surroundings, chance: Random) -> None:
    await _echo(await asyncio.open_unix_connection(around.unix), chance)


async def tls_echoes(around: Surroundings, chance: Random) -> None:
    await _echo(await asyncio.open_connection(*around.tls, ssl=around.client_context), chance)


async def upgraded_echoes(around: Surroundings, chance: Random) -> None:
    reader, writer = await asyncio.open_connection(*around.upgrade)
    try:
        writer.write(b"plain\n")
        assert await reader.readline() == b"plain\n"
        await writer.start_tls(around.client_context)
    except BaseException:
        writer.close()
        raise
    await _echo((reader, writer), chance)
