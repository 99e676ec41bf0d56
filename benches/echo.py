"""An echo server: `python -m benches.echo LOOP KIND` prints its port, then its CPU and its wall seconds.

KIND is `protocol` (an `asyncio.Protocol`), `streams` (`asyncio.start_server`), `sock` (no transports, but a task for
each connection which calls `sock_recv` and `sock_sendall`) or `udp`. With `--tls CERTIFICATE`, a file with a
certificate and its key, it serves TLS. It serves until its standard input ends; what is counted begins with the first
data.
"""

from __future__ import annotations

import argparse
import asyncio
import select
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from benches.loops import NAMES, factory

LARGEST = 256 * 1024
"""Bytes: how much is read at most at once, by every loop."""


class Meter:
    """CPU and wall seconds since the first data."""

    began: tuple[float, float] | None = None

    @classmethod
    def begin(cls) -> None:
        """The first data have come."""
        if cls.began is None:
            cls.began = time.process_time(), time.perf_counter()

    @classmethod
    def read(cls) -> str:
        """Both, as text."""
        cpu, wall = cls.began or (time.process_time(), time.perf_counter())
        return f"{time.process_time() - cpu} {time.perf_counter() - wall}"


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    transport: Any  # uvloop's transports are no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        Meter.begin()
        self.transport.write(data)


class EchoDatagrams(asyncio.DatagramProtocol):
    """Sends back what comes, to where it came from."""

    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        Meter.begin()
        self.transport.sendto(data, addr)


async def echo_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echo on one connection by streams."""
    while data := await reader.read(LARGEST):
        Meter.begin()
        writer.write(data)
        await writer.drain()
    writer.close()


async def echo_by_calls(connection: socket.socket) -> None:
    """Echo on one connection by `sock_recv` and `sock_sendall`."""
    loop = asyncio.get_running_loop()
    with connection:
        while data := await loop.sock_recv(connection, LARGEST):
            Meter.begin()
            await loop.sock_sendall(connection, data)


async def until_input_ends(port: int) -> None:
    """Tell the port, and when standard input ends what was spent."""
    print(port, flush=True)
    # Neither a thread, which would change how loops poll, nor a reader, which not every loop has for every file.
    while not select.select([sys.stdin], [], [], 0)[0]:
        await asyncio.sleep(0.02)
    print(Meter.read(), flush=True)


async def serve_calls() -> None:
    """Serve without transports."""
    loop = asyncio.get_running_loop()
    tasks = set()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)

        async def accept() -> None:
            while True:
                connection, _ = await loop.sock_accept(listener)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                task = loop.create_task(echo_by_calls(connection))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        accepting = loop.create_task(accept())
        await until_input_ends(listener.getsockname()[1])
        for task in [accepting, *tasks]:
            task.cancel()
        await asyncio.wait([accepting, *tasks])


async def serve_datagrams() -> None:
    """Serve datagrams."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(EchoDatagrams, ("127.0.0.1", 0))
    await until_input_ends(transport.get_extra_info("sockname")[1])
    transport.close()


async def serve(kind: str, certificate: Path | None) -> None:
    """Serve until standard input ends."""
    if kind == "sock":
        return await serve_calls()
    if kind == "udp":
        return await serve_datagrams()
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    address: Any = ("127.0.0.1", 0)
    if kind == "streams":
        server = await asyncio.start_server(echo_stream, *address, ssl=context, backlog=1024, limit=LARGEST)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, *address, ssl=context, backlog=1024)
    await until_input_ends(server.sockets[0].getsockname()[1])
    server.close()
    return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benches.echo", description=__doc__)
    parser.add_argument("loop", choices=NAMES)
    parser.add_argument("kind", choices=["protocol", "streams", "sock", "udp"])
    parser.add_argument("--tls", type=Path)
    options = parser.parse_args()
    loop = factory(options.loop)()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve(options.kind, options.tls))
