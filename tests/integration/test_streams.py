"""Streams: asyncio's classes and riata's, on asyncio's loop and on riata's."""

import asyncio
import gc
import inspect
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import riata

from . import combine

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=combine.MODULES)
def streams(request: pytest.FixtureRequest) -> Any:
    """The module whose streams are tried."""
    return combine.module(request.param)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_they_are_asyncios_to_whoever_asks(run: Run) -> None:
    async def main() -> None:
        reader = riata.StreamReader()
        assert isinstance(reader, asyncio.StreamReader)
        assert isinstance(riata.StreamReaderProtocol(reader), asyncio.StreamReaderProtocol)
        for method in [reader.read, reader.readline, reader.readexactly, reader.readuntil, riata.StreamWriter.drain]:
            assert inspect.iscoroutinefunction(method)
        assert inspect.signature(reader.read) == inspect.signature(asyncio.StreamReader().read)

    run(main())


def test_an_echo(streams: Any, run: Run) -> None:
    async def main() -> None:
        kinds = []

        async def serve(reader: Any, writer: Any) -> None:
            kinds.extend([type(reader), type(writer)])
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await streams.start_server(serve, "127.0.0.1", 0)
        reader, writer = await streams.open_connection(*server.sockets[0].getsockname())
        sent = bytes(range(256)) * 1000
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent
        assert reader.at_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        assert kinds == [streams.StreamReader, streams.StreamWriter] == [type(reader), type(writer)]

    run(main())


def test_over_a_unix_socket(streams: Any, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> None:
            writer.writelines([await reader.readline(), b"bye\n"])
            writer.close()

        server = await streams.start_unix_server(serve, tmp_path / "socket")
        reader, writer = await streams.open_unix_connection(tmp_path / "socket")
        writer.write(b"hello\n")
        assert [line async for line in reader] == [b"hello\n", b"bye\n"]
        writer.close()
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_reads_of_every_kind_however_the_data_come(streams: Any, run: Run, size: int) -> None:
    async def main() -> None:
        reader = streams.StreamReader()
        data = b"line\n" + b"exactly" + b"until;;" + b"some" + b"a long rest" * 10

        async def feed() -> None:
            for start in range(0, len(data), size):
                reader.feed_data(data[start : start + size])
                await turns(2)
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        assert await reader.readline() == b"line\n"
        assert await reader.readexactly(7) == b"exactly"
        assert await reader.readuntil(b";;") == b"until;;"
        some = await reader.read(4)
        assert b"some".startswith(some)
        assert await reader.readexactly(4 - len(some)) == b"some"[len(some) :]
        assert await reader.read(0) == b""
        assert await reader.read() == b"a long rest" * 10
        assert await reader.readline() == b""
        await feeding

    run(main())


def test_an_end_that_comes_too_early(streams: Any, run: Run) -> None:
    async def main() -> None:
        for read, partial, expected in [
            (lambda reader: reader.readexactly(5), b"abc", 5),
            (lambda reader: reader.readuntil(b"\n"), b"abc", None),
        ]:
            reader = streams.StreamReader()
            reader.feed_data(b"abc")
            reader.feed_eof()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await read(reader)
            assert (caught.value.partial, caught.value.expected) == (partial, expected)
            assert reader.at_eof()
            with pytest.raises(AssertionError, match="feed_data after feed_eof"):
                reader.feed_data(b"x")

    run(main())


def test_lines_that_are_too_long(streams: Any, run: Run) -> None:
    async def main() -> None:
        reader = streams.StreamReader(limit=3)
        reader.feed_data(b"12345\nab\n")
        with pytest.raises(asyncio.LimitOverrunError, match="chunk is longer than limit") as caught:
            await reader.readuntil()
        assert caught.value.consumed == 5
        with pytest.raises(ValueError, match="chunk is longer than limit"):
            await reader.readline()
        assert await reader.readline() == b"ab\n"
        reader.feed_data(b"12345")
        with pytest.raises(ValueError, match="chunk exceed the limit"):
            await reader.readline()
        reader.feed_data(b"x\n")
        assert await reader.readline() == b"x\n"
        with pytest.raises(ValueError, match="Separator should be at least one-byte string"):
            await reader.readuntil(b"")
        with pytest.raises(ValueError, match="can not be less than zero"):
            await reader.readexactly(-1)

    run(main())


def test_two_that_read_at_once(streams: Any, run: Run) -> None:
    async def main() -> None:
        reader = streams.StreamReader()
        first = asyncio.create_task(reader.read(1))
        await turns(1)
        with pytest.raises(RuntimeError, match=r"readuntil\(\) called while another coroutine is already waiting"):
            await reader.readline()
        first.cancel()
        await asyncio.wait([first])
        reader.feed_data(b"x")
        assert await reader.read(1) == b"x"

    run(main())


def test_an_exception_is_raised_by_whoever_reads(streams: Any, run: Run) -> None:
    async def main() -> None:
        reader = streams.StreamReader()
        waiting = asyncio.create_task(reader.readline())
        await turns(1)
        reader.set_exception(ConnectionResetError("gone"))
        for read in [waiting, reader.read(), reader.readexactly(1), reader.readline()]:
            with pytest.raises(ConnectionResetError, match="gone"):
                await read
        assert isinstance(reader.exception(), ConnectionResetError)

    run(main())


def test_a_reader_that_is_slow_pauses_its_transport(streams: Any, run: Run) -> None:
    class Transport:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def pause_reading(self) -> None:
            self.calls.append("pause")

        def resume_reading(self) -> None:
            self.calls.append("resume")

    async def main() -> None:
        transport = Transport()
        reader = streams.StreamReader(limit=4)
        reader.set_transport(transport)
        reader.feed_data(b"12345678")
        assert transport.calls == []
        reader.feed_data(b"9")
        assert transport.calls == ["pause"]
        await reader.readexactly(4)
        assert transport.calls == ["pause"]
        await reader.readexactly(1)
        assert transport.calls == ["pause", "resume"]
        transport.calls.clear()

    run(main())


def test_drain_waits_and_tells_of_a_lost_connection(streams: Any, run: Run) -> None:
    async def main() -> None:
        accepted = asyncio.get_running_loop().create_future()
        server = await streams.start_server(lambda *pair: accepted.set_result(pair), "127.0.0.1", 0)
        _, writer = await streams.open_connection(*server.sockets[0].getsockname())
        theirs, back = await accepted
        writer.write(b"x" * 20_000_000)
        draining = asyncio.create_task(writer.drain())
        await turns(20)
        assert not draining.done()
        assert len(await theirs.readexactly(20_000_000)) == 20_000_000
        await draining
        writer.transport.abort()
        await turns()
        with pytest.raises(ConnectionError):
            await writer.drain()
        back.close()
        server.close()
        await server.wait_closed()

    run(main())


def test_the_private_buffer_counts(streams: Any, run: Run) -> None:
    async def main() -> None:
        reader = streams.StreamReader()
        reader.feed_data(b"abc")
        assert type(reader._buffer) is bytearray
        reader._buffer.extend(b"def")
        assert await reader.read(2) == b"ab"
        del reader._buffer[:1]
        reader.feed_data(memoryview(b"ghi"))
        assert await reader.readexactly(6) == b"defghi"
        assert repr(reader) == "<StreamReader>"

    run(main())


def test_what_a_subclass_overrides_is_called(streams: Any, run: Run) -> None:
    class Loud(streams.StreamReader):  # type: ignore[misc]
        def feed_data(self, data: bytes) -> None:
            super().feed_data(data.upper())

    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> None:
            writer.write(b"quiet")
            writer.close()

        server = await streams.start_server(serve, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        reader = Loud(loop=loop)
        transport, _ = await loop.create_connection(
            lambda: streams.StreamReaderProtocol(reader, loop=loop), *server.sockets[0].getsockname()
        )
        assert await reader.read() == b"QUIET"
        transport.close()
        server.close()
        await server.wait_closed()

    run(main())


def test_a_reader_that_nobody_has_is_collected(streams: Any, run: Run) -> None:
    async def main() -> Any:
        reader = streams.StreamReader()
        reader.feed_data(b"x")
        reading = reader.readexactly(2)
        reading.send(None)
        reader.reading = reading
        return weakref.ref(reader)

    reference = run(main())
    gc.collect()
    assert reference() is None
