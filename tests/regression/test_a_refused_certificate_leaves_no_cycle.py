"""A TLS handshake that failed is over: what it was made of dies at once, and is not left to the collector.

asyncio's own left the exception's traceback and the transports in a cycle until 3.14 (CPython gh-159049).
"""

import asyncio
import gc
import ssl
import weakref
from pathlib import Path

import pytest

import riata

from ..certificates import contexts, make_certificate


def test_a_refused_certificate_leaves_no_cycle(tmp_path: Path) -> None:
    try:
        server_context, _ = contexts(make_certificate(tmp_path))
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    clients: list[weakref.ref[asyncio.Protocol]] = []

    class Client(asyncio.Protocol):
        def __init__(self) -> None:
            clients.append(weakref.ref(self))

    async def refuse(port: int) -> None:
        loop = asyncio.get_running_loop()
        trusts_nobody = ssl.create_default_context()
        try:  # not pytest.raises, which keeps the traceback
            await loop.create_connection(Client, "127.0.0.1", port, ssl=trusts_nobody, server_hostname="localhost")
        except ssl.SSLCertVerificationError:
            return
        pytest.fail("the certificate was not refused")

    async def main() -> list[asyncio.Protocol | None]:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_context)
        async with server:
            gc.collect()
            gc.disable()
            try:
                await refuse(server.sockets[0].getsockname()[1])
                await asyncio.sleep(0)  # the turn in which the transport is closed
                return [client() for client in clients]
            finally:
                gc.enable()

    assert riata.run(main()) == [None]
