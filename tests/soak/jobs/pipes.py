"""A pipe with one transport at each end."""

from __future__ import annotations

import asyncio
import os
from random import Random

from ..surroundings import Surroundings


class _Writing(asyncio.streams.FlowControlMixin):
    def __init__(self) -> None:
        super().__init__()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if not self.lost.cancelled():
            self.lost.set_result(error)


async def pipe_carries(_: Surroundings, chance: Random) -> None:
    loop = asyncio.get_running_loop()
    text = chance.randbytes(chance.choice([1, 1_000, 300_000]))
    source_fd, sink_fd = os.pipe()
    source, sink = open(source_fd, "rb", buffering=0), open(sink_fd, "wb", buffering=0)  # noqa: SIM115
    reader = asyncio.StreamReader()
    try:
        reading, _protocol = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    except BaseException:
        source.close()
        sink.close()
        raise
    try:
        writing, protocol = await loop.connect_write_pipe(_Writing, sink)
    except BaseException:
        reading.close()
        sink.close()
        raise
    try:
        for start in range(0, len(text), 50_000):
            writing.write(text[start : start + 50_000])
        writing.close()
        assert await reader.read() == text
        assert await protocol.lost is None
    finally:
        if not protocol.lost.done():  # asyncio's own transport cannot be aborted after its end
            writing.abort()
        reading.close()
