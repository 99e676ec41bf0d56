"""An echo server through `asyncio.Protocol`: `python -m benches.echo LOOP` prints its port, then its CPU seconds.

With `--tls CERTIFICATE`, a file with a certificate and its key, it serves TLS. It serves until its standard input ends;
what is counted begins with the first data, when all connections are open.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from benches.loops import NAMES, factory


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    began: float | None = None
    transport: Any  # uvloop's transports are no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        if Echo.began is None:
            Echo.began = time.process_time()
        self.transport.write(data)


async def serve(certificate: Path | None) -> None:
    """Serve until standard input ends."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(time.process_time() - (Echo.began or 0), flush=True)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benches.echo", description=__doc__)
    parser.add_argument("loop", choices=NAMES)
    parser.add_argument("--tls", type=Path)
    options = parser.parse_args()
    loop = factory(options.loop)()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve(options.tls))
