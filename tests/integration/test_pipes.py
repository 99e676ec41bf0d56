"""Pipe transports: FIFOs, sockets and terminals; reading, writing, pausing, ends, and who closes what."""

import asyncio
import errno
import logging
import os
import pty
import socket
import tty
from pathlib import Path
from typing import Any

import pytest
from tests.integration.pipes import pipe_objects, read_until_would_block, reading, unbuffered, writing
from tests.integration.recorder import MEGABYTE, Recorder, Run, turns


def test_what_arrives_and_the_end(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await reading(reader)
        assert (transport.is_reading(), transport.is_closing()) == (True, False)
        assert protocol.events == ["made"]
        writer.write(b"hello")
        await protocol.until(5)
        writer.write(b"x" * 1000)
        writer.close()
        assert await protocol.lost is None
        assert protocol.received == b"hello" + b"x" * 1000
        assert protocol.events == ["made", "data", "eof", "lost"]
        await turns()
        assert reader.closed
        assert transport.is_closing()
        assert not transport.is_reading()
        transport.close()
        transport.pause_reading()
        transport.resume_reading()
        assert transport.get_extra_info("pipe") is reader
        assert transport.get_extra_info("nothing", 7) == 7

    run(main())


def test_a_megabyte_from_end_to_end(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        _sink, receiver = await reading(reader)
        source, sender = await writing(writer)
        data = os.urandom(MEGABYTE)
        source.write(data)
        assert source.get_write_buffer_size() > 0
        assert sender.events == ["made", "pause"]
        source.write(bytearray(b"tail"))
        source.write(memoryview(b"-of-it"))
        source.writelines([b"-", b"all"])
        await receiver.until(MEGABYTE + 14)
        assert receiver.received == data + b"tail-of-it-all"
        assert source.get_write_buffer_size() == 0
        assert sender.events == ["made", "pause", "resume"]
        source.close()
        assert await sender.lost is None
        assert await receiver.lost is None

    run(main())


def test_sockets_are_pipes_too(run: Run) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        source, sender = await writing(ours)
        sink, receiver = await reading(theirs)
        source.write(b"over a socket")
        await receiver.until(13)
        assert receiver.received == b"over a socket"
        sink.close()
        assert await receiver.lost is None
        assert await sender.lost is None
        assert ours.fileno() == theirs.fileno() == -1

    run(main())


def test_fifos_in_the_file_system(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "fifo")
        os.mkfifo(path)
        # Reading is opened first, or opening for writing would wait.
        reader = unbuffered(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
        writer = unbuffered(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb")
        source, _sender = await writing(writer)
        _sink, receiver = await reading(reader)
        source.write(b"first")
        await receiver.until(5)
        source.close()
        assert await receiver.lost is None
        assert receiver.events == ["made", "data", "eof", "lost"]

    run(main())


def test_a_terminal_in_both_directions(run: Run) -> None:
    try:
        master, slave = pty.openpty()
    except OSError:
        pytest.skip("no pseudo-terminals here")

    async def main() -> None:
        tty.setraw(slave)
        source, sender = await writing(unbuffered(os.dup(master), "wb"))
        _sink, receiver = await reading(unbuffered(master, "rb"))
        os.write(slave, b"from the program")
        await receiver.until(16)
        # There is something to read, which says nothing of the writing side.
        source.write(b"to the program")
        assert os.read(slave, 100) == b"to the program"
        await turns()
        assert not source.is_closing()
        os.close(slave)
        # What a terminal says whose other side has gone: no reason to report anything.
        error = await receiver.lost
        assert isinstance(error, OSError)
        assert error.errno == errno.EIO
        source.close()
        assert await sender.lost is None

    told: list[Any] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        await main()

    run(watched())
    assert told == []


def test_the_null_device_takes_everything(run: Run) -> None:
    async def main() -> None:
        transport, protocol = await writing(unbuffered("/dev/null", "wb"))
        transport.write(b"x" * MEGABYTE)
        assert transport.get_write_buffer_size() == 0
        transport.close()
        assert await protocol.lost is None

    # The kernel cannot watch it; nothing has to be waited for.
    run(main())


def test_what_is_no_pipe(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "file"
        path.write_bytes(b"")
        with open(path, "rb") as file:
            with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
                await reading(file)
            assert not file.closed
        text = r"^Pipe transport is only for pipes, sockets and character devices$"
        with open(path, "wb") as file:
            with pytest.raises(ValueError, match=text):
                await writing(file)
            assert not file.closed

    run(main())


def test_pausing(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await reading(reader)
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        writer.write(b"while paused")
        await turns()
        assert protocol.events == ["made"]
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await protocol.until(12)
        transport.pause_reading()
        writer.close()
        await turns()
        assert protocol.events == ["made", "data"]
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.events == ["made", "data", "eof", "lost"]

    run(main())


def test_paused_from_the_start(run: Run) -> None:
    class Paused(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async def main() -> None:
        reader, writer = pipe_objects()
        writer.write(b"early")
        transport, protocol = await reading(reader, Paused)
        await turns()
        assert protocol.events == ["made"]
        transport.resume_reading()
        await protocol.until(5)
        transport.close()
        writer.close()
        await protocol.lost

    run(main())


def test_another_protocol_takes_over(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, first = await reading(reader)
        second = Recorder()
        second.events.append("given")
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        writer.write(b"x")
        await second.until(1)
        transport.close()
        assert await second.lost is None
        assert first.events == ["made"]
        writer.close()

    run(main())


def test_watermarks(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        os.set_blocking(reader.fileno(), False)
        transport, protocol = await writing(writer)
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=10)
        assert transport.get_write_buffer_limits() == (2, 10)
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_write_buffer_limits(high=1, low=2)
        while not transport.get_write_buffer_size():
            transport.write(b"z" * 65536)
        assert protocol.events == ["made", "pause"]
        transport.set_write_buffer_limits(high=MEGABYTE)
        await read_until_would_block(reader.fileno(), 65536)
        while transport.get_write_buffer_size():
            try:
                os.read(reader.fileno(), 65536)
            except BlockingIOError:
                await asyncio.sleep(0)
        assert protocol.events == ["made", "pause", "resume"]
        transport.close()
        await protocol.lost
        reader.close()

    run(main())


def test_reprs(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        (rfd, wfd) = (reader.fileno(), writer.fileno())
        sink, receiver = await reading(reader)
        source, sender = await writing(writer)
        await turns()
        assert repr(sink) == f"<_UnixReadPipeTransport fd={rfd} polling>"
        assert repr(source) == f"<_UnixWritePipeTransport fd={wfd} idle bufsize=0>"
        sink.pause_reading()
        assert repr(sink) == f"<_UnixReadPipeTransport fd={rfd} idle>"
        source.write(b"x" * MEGABYTE)
        waiting = source.get_write_buffer_size()
        assert repr(source) == f"<_UnixWritePipeTransport fd={wfd} polling bufsize={waiting}>"
        source.abort()
        sink.close()
        assert repr(sink) == f"<_UnixReadPipeTransport closing fd={rfd} idle>"
        assert repr(source) == f"<_UnixWritePipeTransport closing fd={wfd} idle bufsize=0>"
        await receiver.lost
        await sender.lost
        await turns()
        assert repr(sink) == f"<_UnixReadPipeTransport closed fd={rfd} closed>"
        assert repr(source) == f"<_UnixWritePipeTransport closed fd={wfd} closed>"

    run(main())


def test_classes(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        sink, _ = await reading(reader)
        source, _ = await writing(writer)
        assert isinstance(sink, asyncio.ReadTransport)
        assert not isinstance(sink, asyncio.WriteTransport)
        assert isinstance(source, asyncio.WriteTransport)
        assert sink.__class__.__name__ == "_UnixReadPipeTransport"
        assert source.__class__.__name__ == "_UnixWritePipeTransport"
        assert not hasattr(sink, "write")
        with pytest.raises(AssertionError):
            source.write("text")
        source.write(b"")
        sink.close()
        source.close()
        await turns()

    run(main())


def test_streams_over_pipes(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        read_end, write_end = pipe_objects()
        reader = asyncio.StreamReader(limit=1000)
        sink, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), read_end)
        source, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, write_end)
        writer = asyncio.StreamWriter(source, protocol, None, loop)

        async def produce() -> None:
            for number in range(20_000):
                writer.write(b"%d\n" % number)
                await writer.drain()
            writer.close()

        producing = asyncio.create_task(produce())
        numbers = [int(line) async for line in reader]
        assert numbers == list(range(20_000))
        await producing
        sink.close()

    run(main())


def test_the_loop_notices_in_debug_mode(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        asyncio.get_running_loop().slow_callback_duration = 0.0
        reader, writer = pipe_objects()
        transport, protocol = await reading(reader)
        transport.pause_reading()
        transport.resume_reading()
        writer.write(b"x")
        await protocol.until(1)
        writer.close()
        await protocol.lost

    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        run(main())
    lines = [record.getMessage() for record in caplog.records]
    for text in ("pauses reading", "resumes reading", "was closed by peer", "_ready("):
        assert any(text in line for line in lines), (text, lines)
