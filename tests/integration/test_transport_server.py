"""Accepting connections: factories and servers that fail, running out of descriptors, reused numbers, TLS."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import LOOPS

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run_riata() -> Run:
    """`asyncio.run` on riata: for what asyncio does otherwise."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS["riata"]) as runner:
            return runner.run(main)

    return run


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def serve(factory: Callable[[], Any] = Echo, **options: Any) -> tuple[asyncio.Server, Any]:
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, **options)
    return server, server.sockets[0].getsockname()


def failures(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What the loop's exception handler is told from now on."""
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    return told


async def echo(address: Any, text: bytes, **options: Any) -> bytes:
    """Sends `text` over a connection of its own; what comes back."""
    reader, writer = await asyncio.open_connection(*address, **options)
    writer.write(text)
    try:
        return await reader.readexactly(len(text))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def end(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
    for _ in range(5):
        await asyncio.sleep(0)


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_many_connections_at_once_and_every_descriptor_comes_back(run: Run) -> None:
    async def main() -> None:
        server, address = await serve()
        before = open_fds()
        for _ in range(10):
            texts = [b"%d" % number for number in range(100)]
            assert await asyncio.gather(*(echo(address, text) for text in texts)) == texts
        while open_fds() > before:
            await asyncio.sleep(0)
        await end(server)

    run(main())


# asyncio leaves the next four connections open, for the collector; and tells of them in debug mode alone.


@pytest.mark.parametrize("debug", [False, True])
def test_a_factory_that_raises_costs_its_connection_only(run_riata: Run, debug: bool) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(debug)
        told = failures(asyncio.get_running_loop())
        error = ValueError("from the factory")
        outcomes: Iterator[Any] = iter([error, Echo])

        def factory() -> Any:
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome()

        server, address = await serve(factory)
        before = open_fds()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await echo(address, b"refused")
        assert open_fds() == before
        assert await echo(address, b"served") == b"served"
        assert [context["message"] for context in told] == ["Error on transport creation for incoming connection"]
        assert told[0]["exception"] is error
        await end(server)

    run_riata(main())


@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_an_interrupt_from_a_factory_ends_the_loop(interrupt: type[BaseException]) -> None:
    loop = LOOPS["riata"]()

    def factory() -> Any:
        raise interrupt

    server, address = loop.run_until_complete(serve(factory))
    with socket.create_connection(address) as client:
        with pytest.raises(interrupt):
            loop.run_forever()
        assert client.recv(1) == b""
    loop.run_until_complete(end(server))
    loop.close()


@pytest.mark.parametrize("debug", [False, True])
def test_a_factory_that_closes_the_server(run_riata: Run, debug: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        told = failures(loop)

        def factory() -> Any:
            server.close()
            return Echo()

        server, address = await serve(factory)
        with contextlib.ExitStack() as clients:
            sockets = [clients.enter_context(socket.create_connection(address)) for _ in range(3)]
            await server.wait_closed()
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(told) <= 1, "no other is accepted"
            if told:
                assert sockets[0].recv(1) == b""

    run_riata(main())


def test_running_out_of_descriptors_is_told_once_and_survived(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.01)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        server, address = await serve(backlog=1)
        client = socket.socket()
        client.setblocking(False)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
        try:
            await loop.sock_connect(client, address)
            while not told:
                await asyncio.sleep(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert told[0]["message"] == "socket.accept() out of system resource"
        assert told[0]["exception"].errno == errno.EMFILE
        assert told[0]["socket"].getsockname() == address
        await loop.sock_sendall(client, b"patience")
        assert await loop.sock_recv(client, 100) == b"patience"
        client.close()
        await end(server)

    run(main())


def test_a_server_closed_while_it_waits_for_descriptors(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        server, address = await serve(backlog=1)
        client = socket.socket()
        client.setblocking(False)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
        try:
            await loop.sock_connect(client, address)
            while not told:
                await asyncio.sleep(0)
            server.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await end(server)
        client.close()

    run(main())


def test_an_event_of_a_closed_connection_is_not_its_successors(run_riata: Run) -> None:
    """Both ends of two connections are ready in one poll; the first callback closes the second connection and opens
    another under its number: that one must not be told what the poll said of its predecessor."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        (one, one_peer), (two, two_peer) = socket.socketpair(), socket.socketpair()
        made: list[Any] = []

        class Second(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                raise AssertionError(f"{data!r} is not ours")

        class First(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                if made:
                    return
                fd = second.get_extra_info("socket").fileno()
                second.abort()
                second._call_connection_lost(None)
                successor, peer = socket.socketpair()
                made.extend([successor, peer, fd])
                loop.create_task(adopt(successor))

        async def adopt(sock: socket.socket) -> None:
            made.append(await loop.create_connection(Second, sock=sock))

        first, _ = await loop.create_connection(First, sock=one)
        second, _ = await loop.create_connection(Second, sock=two)
        one_peer.send(b"for the first")
        two_peer.send(b"for the second")
        while len(made) < 4:
            await asyncio.sleep(0)
        successor, peer, fd, (transport, _) = made
        assert fd in (successor.fileno(), peer.fileno())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not transport.is_closing()
        for each in (first, transport):
            each.close()
        for _ in range(5):
            await asyncio.sleep(0)
        for sock in (one_peer, two_peer, peer):
            sock.close()

    run_riata(main())


def test_closing_and_aborting_clients(run: Run) -> None:
    if not hasattr(asyncio.Server, "close_clients"):
        pytest.skip("Server.close_clients and abort_clients came with Python 3.13")

    async def main() -> None:
        for method in ("close_clients", "abort_clients"):
            server, address = await serve()
            clients = [await asyncio.open_connection(*address) for _ in range(3)]
            for _, writer in clients:
                writer.write(b"x")
            for reader, _ in clients:
                await reader.readexactly(1)
            server.close()
            getattr(server, method)()
            await server.wait_closed()
            for reader, writer in clients:
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()

    run(main())


def test_a_closed_server_waits_for_its_connections(run: Run) -> None:
    async def main() -> None:
        server, address = await serve()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        await reader.readexactly(1)
        server.close()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(*address)
        writer.write(b"still served")
        assert await reader.readexactly(12) == b"still served"
        writer.close()
        await writer.wait_closed()
        await end(server)

    run(main())


def test_a_python_socket_is_made_only_when_asked_for(run_riata: Run) -> None:
    async def main() -> None:
        protocols = []

        class Noting(Echo):
            def __init__(self) -> None:
                protocols.append(self)

        server, address = await serve(Noting)
        _, writer = await asyncio.open_connection(*address)
        while not (protocols and hasattr(protocols[0], "transport")):
            await asyncio.sleep(0)
        transport = protocols[0].transport
        assert transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        assert transport._owns_descriptor
        fd = transport.get_extra_info("socket").fileno()
        assert not transport._owns_descriptor
        assert transport._sock_fd == transport._sock.fileno() == fd
        writer.close()
        await writer.wait_closed()
        await end(server)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    run_riata(main())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    try:
        subprocess.run([*command, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def contexts(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=certificate.with_suffix(".crt"))
    client.check_hostname = False
    return server, client


def test_tls_in_both_directions(run: Run, certificate: Path) -> None:
    async def main() -> None:
        server_context, client_context = contexts(certificate)
        server, address = await serve(ssl=server_context)
        text = os.urandom(3 << 20)
        assert await echo(address, text, ssl=client_context) == text
        texts = [b"%d" % number for number in range(20)]
        assert await asyncio.gather(*(echo(address, text, ssl=client_context) for text in texts)) == texts
        await end(server)

    run(main())


def test_start_tls_on_both_sides(run: Run, certificate: Path) -> None:
    async def main() -> None:
        server_context, client_context = contexts(certificate)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"upgrade\n"
            writer.write(b"now\n")
            await writer.start_tls(server_context)
            writer.write(await reader.readexactly(6))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"upgrade\n")
        assert await reader.readline() == b"now\n"
        await writer.start_tls(client_context)
        writer.write(b"secret")
        assert await reader.read() == b"secret"
        assert writer.get_extra_info("cipher")
        writer.close()
        await writer.wait_closed()
        await end(server)

    run(main())


def test_a_failed_handshake_costs_its_connection_only(run: Run, certificate: Path) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        server_context, client_context = contexts(certificate)
        server, address = await serve(ssl=server_context)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"this is no TLS\r\n" * 10)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert await echo(address, b"well", ssl=client_context) == b"well"
        assert not told, "told of in debug mode only"
        await end(server)

    run(main())


def test_sendfile(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(range(256)) * 8192)
        received = bytearray()
        done = asyncio.Event()

        class Sink(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                received.extend(data)

            def connection_lost(self, exc: BaseException | None) -> None:
                done.set()

        loop = asyncio.get_running_loop()
        server, address = await serve(Sink)
        transport, _ = await loop.create_connection(Echo, *address)
        transport.write(b"head")
        with path.open("rb") as file:
            assert await loop.sendfile(transport, file, fallback=False) == 256 * 8192
        transport.write(b"tail")
        transport.close()
        await done.wait()
        assert bytes(received) == b"head" + path.read_bytes() + b"tail"
        await end(server)

    run(main())
