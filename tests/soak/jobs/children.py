"""Child processes: what they echo, how they end, and by what they are killed."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from ..surroundings import Surroundings


@asynccontextmanager
async def _child(*command: str) -> AsyncIterator[Process]:
    """A child with pipes, which is gone on the way out, whatever happened."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # wait() waits for the pipes too, and nobody would read them


async def child_echoes(_: Surroundings, chance: Random) -> None:
    text = chance.randbytes(chance.choice([0, 1_000, 300_000]))
    async with _child("cat") as process:
        assert await process.communicate(text) == (text, b"")
        assert process.returncode == 0


async def child_ends(_: Surroundings, chance: Random) -> None:
    status = chance.randrange(256)
    async with _child("sh", "-c", f"echo out; echo err >&2; exit {status}") as process:
        assert await process.communicate() == (b"out\n", b"err\n")
        assert process.returncode == status


async def child_is_killed(_: Surroundings, chance: Random) -> None:
    # Not SIGINT: a shell that runs us in the background has it ignored, by our children too.
    number = chance.choice([signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
    async with _child("sleep", "100") as process:
        process.send_signal(number)
        assert await process.wait() == -number
