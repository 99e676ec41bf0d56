"""Certificates and contexts, and a TLS peer whose every word is the test's."""

import asyncio
import contextlib
import functools
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from .recorder import MEGABYTE
from .streams import Recorder

Run = Callable[[Coroutine[Any, Any, Any]], Any]

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@functools.cache
def certificate(name: str = "localhost") -> Path:
    """A self-signed certificate with its key, in one file; a .crt beside it has the certificate alone."""
    path = Path(tempfile.mkdtemp(prefix="riata-certificate-")) / "both.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]
    extensions = ["-addext", f"subjectAltName=DNS:{name}"]
    command = ["openssl", "req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", *extensions]
    try:
        subprocess.run([*command, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def server_context(version: ssl.TLSVersion | None = None, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate(name))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def client_context(version: ssl.TLSVersion | None = None, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate(name).with_suffix(".crt"))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Peer:
    """One side of TLS over a socket that does nothing by itself: it answers no handshake and no close_notify."""

    def __init__(self, sock: socket.socket, *, server_side: bool = True, version: ssl.TLSVersion | None = None) -> None:
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = server_context(version) if server_side else client_context(version)
        hostname = None if server_side else "localhost"
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side, server_hostname=hostname)

    async def flush(self) -> None:
        await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` of the TLS object gives, however much it needs to read for that."""
        while True:
            try:
                result = function(*arguments)
            except ssl.SSLWantReadError:
                await self.flush()
                data = await self.loop.sock_recv(self.sock, MEGABYTE)
                assert data, "an end of stream"
                self.incoming.write(data)
            else:
                await self.flush()
                return result

    async def handshake(self) -> None:
        await self.call(self.tls.do_handshake)

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def receive(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            received += await self.call(self.tls.read, count - len(received))
        return bytes(received)

    async def receive_closing(self) -> bytes:
        """Everything up to the other side's close_notify."""
        received = bytearray()
        while data := await self.call(self.read_or_end):
            received += data
        return bytes(received)

    def read_or_end(self) -> bytes:
        try:
            return self.tls.read(MEGABYTE)
        except ssl.SSLZeroReturnError:
            return b""

    async def close_notify(self) -> None:
        """Says that nothing more comes; does not wait for the other side to say so."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.flush()

    async def end_of_stream(self) -> bytes:
        """What the other side sends before it closes the socket, as it is on the wire."""
        received = bytearray()
        while data := await self.loop.sock_recv(self.sock, MEGABYTE):
            received += data
        return bytes(received)


async def with_peer(
    factory: Callable[[], Any] = Recorder, version: ssl.TLSVersion | None = None, **options: Any
) -> tuple[Any, Any, Peer]:
    """A client's transport with its protocol, and who is at the other end, hands shaken."""
    ours, theirs = tcp_pair()
    peer = Peer(theirs, version=version)
    loop = asyncio.get_running_loop()
    connecting = loop.create_connection(
        factory, sock=ours, ssl=client_context(version), server_hostname="localhost", **options
    )
    (transport, protocol), _ = await asyncio.gather(connecting, peer.handshake())
    return transport, protocol, peer


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        theirs, _ = listening.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


async def secured(
    server_options: dict[str, Any] | None = None,
    client_options: dict[str, Any] | None = None,
    factory: Callable[[], Any] = Recorder,
) -> tuple[Any, Any, asyncio.Server]:
    """Both ends of a TLS connection, as protocols: the client's and the server's."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Any] = loop.create_future()

    def accept() -> Any:
        protocol = factory()
        made = protocol.connection_made

        def connection_made(transport: asyncio.BaseTransport) -> None:
            made(transport)
            accepted.set_result(protocol)

        protocol.connection_made = connection_made
        return protocol

    server_side = {"ssl": server_context(), **(server_options or {})}
    client_side = {"ssl": client_context(), "server_hostname": "localhost", **(client_options or {})}
    server = await loop.create_server(accept, "127.0.0.1", 0, **server_side)
    _, client = await loop.create_connection(factory, *server.sockets[0].getsockname(), **client_side)
    return client, await accepted, server


async def end(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
