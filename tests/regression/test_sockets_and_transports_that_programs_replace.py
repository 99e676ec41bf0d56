"""Native transports went past what a program had put between them and the kernel: a socket class with methods of its
own, and `asyncio.BaseTransport.get_extra_info` replaced by a mock. The tests of websockets do both."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest


class Counting(socket.socket):
    """Counts what goes through its methods."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.received = self.sent = 0

    def recv(self, *args: Any) -> bytes:
        data = super().recv(*args)
        self.received += len(data)
        return data

    def recv_into(self, *args: Any) -> int:
        count = super().recv_into(*args)
        self.received += count
        return count

    def send(self, *args: Any) -> int:
        count = super().send(*args)
        self.sent += count
        return count

    def sendmsg(self, *args: Any) -> int:
        count = super().sendmsg(*args)
        self.sent += count
        return count


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(10))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_a_socket_with_methods_of_its_own(run: Callable[..., Any]) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        sock = Counting()
        sock.connect(server.sockets[0].getsockname())
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"0123456789")
        assert await reader.read() == b"0123456789"
        assert (sock.sent, sock.received) == (10, 10)
        writer.close()
        await writer.wait_closed()
        assert sock.fileno() == -1
        server.close()
        await server.wait_closed()

    run(main())


def test_an_instance_with_a_method_of_its_own(run: Callable[..., Any]) -> None:
    class Plain(socket.socket):
        pass

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        sock: Any = Plain()
        sock.connect(server.sockets[0].getsockname())
        sent: list[int] = []
        sock.send = lambda data: sent.append(len(data)) or socket.socket.send(sock, data)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"0123456789")
        assert await reader.read() == b"0123456789"
        assert sent == [10]
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


def test_the_same_under_tls(run: Callable[..., Any]) -> None:
    async def main() -> None:
        hello = asyncio.Event()

        async def read_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(3)  # a TLS record begins
            hello.set()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(read_hello, "127.0.0.1", 0)
        sock = Counting()
        sock.connect(server.sockets[0].getsockname())
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await asyncio.open_connection(sock=sock, ssl=ssl.create_default_context(), server_hostname="localhost")
        await hello.wait()
        assert sock.sent > 3
        server.close()
        await server.wait_closed()

    run(main())


def test_get_extra_info_replaced_for_all_transports(run: Callable[..., Any]) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with mock.patch("asyncio.BaseTransport.get_extra_info", return_value="mocked") as mocked:
            assert writer.transport.get_extra_info("peername") == "mocked"
        mocked.assert_called_once_with("peername")
        with mock.patch.object(asyncio.BaseTransport, "get_extra_info", autospec=True, return_value=1) as bound:
            assert writer.transport.get_extra_info("peername") == 1
        assert bound.call_args.args[:2] == (writer.transport, "peername")
        assert writer.transport.get_extra_info("peername") == server.sockets[0].getsockname()
        writer.write(b"0123456789")
        assert await reader.read() == b"0123456789"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
