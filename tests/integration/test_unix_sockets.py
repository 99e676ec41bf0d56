"""Unix sockets: servers, connections, and who is on the other side."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.close()


async def ask(path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"hello")
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("abstract", [False, True])
def test_paths_and_abstract_names(run: Run, tmp_path: Path, abstract: bool) -> None:
    path = f"\0riata-{os.getpid()}-{tmp_path.name}" if abstract else str(tmp_path / "socket")

    async def main() -> None:
        server = await asyncio.start_unix_server(echo, path)
        async with server:
            assert server.sockets[0].getsockname() == (path.encode() if abstract else path)
            assert await ask(path) == b"hello"

    run(main())


def test_what_is_left_of_a_socket_is_removed_and_nothing_else(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "socket"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        async with await asyncio.start_unix_server(echo, path):
            assert await ask(str(path)) == b"hello"
        file = tmp_path / "file"
        file.write_text("precious")
        with pytest.raises(OSError, match="is already in use"):
            await asyncio.start_unix_server(echo, file)
        assert file.read_text() == "precious"

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="cleanup_socket came with Python 3.13")
@pytest.mark.parametrize("cleanup", [True, False])
def test_a_server_that_closes_removes_its_own_path(run: Run, tmp_path: Path, cleanup: bool) -> None:
    async def main() -> None:
        path = tmp_path / "socket"
        async with await asyncio.start_unix_server(echo, path, cleanup_socket=cleanup):  # type: ignore[call-arg]
            assert path.exists()
        assert path.exists() is not cleanup
        server = await asyncio.start_unix_server(echo, path, cleanup_socket=cleanup)  # type: ignore[call-arg]
        path.unlink()
        path.write_text("another's")
        server.close()
        await server.wait_closed()
        assert path.exists()

    run(main())


def test_credentials_of_the_peer(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[Any] = loop.create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set_result(transport)

        server = await loop.create_unix_server(Server, str(tmp_path / "socket"))
        client, _ = await loop.create_unix_connection(asyncio.Protocol, str(tmp_path / "socket"))
        for transport in (client, await accepted):
            sock = transport.get_extra_info("socket")
            packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            assert struct.unpack("3i", packed) == (os.getpid(), os.getuid(), os.getgid())
            assert sock.family == socket.AF_UNIX
        assert client.get_extra_info("peername") == str(tmp_path / "socket")
        client.close()
        (await accepted).close()
        server.close()
        await server.wait_closed()

    run(main())


def test_a_connection_accepted_elsewhere(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(str(tmp_path / "socket"))
            listener.listen()
            client.connect(str(tmp_path / "socket"))
            client.setblocking(False)
            accepted, _ = listener.accept()
            transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
            transport.write(b"hello")
            transport.close()
            assert await loop.sock_recv(client, 10) == b"hello"
            with socket.socket(type=socket.SOCK_DGRAM) as datagram, pytest.raises(ValueError, match="Stream Socket"):
                await loop.connect_accepted_socket(asyncio.Protocol, datagram)

    run(main())
