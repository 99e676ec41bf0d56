"""In which context a protocol is told of what: as with asyncio, that of the call which has begun to wait for it.

From Python 3.15 on a stream's protocol is told of everything in the context in which the connection was made.
"""

import asyncio
import contextvars
import functools
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .datagrams import endpoint
from .pipes import pipe_objects, reading, writing
from .recorder import MEGABYTE, Run, turns
from .secure import client_context, server_context

WHERE: contextvars.ContextVar[str] = contextvars.ContextVar("WHERE", default="nowhere")


def within(name: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """What `call` gives in a context in which WHERE is `name`."""

    def body() -> Any:
        WHERE.set(name)
        return call(*arguments)

    return contextvars.copy_context().run(body)


async def awaited_within(name: str, begin: Callable[[], Any]) -> Any:
    return await within(name, lambda: asyncio.get_running_loop().create_task(begin()))


class Noting(asyncio.Protocol, asyncio.DatagramProtocol):
    """Notes what it is told, and where."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(self, what: str) -> None:
        self.told.append((what, WHERE.get()))

    def connection_made(self, transport: Any) -> None:
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.note("data")

    def eof_received(self) -> None:
        self.note("eof")

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.note("lost")
        self.lost.set_result(None)


async def emptied(read: Callable[[], bytes]) -> None:
    """Read what there is until nothing more comes."""
    quiet = 0
    while quiet < 10:
        try:
            quiet = 0 if read() else 10
        except BlockingIOError:
            quiet += 1
        await asyncio.sleep(0)


def of_a_stream(*told: tuple[str, str]) -> list[tuple[str, str]]:
    """What its protocol notes; `pause_writing` is called by the write itself."""
    if sys.version_info < (3, 15):
        return list(told)
    return [(what, where if what == "pause" else "connect") for what, where in told]


async def connection() -> tuple[Any, Any, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, protocol = await awaited_within("connect", lambda: loop.create_connection(Noting, sock=ours))
    return transport, protocol, theirs


def test_a_stream_that_is_resumed(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await connection()
        with theirs:
            theirs.send(b"1")
            await turns()
            within("pause", transport.pause_reading)
            theirs.send(b"2")
            within("resume", transport.resume_reading)
            await turns()
        await protocol.lost
        assert protocol.told == of_a_stream(
            ("made", "connect"), ("data", "connect"), ("data", "resume"), ("eof", "resume"), ("lost", "resume")
        )  # fmt: skip

    run(main())


def test_a_stream_that_drains(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await connection()
        with theirs:
            for name in ("one", "two"):
                within(name, transport.write, bytes(MEGABYTE))
                await emptied(lambda: theirs.recv(MEGABYTE))
            assert not transport.get_write_buffer_size()
            within("close", transport.close)
            await protocol.lost
        assert protocol.told == of_a_stream(
            ("made", "connect"), ("pause", "one"), ("resume", "one"), ("pause", "two"), ("resume", "two"),
            ("lost", "close"),
        )  # fmt: skip

    run(main())


def test_a_stream_that_is_closed_with_much_to_send(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await connection()
        with theirs:
            within("write", transport.write, bytes(MEGABYTE))
            within("close", transport.close)
            await emptied(lambda: theirs.recv(MEGABYTE))
            await protocol.lost
        assert protocol.told == of_a_stream(
            ("made", "connect"), ("pause", "write"), ("resume", "write"), ("lost", "write")
        )

    run(main())


@pytest.mark.parametrize("method", ["close", "abort"])
def test_a_stream_that_is_ended(run: Run, method: str) -> None:
    async def main() -> None:
        transport, protocol, theirs = await connection()
        within(method, getattr(transport, method))
        await protocol.lost
        theirs.close()
        assert protocol.told == of_a_stream(("made", "connect"), ("lost", method))

    run(main())


def test_a_stream_that_is_upgraded(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, protocol = await awaited_within("connect", lambda: loop.create_connection(Noting, sock=ours))
        upgrading = awaited_within(
            "upgrade", lambda: loop.start_tls(transport, protocol, client_context(), server_hostname="localhost")
        )
        accepting = loop.connect_accepted_socket(asyncio.Protocol, theirs, ssl=server_context())
        upgraded, (accepted, _) = await asyncio.gather(upgrading, accepting)
        accepted.write(b"1")
        accepted.close()
        await protocol.lost
        assert protocol.told == of_a_stream(
            ("made", "connect"), ("data", "upgrade"), ("eof", "upgrade"), ("lost", "upgrade")
        )
        upgraded.close()

    run(main())


def test_a_pipe_that_is_resumed(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await awaited_within("connect", lambda: reading(reader, Noting))
        with writer:
            writer.write(b"1")
            await turns()
            transport.pause_reading()
            writer.write(b"2")
            within("resume", transport.resume_reading)
            await turns()
        await protocol.lost
        assert protocol.told == [
            ("made", "connect"), ("data", "connect"), ("data", "resume"), ("eof", "resume"), ("lost", "resume")
        ]  # fmt: skip

    run(main())


def test_a_pipe_that_drains(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        os.set_blocking(reader.fileno(), False)
        transport, protocol = await awaited_within("connect", lambda: writing(writer, Noting))
        with reader:
            within("write", transport.write, bytes(MEGABYTE))
            await emptied(lambda: os.read(reader.fileno(), MEGABYTE))
        await protocol.lost
        assert protocol.told == [("made", "connect"), ("pause", "write"), ("resume", "write"), ("lost", "connect")]

    run(main())


def test_an_endpoint_that_drains(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "theirs")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
            theirs.bind(path)
            theirs.setblocking(False)
            begin = functools.partial(endpoint, Noting, family=socket.AF_UNIX, remote_addr=path)
            transport, protocol = await awaited_within("connect", begin)
            while not transport.get_write_buffer_size():
                within("first", transport.sendto, b"full")
            within("later", transport.sendto, b"full")
            within("close", transport.close)
            await emptied(lambda: theirs.recv(MEGABYTE))
            await protocol.lost
        assert protocol.told == [("made", "connect"), ("lost", "first")]

    run(main())
