"""`sock_recv` and its like: sockets without a transport."""

import asyncio
import errno
import gc
import inspect
import os
import socket
import ssl
import weakref
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Pair = tuple[socket.socket, socket.socket]

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


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected stream sockets."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


async def settled(task: asyncio.Future[Any]) -> None:
    """Let a call begin to wait."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()


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


def test_cancelling_stops_watching_and_takes_nothing(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        task = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(task)
        task.cancel()
        theirs.send(b"kept")
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert loop.remove_reader(ours) is False
        assert await loop.sock_recv(ours, 10) == b"kept"
        while True:
            try:
                ours.send(bytes(100_000))
            except BlockingIOError:
                break
        sending = asyncio.create_task(loop.sock_sendall(ours, b"never sent"))
        await settled(sending)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0)
        assert loop.remove_writer(ours) is False

    run(main())


def test_both_directions_wait_at_once(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        receiving = asyncio.create_task(loop.sock_recv(ours, 10))
        sending = asyncio.create_task(loop.sock_sendall(ours, bytes(1_000_000)))
        await settled(receiving)
        await settled(sending)
        theirs.send(b"x")
        assert await receiving == b"x"
        left = 1_000_000
        while left:
            left -= len(await loop.sock_recv(theirs, 100_000))
        await sending

    run(main())


def test_who_comes_later_takes_the_place_of_who_waits(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        first = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(first)
        second = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(second)
        first.cancel()
        await asyncio.wait([first])
        await settled(second)
        theirs.send(b"x")
        assert await second == b"x"

        third = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(third)
        readable = asyncio.Event()
        loop.add_reader(ours, readable.set)
        theirs.send(b"y")
        await readable.wait()
        assert not third.done()
        assert loop.remove_reader(ours) is True
        third.cancel()
        await asyncio.wait([third])

        fourth = asyncio.create_task(loop.sock_recv(theirs, 10))
        await settled(fourth)
        assert loop.remove_reader(theirs) is True
        assert loop.remove_reader(theirs) is False
        ours.send(b"z")
        await settled(fourth)
        fourth.cancel()
        await asyncio.wait([fourth])

    run(main())


def test_a_reader_takes_over_from_a_call_that_has_just_ended(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = pair
        task = asyncio.create_task(loop.sock_recv(ours, 10))
        await settled(task)
        theirs.send(b"x")
        assert await task == b"x"
        told = asyncio.Event()
        loop.add_reader(ours, told.set)
        theirs.send(b"y")
        await told.wait()
        assert loop.remove_reader(ours) is True
        assert await loop.sock_recv(ours, 10) == b"y"

    run(main())


def test_a_number_that_comes_back_in_the_same_turn_is_watched_anew(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            number = ours.fileno()
            loop.call_soon(theirs.send, b"x")
            assert await loop.sock_recv(ours, 10) == b"x"  # has waited
            ours.close()
            theirs.close()
            ours, theirs = socket.socketpair()
            if theirs.fileno() == number:
                ours, theirs = theirs, ours
            assert ours.fileno() == number
            ours.setblocking(False)
            task = asyncio.create_task(loop.sock_recv(ours, 10))
            await settled(task)
            theirs.send(b"y")
            assert await task == b"y"
            ours.close()
            theirs.close()

    run(main())


def test_a_socket_that_was_waited_for_is_not_kept(loop_factory: LoopFactory) -> None:
    loop = loop_factory()

    async def main() -> weakref.ref[socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            loop.call_soon(theirs.send, b"x")
            assert await loop.sock_recv(ours, 10) == b"x"
        ours.close()
        return weakref.ref(ours)

    gone = loop.run_until_complete(main())
    loop.run_until_complete(asyncio.sleep(0.001))
    gc.collect()
    assert gone() is None
    loop.close()


def test_a_descriptor_of_a_transport_is_refused_once_it_has_to_wait(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(pair[0], 10)
        transport.close()

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


def test_a_closed_loop_cannot_wait(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    loop.close()
    pair[1].send(b"x")
    with pytest.raises(StopIteration) as received:
        loop.sock_recv(pair[0], 1).send(None)
    assert received.value.value == b"x"
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.sock_recv(pair[0], 1).send(None)


def test_a_loop_that_is_closed_forgets_who_waits(loop_factory: LoopFactory, pair: Pair) -> None:
    loop = loop_factory()
    task = loop.create_task(loop.sock_recv(pair[0], 1))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()


def test_calls_and_timeouts(run: Run, pair: Pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(loop.sock_recv(pair[0], 1), 0.001)
        pair[1].send(b"x")
        assert await asyncio.wait_for(loop.sock_recv(pair[0], 1), 10) == b"x"

    run(main())


def test_many_echoes(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def serve(sock: socket.socket) -> None:
            with sock:
                while data := await loop.sock_recv(sock, 1000):
                    await loop.sock_sendall(sock, data)

        async def ask(sock: socket.socket, name: bytes) -> None:
            with sock:
                for number in range(50):
                    await loop.sock_sendall(sock, name + b" %d" % number)
                    assert await loop.sock_recv(sock, 1000) == name + b" %d" % number

        tasks = []
        for index in range(50):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.setblocking(False)
            tasks += [asyncio.create_task(serve(ours)), asyncio.create_task(ask(theirs, b"%d" % index))]
        await asyncio.gather(*tasks)

    run(main())
