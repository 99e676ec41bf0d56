"""`sock_recv` and its like: sockets without a transport."""

import asyncio
import errno
import inspect
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sockets import LoopFactory, Pair, Run, settled, udp

CALLS = [
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
]


@pytest.mark.parametrize("name", CALLS)
def test_they_are_coroutine_functions(loop_factory: LoopFactory, name: str) -> None:
    loop = loop_factory()
    method = getattr(loop, name)
    assert inspect.iscoroutinefunction(method)
    assert next(iter(inspect.signature(method).parameters)) == "sock"
    loop.close()


def test_what_is_there_is_received_at_once_and_what_comes_is_waited_for(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        theirs.send(b"one")
        coroutine = loop.sock_recv(ours, 10)
        assert asyncio.iscoroutine(coroutine)
        assert await coroutine == b"one"
        for size in (1, 100, 300_000):
            task = asyncio.create_task(loop.sock_recv(ours, size))
            await settled(task)
            theirs.send(b"x")
            assert await task == b"x"
        buffer = bytearray(8)
        theirs.send(b"two")
        assert await loop.sock_recv_into(ours, buffer) == 3
        task = asyncio.create_task(loop.sock_recv_into(ours, memoryview(buffer)[3:]))  # type: ignore[arg-type]
        await settled(task)
        theirs.send(b"three!")
        assert await task == 5
        assert buffer == b"twothree"
        assert await loop.sock_recv(ours, 10) == b"!"
        theirs.close()
        assert await loop.sock_recv(ours, 10) == b""
        assert await loop.sock_recv_into(ours, buffer) == 0

    run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_everything_is_sent(run: Run, pair: Pair, kind: Callable[[bytes], Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        data = os.urandom(3_000_000)
        task = asyncio.create_task(loop.sock_sendall(ours, kind(data)))
        received = bytearray()
        while len(received) < len(data):
            received += await loop.sock_recv(theirs, 100_000)
        assert received == data
        assert await task is None  # type: ignore[func-returns-value]
        assert await loop.sock_sendall(ours, kind(b"")) is None  # type: ignore[func-returns-value]

    run(main())


def test_what_waits_to_be_sent_cannot_be_resized(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        data = bytearray(3_000_000)
        task = asyncio.create_task(loop.sock_sendall(pair[0], data))
        await settled(task)
        with pytest.raises(BufferError):
            data.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        data.clear()

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_come_with_the_address_that_the_socket_module_shows(run: Run, host: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with udp(host) as server, udp(host) as client:
            to, sender = server.getsockname(), client.getsockname()
            assert await loop.sock_sendto(client, b"one", to) == 3
            assert await loop.sock_recvfrom(server, 100) == (b"one", sender)
            assert await loop.sock_sendto(client, bytearray(b"too long"), to[:2]) == 8
            assert await loop.sock_recvfrom(server, 3) == (b"too", sender)
            task: asyncio.Task[Any] = asyncio.create_task(loop.sock_recvfrom(server, 100))
            await settled(task)
            assert await loop.sock_sendto(client, b"", to) == 0
            assert await task == (b"", sender)
            buffer = bytearray(b"........")
            for nbytes, expected in ((0, b"abcdefgh"), (3, b"abcdefgh"), (3, b"ABCdefgh")):
                task = asyncio.create_task(loop.sock_recvfrom_into(server, buffer, nbytes))
                await settled(task)
                client.sendto(b"ABCDEFGH" if expected[:1] == b"A" else b"abcdefgh", to)
                assert await task == (nbytes or 8, sender)
                assert buffer == expected
            with pytest.raises(ValueError, match="nbytes is greater than the length of the buffer"):
                await loop.sock_recvfrom_into(server, buffer, 9)

    run(main())


def test_names_are_looked_up_and_odd_addresses_refused_as_the_socket_object_does(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with udp() as server, udp() as client:
            port = server.getsockname()[1]
            assert await loop.sock_sendto(client, b"named", ("localhost", port)) == 5
            assert (await loop.sock_recvfrom(server, 10))[0] == b"named"
            for address in [("127.0.0.1", 70_000), ("127.0.0.1",), "127.0.0.1", None, ("127.0.0.1", "80"), b""]:
                with pytest.raises((TypeError, OverflowError)) as expected:
                    client.sendto(b"x", address)  # type: ignore[call-overload]
                with pytest.raises(expected.type) as raised:
                    await loop.sock_sendto(client, b"x", address)  # type: ignore[arg-type]
                assert str(raised.value) == str(expected.value)
            with pytest.raises(TypeError):
                await loop.sock_sendto(client, "text", server.getsockname())  # type: ignore[arg-type]
            with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)) as too_long:
                await loop.sock_sendto(client, bytes(70_000), server.getsockname())
            assert too_long.value.errno == errno.EMSGSIZE

    run(main())


@pytest.mark.parametrize("form", ["path", "bytes", "abstract", "not ascii"])
def test_unix_datagrams(run: Run, tmp_path: Path, form: str) -> None:
    names: dict[str, Any] = {
        "path": str(tmp_path / "socket"),
        "bytes": os.fsencode(tmp_path / "socket"),
        "abstract": b"\0riata-" + os.fsencode(tmp_path.name) + str(os.getpid()).encode(),
        "not ascii": str(tmp_path / "söcket"),
    }

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with server, client:
            server.setblocking(False)
            client.setblocking(False)
            server.bind(names[form])
            assert await loop.sock_sendto(client, b"anonymous", server.getsockname()) == 9
            assert await loop.sock_recvfrom(server, 100) == (b"anonymous", None)
            client.bind(str(tmp_path / "client"))
            assert await loop.sock_sendto(client, b"known", names[form]) == 5
            assert await loop.sock_recvfrom(server, 100) == (b"known", str(tmp_path / "client"))

    run(main())


def test_receiving_from_a_stream_has_no_address(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pair[1].send(b"abc")
        assert await loop.sock_recvfrom(pair[0], 10) == (b"abc", None)

    run(main())


def test_wrong_arguments_raise_what_the_socket_object_raises(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours: Any = pair[0]
        for call, method, argument in (
            (loop.sock_recv, ours.recv, -1),
            (loop.sock_recv, ours.recv, "1"),
            (loop.sock_recvfrom, ours.recvfrom, -1),
            (loop.sock_recv_into, ours.recv_into, b"constant"),
            (loop.sock_recv_into, ours.recv_into, None),
            (loop.sock_sendall, ours.send, "text"),
            (loop.sock_sendall, ours.send, None),
        ):
            with pytest.raises((TypeError, ValueError)) as expected:
                method(argument)
            with pytest.raises(expected.type) as raised:
                await call(ours, argument)  # type: ignore[operator]
            assert str(raised.value) == str(expected.value)
        pair[1].send(b"x")
        assert await loop.sock_recv(ours, 0) == ours.recv(0) == b""
        assert await loop.sock_recv_into(ours, bytearray()) == 0

    run(main())


def test_a_closed_socket_is_a_bad_descriptor(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = pair[0]
        sock.close()
        for coroutine in (
            loop.sock_recv(sock, 1),
            loop.sock_recv_into(sock, bytearray(1)),
            loop.sock_recvfrom(sock, 1),
            loop.sock_sendall(sock, b"x"),
            loop.sock_accept(sock),
            loop.sock_connect(sock, "/nowhere"),
        ):
            with pytest.raises(OSError, match=os.strerror(errno.EBADF)) as raised:
                await coroutine
            assert raised.value.errno == errno.EBADF

    run(main())


def test_tls_sockets_are_refused(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context()
        with context.wrap_socket(pair[0], do_handshake_on_connect=False, server_hostname="x") as tls:
            for coroutine in (
                loop.sock_recv(tls, 1),
                loop.sock_recv_into(tls, bytearray(1)),
                loop.sock_recvfrom(tls, 1),
                loop.sock_recvfrom_into(tls, bytearray(1)),
                loop.sock_sendall(tls, b"x"),
                loop.sock_sendto(tls, b"x", "/nowhere"),
                loop.sock_accept(tls),
                loop.sock_connect(tls, "/nowhere"),
            ):
                with pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"):
                    await coroutine

    run(main())


def test_debug_mode_refuses_blocking_sockets(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        sock = pair[0]
        for timeout in (None, 1.5):
            sock.settimeout(timeout)
            for coroutine in (
                loop.sock_recv(sock, 1),
                loop.sock_recv_into(sock, bytearray(1)),
                loop.sock_recvfrom(sock, 1),
                loop.sock_recvfrom_into(sock, bytearray(1)),
                loop.sock_sendall(sock, b"x"),
                loop.sock_sendto(sock, b"x", "/nowhere"),
                loop.sock_accept(sock),
                loop.sock_connect(sock, "/nowhere"),
            ):
                with pytest.raises(ValueError, match=r"^the socket must be non-blocking$"):
                    await coroutine
        sock.setblocking(False)
        task = asyncio.create_task(loop.sock_recv(sock, 1))
        await settled(task)
        pair[1].send(b"x")
        assert await task == b"x"

    run(main())


class Overriding(socket.socket):
    """A socket whose methods are a program's own."""

    calls: list[str]

    def recv(self, *args: Any) -> bytes:
        self.calls.append("recv")
        return super().recv(*args).upper()

    def send(self, *args: Any) -> int:
        self.calls.append("send")
        return super().send(args[0][:5])

    def recvfrom(self, *args: Any) -> Any:
        self.calls.append("recvfrom")
        data, _ = super().recvfrom(*args)
        return data, "somebody"


def test_overridden_methods_of_a_socket_are_called(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        theirs = pair[1]
        with Overriding(fileno=os.dup(pair[0].fileno())) as ours:
            ours.setblocking(False)
            ours.calls = []
            task: asyncio.Task[Any] = asyncio.create_task(loop.sock_recv(ours, 10))
            await settled(task)
            theirs.send(b"abc")
            assert await task == b"ABC"
            assert ours.calls == ["recv", "recv"]
            await loop.sock_sendall(ours, b"twelve bytes")
            assert theirs.recv(100) == b"twelve bytes"
            assert ours.calls[2:] == ["send"] * 3
            theirs.send(b"def")
            assert await loop.sock_recvfrom(ours, 10) == (b"def", "somebody")
            theirs.send(b"ghi")
            assert await loop.sock_recv_into(ours, bytearray(3)) == 3

    run(main())


def test_an_interrupt_in_a_sockets_method_ends_the_loop(loop_factory: LoopFactory, pair: Pair) -> None:
    class Interrupting(socket.socket):
        ready = False

        def recv(self, *args: Any) -> bytes:
            if self.ready:
                raise KeyboardInterrupt
            return super().recv(*args)

    loop = loop_factory()
    with Interrupting(fileno=os.dup(pair[0].fileno())) as ours:
        ours.setblocking(False)
        task = loop.create_task(loop.sock_recv(ours, 10))
        loop.run_until_complete(asyncio.sleep(0))
        ours.ready = True
        pair[1].send(b"x")
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    loop.close()


def test_connections_are_accepted_and_made(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            task = asyncio.create_task(loop.sock_accept(listener))
            await settled(task)
            with socket.socket() as client:
                client.setblocking(False)
                assert await loop.sock_connect(client, ("localhost", listener.getsockname()[1])) is None  # type: ignore[func-returns-value]
                connection, address = await task
                with connection:
                    assert address == client.getsockname()
                    assert connection.gettimeout() == 0
                    assert type(connection) is socket.socket
                    await loop.sock_sendall(client, b"hello")
                    assert await loop.sock_recv(connection, 10) == b"hello"
            waiting = asyncio.create_task(loop.sock_accept(listener))
            await settled(waiting)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert loop.remove_reader(listener) is False

    run(main())


def test_a_refused_connection_says_so(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as nobody, socket.socket() as client:
            nobody.bind(("127.0.0.1", 0))
            client.setblocking(False)
            address = nobody.getsockname()
            with pytest.raises(ConnectionRefusedError) as refused:
                await loop.sock_connect(client, address)
            assert refused.value.errno == errno.ECONNREFUSED
            assert refused.value.strerror == f"Connect call failed {address}"
            assert loop.remove_writer(client) is False

    run(main())


def test_unix_connections(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "socket")
        client = socket.socket(socket.AF_UNIX)
        listener = socket.socket(socket.AF_UNIX)
        with listener, client:
            client.setblocking(False)
            listener.setblocking(False)
            with pytest.raises(FileNotFoundError):
                await loop.sock_connect(client, path)
            listener.bind(path)
            listener.listen()
            await loop.sock_connect(client, path)
            connection, address = await loop.sock_accept(listener)
            connection.close()
            assert address == ""

    run(main())
