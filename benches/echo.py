"""An echo server through `asyncio.Protocol`: `python -m benches.echo LOOP` prints its port, then its CPU seconds.

It serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from benches.loops import factory


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    transport: Any  # uvloop's transports are no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    begin = time.process_time()
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(time.process_time() - begin, flush=True)
    server.close()


if __name__ == "__main__":
    loop = factory(sys.argv[1])()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve())
