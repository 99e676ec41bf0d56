"""Which methods of loops, servers and transports raise NotImplementedError: those of asyncio's that do, and no other.

Every public method of asyncio's is called; one that a later Python adds is in no table here, and fails the test.
"""

import asyncio
import contextlib
import functools
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from . import datagrams, pipes, recorder, streams
from .recorder import Run
from .secure import client_context, end, secured, tcp_pair
from .sockets import udp

Call = Callable[[Any], Any]
Make = Callable[[], Awaitable[Any]]
PLAIN = asyncio.Protocol
NOT_IMPLEMENTED = "NotImplementedError"


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))}


def dispose(result: Any) -> None:
    for each in result if isinstance(result, tuple) else (result,):
        if isinstance(each, asyncio.BaseTransport | asyncio.Server | socket.socket):
            each.close()


async def outcome(call: Call, subject: Any) -> str:
    """What becomes of a call: the name of its exception, or that it came back."""
    try:
        result = call(subject)
        if isinstance(result, Awaitable):
            result = await result
    except Exception as error:
        return type(error).__name__
    dispose(result)
    return "returned"


# Loops. What ends a loop is called apart from the others.


async def met(server: Any, connecting: Awaitable[Any], accepted: asyncio.Future[Any]) -> None:
    """Connect to `server`, and end both sides."""
    transport, _ = await connecting
    protocol = await accepted
    transport.close()
    await protocol.lost
    server.close()
    await server.wait_closed()


def accepting(loop: Any) -> tuple[Callable[[], Any], asyncio.Future[Any]]:
    accepted = loop.create_future()

    class Accepted(streams.Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.set_result(self)

    return Accepted, accepted


async def connection(loop: Any) -> None:
    factory, accepted = accepting(loop)
    server = await loop.create_server(factory, "127.0.0.1", 0)
    await met(server, loop.create_connection(PLAIN, *server.sockets[0].getsockname()), accepted)


async def unix_connection(loop: Any, path: Path) -> None:
    factory, accepted = accepting(loop)
    server = await loop.create_unix_server(factory, path)
    await met(server, loop.create_unix_connection(PLAIN, path), accepted)


async def accepted(loop: Any) -> Any:
    ours, theirs = tcp_pair()
    theirs.close()
    return await loop.connect_accepted_socket(PLAIN, ours)


async def pipe(loop: Any, method: str) -> Any:
    ends = pipes.pipe_objects()
    chosen = method == "connect_write_pipe"
    ends[not chosen].close()
    return await getattr(loop, method)(asyncio.BaseProtocol, ends[chosen])


async def watched(loop: Any, what: str) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        getattr(loop, f"add_{what}")(sock, print)
        assert getattr(loop, f"remove_{what}")(sock)


async def handled(loop: Any) -> None:
    loop.add_signal_handler(signal.SIGUSR2, print)
    assert loop.remove_signal_handler(signal.SIGUSR2)


async def accept_and_connect(loop: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as sock:
        listening.setblocking(False)
        sock.setblocking(False)
        await loop.sock_connect(sock, listening.getsockname())
        (await loop.sock_accept(listening))[0].close()


async def stream_calls(loop: Any) -> None:
    ours, theirs = tcp_pair()
    with ours, theirs, open(__file__, "rb") as file:
        await loop.sock_sendall(ours, b"12")
        assert await loop.sock_recv(theirs, 1) == b"1"
        assert await loop.sock_recv_into(theirs, bytearray(10)) == 1
        assert await loop.sock_sendfile(ours, file, count=10) == 10


async def datagram_calls(loop: Any) -> None:
    with udp() as ours, udp() as theirs:
        for _ in range(2):
            await loop.sock_sendto(ours, b"1", theirs.getsockname())
        assert (await loop.sock_recvfrom(theirs, 10))[0] == b"1"
        assert (await loop.sock_recvfrom_into(theirs, bytearray(10)))[0] == 1


async def sendfile(loop: Any) -> None:
    ours, theirs = tcp_pair()
    transport, _ = await loop.create_connection(PLAIN, sock=ours)
    with theirs, open(__file__, "rb") as file:
        assert await loop.sendfile(transport, file, count=10) == 10
    transport.close()


async def start_tls(loop: Any) -> None:
    ours, theirs = tcp_pair()
    transport, protocol = await loop.create_connection(PLAIN, sock=ours)
    upgrading = asyncio.create_task(loop.start_tls(transport, protocol, client_context(), server_hostname="localhost"))
    assert await loop.sock_recv(theirs, 10)
    theirs.close()
    with contextlib.suppress(OSError):
        await upgrading


async def child(loop: Any, method: str, *command: str) -> None:
    ended = loop.create_future()

    class Child(asyncio.SubprocessProtocol):
        def connection_lost(self, exc: BaseException | None) -> None:
            ended.set_result(None)

    transport, _ = await getattr(loop, method)(Child, *command)
    await ended
    transport.close()


async def nothing() -> None: ...


OF_LOOPS: dict[str, Call] = {
    "add_reader": lambda loop: watched(loop, "reader"),
    "add_writer": lambda loop: watched(loop, "writer"),
    "add_signal_handler": handled,
    "call_at": lambda loop: loop.call_at(loop.time(), lambda: None),
    "call_later": lambda loop: loop.call_later(0, lambda: None),
    "call_soon": lambda loop: loop.call_soon(lambda: None),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(lambda: None),
    "call_exception_handler": lambda loop: loop.call_exception_handler({"message": "a test"}),
    "default_exception_handler": lambda loop: loop.default_exception_handler({"message": "a test"}),
    "get_exception_handler": lambda loop: loop.get_exception_handler(),
    "set_exception_handler": lambda loop: loop.set_exception_handler(None),
    "connect_accepted_socket": accepted,
    "connect_read_pipe": lambda loop: pipe(loop, "connect_read_pipe"),
    "connect_write_pipe": lambda loop: pipe(loop, "connect_write_pipe"),
    "create_connection": connection,
    "create_server": lambda loop: loop.create_server(PLAIN, "127.0.0.1", 0),
    "create_datagram_endpoint": lambda loop: loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=datagrams.LOCAL
    ),
    "create_future": lambda loop: loop.create_future() and None,
    "create_task": lambda loop: loop.create_task(nothing()),
    "get_task_factory": lambda loop: loop.get_task_factory(),
    "set_task_factory": lambda loop: loop.set_task_factory(None),
    "getaddrinfo": lambda loop: loop.getaddrinfo("127.0.0.1", 80),
    "getnameinfo": lambda loop: loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
    "get_debug": lambda loop: loop.get_debug(),
    "set_debug": lambda loop: loop.set_debug(False),
    "is_closed": lambda loop: loop.is_closed(),
    "is_running": lambda loop: loop.is_running(),
    "remove_reader": lambda loop: watched(loop, "reader"),
    "remove_writer": lambda loop: watched(loop, "writer"),
    "remove_signal_handler": lambda loop: loop.remove_signal_handler(signal.SIGUSR2),
    "run_in_executor": lambda loop: loop.run_in_executor(None, int),
    "set_default_executor": lambda loop: loop.set_default_executor(ThreadPoolExecutor(1)),
    "sendfile": sendfile,
    "shutdown_asyncgens": lambda loop: loop.shutdown_asyncgens(),
    "shutdown_default_executor": lambda loop: loop.shutdown_default_executor(),
    "sock_accept": accept_and_connect,
    "sock_connect": accept_and_connect,
    "sock_recv": stream_calls,
    "sock_recv_into": stream_calls,
    "sock_sendall": stream_calls,
    "sock_sendfile": stream_calls,
    "sock_recvfrom": datagram_calls,
    "sock_recvfrom_into": datagram_calls,
    "sock_sendto": datagram_calls,
    "start_tls": start_tls,
    "subprocess_exec": lambda loop: child(loop, "subprocess_exec", "/bin/true"),
    "subprocess_shell": lambda loop: child(loop, "subprocess_shell", "exit 0"),
    "time": lambda loop: loop.time(),
}
"""What is called while the loop runs; an exception handler's report goes to the log."""


def test_loops(run: Run, tmp_path: Path) -> None:
    of_loops = OF_LOOPS | {
        "create_unix_connection": lambda loop: unix_connection(loop, tmp_path / "one"),
        "create_unix_server": lambda loop: loop.create_unix_server(PLAIN, tmp_path / "two"),
    }

    async def main() -> dict[str, str]:
        loop = asyncio.get_running_loop()
        told = {name: await outcome(call, loop) for name, call in of_loops.items()}
        await recorder.turns()
        return told

    assert set(run(main()).values()) == {"returned"}
    called_without_a_loop_that_runs = {"run_forever", "run_until_complete", "stop", "close"}
    assert public(asyncio.SelectorEventLoop) == of_loops.keys() | called_without_a_loop_that_runs


def test_loops_that_do_not_run(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = loop_factory()
    loop.stop()
    loop.run_forever()
    loop.run_until_complete(nothing())
    loop.close()


def test_servers(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(PLAIN, "127.0.0.1", 0)
        serving = asyncio.create_task(server.serve_forever())
        calls: dict[str, Call] = {
            "get_loop": lambda server: server.get_loop(),
            "is_serving": lambda server: server.is_serving(),
            "start_serving": lambda server: server.start_serving(),
            "close": lambda server: server.close(),
            "wait_closed": lambda server: server.wait_closed(),
        }
        if sys.version_info >= (3, 13):
            calls |= {
                "close_clients": lambda server: server.close_clients(),
                "abort_clients": lambda server: server.abort_clients(),
            }
        assert {await outcome(call, server) for call in calls.values()} == {"returned"}
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert public(asyncio.Server) == calls.keys() | {"serve_forever"}

    run(main())


# Transports. Each method gets one of its own.

OF_TRANSPORTS: dict[str, Call] = {
    "abort": lambda transport: transport.abort(),
    "can_write_eof": lambda transport: transport.can_write_eof(),
    "close": lambda transport: transport.close(),
    "get_extra_info": lambda transport: transport.get_extra_info("peername"),
    "get_pid": lambda transport: transport.get_pid(),
    "get_pipe_transport": lambda transport: transport.get_pipe_transport(0) and None,
    "get_protocol": lambda transport: transport.get_protocol(),
    "get_read_buffer_limits": lambda transport: transport.get_read_buffer_limits(),
    "get_read_buffer_size": lambda transport: transport.get_read_buffer_size(),
    "get_returncode": lambda transport: transport.get_returncode(),
    "get_write_buffer_limits": lambda transport: transport.get_write_buffer_limits(),
    "get_write_buffer_size": lambda transport: transport.get_write_buffer_size(),
    "is_closing": lambda transport: transport.is_closing(),
    "is_reading": lambda transport: transport.is_reading(),
    "kill": lambda transport: transport.kill(),
    "pause_reading": lambda transport: transport.pause_reading(),
    "resume_reading": lambda transport: transport.resume_reading(),
    "send_signal": lambda transport: transport.send_signal(signal.SIGTERM),
    "sendto": lambda transport: transport.sendto(b"1"),
    "set_protocol": lambda transport: transport.set_protocol(transport.get_protocol()),
    "set_read_buffer_limits": lambda transport: transport.set_read_buffer_limits(100),
    "set_write_buffer_limits": lambda transport: transport.set_write_buffer_limits(100),
    "terminate": lambda transport: transport.terminate(),
    "write": lambda transport: transport.write(b"1"),
    "write_eof": lambda transport: transport.write_eof(),
    "writelines": lambda transport: transport.writelines([b"1", b"2"]),
}


@contextlib.asynccontextmanager
async def stream() -> Any:
    transport, protocol, theirs = await streams.pair()
    with theirs:
        yield transport
        transport.abort()
        await protocol.lost


@contextlib.asynccontextmanager
async def tls() -> Any:
    client, served, server = await secured()
    yield client.transport
    client.transport.abort()
    await client.lost
    await served.lost
    await end(server)


@contextlib.asynccontextmanager
async def datagram() -> Any:
    with udp() as theirs:
        transport, protocol = await datagrams.endpoint(remote_addr=theirs.getsockname())
        yield transport
        transport.abort()
        await protocol.lost


@contextlib.asynccontextmanager
async def a_pipe(read: bool) -> Any:
    reader, writer = pipes.pipe_objects()
    transport, protocol = await (pipes.reading(reader) if read else pipes.writing(writer))
    yield transport
    transport.close()
    await protocol.lost
    (writer if read else reader).close()


@contextlib.asynccontextmanager
async def process() -> Any:
    loop = asyncio.get_running_loop()
    lost = loop.create_future()

    class Child(asyncio.SubprocessProtocol):
        def connection_lost(self, exc: BaseException | None) -> None:
            lost.set_result(None)

    transport, _ = await loop.subprocess_exec(Child, "/bin/cat", stdin=PIPE, stdout=PIPE, stderr=None)
    yield transport
    transport.close()
    await lost


KINDS: dict[str, tuple[Any, set[str]]] = {
    "stream": (stream, set()),
    "TLS": (tls, {"write_eof"}),
    "datagram": (datagram, {"can_write_eof", "write", "write_eof", "writelines"}),
    "read pipe": (functools.partial(a_pipe, read=True), set()),
    "write pipe": (functools.partial(a_pipe, read=False), {"is_reading", "pause_reading", "resume_reading"}),
    "process": (process, set()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_transports(run: Run, kind: str) -> None:
    make, expected = KINDS[kind]

    async def main() -> None:
        async with make() as transport:
            asyncios = next(each for each in transport.__class__.__mro__ if each.__module__.startswith("asyncio."))
            names = public(asyncios)
        told = {}
        for name in sorted(names):
            async with make() as transport:
                told[name] = await outcome(OF_TRANSPORTS[name], transport)
        assert {name for name, what in told.items() if what == NOT_IMPLEMENTED} == expected
        assert set(told.values()) <= {"returned", NOT_IMPLEMENTED}, told

    run(main())
