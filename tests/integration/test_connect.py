"""`create_connection`: to addresses that need no look-up, past what a program has replaced, and the ways to fail."""

import asyncio
import contextlib
import errno
import inspect
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from tests.conftest import LOOPS

import riata

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@contextlib.contextmanager
def listening(family: int = socket.AF_INET, backlog: int = 100) -> Iterator[tuple[socket.socket, Any]]:
    """A listening socket, and its address."""
    with socket.socket(family) as listener:
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        listener.listen(backlog)
        yield listener, listener.getsockname()


def unused_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_what_a_connection_tells_of_itself(run: Run, family: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening(family) as (listener, address):
            transport, protocol = await loop.create_connection(asyncio.Protocol, address[0], address[1])
            accepted, client = listener.accept()
            assert type(protocol) is asyncio.Protocol
            assert isinstance(transport, asyncio.Transport)
            assert transport.get_extra_info("peername") == address
            assert transport.get_extra_info("sockname") == client
            sock = transport.get_extra_info("socket")
            assert (sock.family, sock.type, sock.proto) == (family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            assert sock.getpeername() == address
            assert sock.gettimeout() == 0
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not os.get_inheritable(sock.fileno())
            accepted.close()
            transport.close()

    run(main())


def test_connection_made_and_what_it_begins_come_first(run: Run) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        told = []

        class Noting(asyncio.Protocol):
            def __init__(self) -> None:
                told.append(f"factory in {asyncio.current_task() is task}")
                loop.call_soon(told.append, "from the factory")

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                told.append(f"made in {asyncio.current_task() is task}")
                loop.call_soon(told.append, "from connection_made")

        task = asyncio.current_task()
        with listening() as (_, address):
            transport, _ = await loop.create_connection(Noting, *address)
            told.append("connected")
            transport.close()
        return told

    factory, made = "factory in True", "made in False"
    assert run(main()) == [factory, "from the factory", made, "from connection_made", "connected"]


@pytest.mark.parametrize("debug", [False, True])
def test_a_refused_connection_says_where(run: Run, debug: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        port = unused_port()
        with pytest.raises(ConnectionRefusedError) as caught:
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        assert caught.value.errno == errno.ECONNREFUSED
        assert caught.value.strerror == f"Connect call failed ('127.0.0.1', {port})"

    run(main())


def test_an_address_that_cannot_be_connected_to(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match=r"\[Errno 101\] Network is unreachable|\[Errno 22\] Invalid argument"):
            await loop.create_connection(asyncio.Protocol, "255.255.255.255", 1)

    run(main())


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("127.0.0.1", 70000), {}),
        (("127.0.0.1", "no-such-service"), {}),
        (("::1", 1), {"family": socket.AF_INET}),
        (("127.0.0.1", 1), {"proto": 12345}),
        (("127.0.0.1", 1), {"server_hostname": "name"}),
        (("127.0.0.1", 1), {"ssl_handshake_timeout": 1}),
        (("127.0.0.1", 1), {"no_such_option": 1}),
        ((), {}),
    ],
)
def test_arguments_that_are_refused_are_refused_alike(args: Any, options: Any) -> None:
    async def attempt() -> tuple[type[BaseException], str]:
        try:
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, *args, **options)
        except Exception as error:
            return type(error), str(error)
        raise AssertionError("it was taken")

    seen = []
    for factory in LOOPS.values():
        with asyncio.Runner(loop_factory=factory) as runner:
            seen.append(runner.run(attempt()))
    assert seen.count(seen[0]) == len(seen)


def test_the_signature_is_asyncios() -> None:
    own = inspect.signature(riata.Loop.create_connection)
    assert own == inspect.signature(asyncio.SelectorEventLoop.create_connection)
    assert inspect.iscoroutinefunction(riata.Loop.create_connection)


def test_a_connection_that_takes_its_time(run: Run) -> None:
    """The listener's queue is full: what the kernel cannot take yet is asked again after a second."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening(backlog=0) as (listener, address), socket.create_connection(address):
            waiting = asyncio.ensure_future(loop.create_connection(asyncio.Protocol, *address))
            await asyncio.sleep(0)
            assert not waiting.done()
            first, _ = listener.accept()
            transport, _ = await waiting
            second, client = listener.accept()
            assert transport.get_extra_info("peername") == address
            assert transport.get_extra_info("sockname") == client
            transport.close()
            first.close()
            second.close()

    run(main())


def test_a_connection_that_is_cancelled_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening(backlog=0) as (listener, address), socket.create_connection(address):
            await asyncio.sleep(0)
            before = len(os.listdir("/proc/self/fd"))
            under_way = asyncio.ensure_future(loop.create_connection(asyncio.Protocol, *address))
            await asyncio.sleep(0)
            under_way.cancel()
            with pytest.raises(asyncio.CancelledError):
                await under_way
            first, _ = listener.accept()
            first.close()
            standing = asyncio.ensure_future(loop.create_connection(asyncio.Protocol, *address))
            await asyncio.sleep(0)
            standing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await standing
            for _ in range(3):  # connection_lost
                await asyncio.sleep(0)
            assert len(os.listdir("/proc/self/fd")) == before

    run(main())


def test_a_factory_that_raises_leaves_nothing() -> None:
    """On asyncio it leaves the socket open (gh-153133)."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening() as (_, address):
            await asyncio.sleep(0)
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(ZeroDivisionError):
                await loop.create_connection(lambda: 1 / 0, *address)  # type: ignore[arg-type,return-value]
            assert len(os.listdir("/proc/self/fd")) == before

    riata.run(main())


@pytest.mark.parametrize("name", ["sock_connect", "_connect_sock", "_ensure_resolved", "_make_socket_transport"])
@pytest.mark.parametrize("of", ["class", "instance"])
def test_what_a_program_overrides_is_called(loop_factory: Any, name: str, of: str) -> None:
    called = []
    loop = loop_factory()
    original = getattr(loop, name)

    def calling(*args: Any, **options: Any) -> Any:
        called.append(name)
        return original(*args, **options)

    async def main() -> None:
        with listening() as (_, address):
            transport, _ = await loop.create_connection(asyncio.Protocol, *address)
            transport.close()

    if of == "instance":
        setattr(loop, name, calling)
    else:
        loop.close()
        derived = type("Derived", (type(loop),), {name: lambda self, *args, **options: calling(*args, **options)})
        loop = derived()
        original = getattr(super(derived, loop), name)
    with contextlib.closing(loop):
        loop.run_until_complete(main())
    assert called


@pytest.mark.parametrize("replaced", ["class", "method"])
def test_sockets_that_a_program_replaces_are_used(run: Run, monkeypatch: pytest.MonkeyPatch, replaced: str) -> None:
    connected = []

    class Guarded(socket.socket):
        def connect(self, address: Any) -> None:
            connected.append(address)
            super().connect(address)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with listening() as (_, address):
            if replaced == "class":
                monkeypatch.setattr(socket, "socket", Guarded)
            else:
                connect = socket.socket.connect
                monkeypatch.setattr(
                    socket.socket,
                    "connect",
                    lambda self, address: (connected.append(address), connect(self, address))[1],
                )
            transport, _ = await loop.create_connection(asyncio.Protocol, *address)
            transport.close()
            assert connected == [address]

    run(main())


def test_audit_hooks_are_told(tmp_path: Any) -> None:
    """In a process of its own: a hook cannot be removed."""
    program = tmp_path / "audited.py"
    program.write_text(
        """
import asyncio, socket, sys
import riata
told = []
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    for hook in (None, lambda event, args: told.append((event, args)) if event == "socket.connect" else None):
        if hook:
            sys.addaudithook(hook)
        transport, _ = await loop.create_connection(asyncio.Protocol, *address)
        transport.close()
    [(_, (sock, where))] = told
    assert isinstance(sock, socket.socket) and where == address, told
    server.close()
riata.run(main())
"""
    )
    subprocess.run([sys.executable, "-W", "error", program], check=True)


def test_a_crowd_is_taken_after_many_that_came_alone(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made = []
        everybody = asyncio.Event()

        class Counting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.append(transport)
                if len(made) == expected:
                    everybody.set()

        server = await loop.create_server(Counting, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        for expected in [*range(1, 40), 139]:
            everybody.clear()
            clients = [socket.create_connection(address) for _ in range(expected - len(made))]
            await everybody.wait()
            for client in clients:
                client.close()
        for transport in made:
            transport.close()
        server.close()
        await server.wait_closed()

    run(main())
