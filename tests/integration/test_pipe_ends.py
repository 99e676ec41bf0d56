"""How pipe transports end: closing, errors, protocols that raise, being forgotten."""

import asyncio
import errno
import gc
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.pipes import Counting, forget, pipe_objects, read_until_would_block, reading, writing
from tests.integration.recorder import MEGABYTE, Recorder, Run, turns


@pytest.mark.parametrize("how", ["close", "write_eof"])
def test_closing_writes_what_waits_first(run: Run, how: str) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        os.set_blocking(reader.fileno(), False)
        transport, protocol = await writing(writer)
        assert transport.can_write_eof()
        transport.write(b"a" * MEGABYTE)
        getattr(transport, how)()
        assert transport.is_closing()
        transport.write(b"never sent")
        transport.close()
        assert await read_until_would_block(reader.fileno(), MEGABYTE) == b"a" * MEGABYTE
        assert await protocol.lost is None
        assert os.read(reader.fileno(), 1) == b""
        assert writer.closed
        reader.close()

    run(main())


def test_abort_forgets_what_waits(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await writing(writer)
        transport.write(b"a" * MEGABYTE)
        waiting = transport.get_write_buffer_size()
        assert waiting > 0
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        assert protocol.events == ["made", "pause", "lost"]
        assert len(os.read(reader.fileno(), MEGABYTE)) == MEGABYTE - waiting
        reader.close()

    run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_a_reader_that_leaves_ends_the_writer(run: Run, waits: bool) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await writing(writer)
        if waits:
            transport.write(b"a" * MEGABYTE)
        reader.close()
        error = await protocol.lost
        assert isinstance(error, BrokenPipeError) if waits else error is None
        assert transport.is_closing()
        assert writer.closed

    run(main())


def test_a_write_that_nobody_will_read(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await writing(writer)
        reader.close()
        transport.write(b"x")
        assert transport.is_closing()
        for _ in range(6):
            transport.write(b"x")
        error = await protocol.lost
        assert isinstance(error, BrokenPipeError)
        assert error.errno == errno.EPIPE
        assert protocol.events == ["made", "lost"]

    with caplog.at_level(logging.WARNING):
        run(main())
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["pipe closed by peer or os.write(pipe, data) raised exception."] * 2


def test_a_protocol_that_fails(run: Run) -> None:
    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise ZeroDivisionError(data)

    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        reader, writer = pipe_objects()
        _transport, protocol = await reading(reader, Failing)
        writer.write(b"1")
        await protocol.until(1)
        # It goes on: an exception in a callback is reported, no more.
        writer.write(b"2")
        await protocol.until(2)
        await turns()
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError] * 2
        assert all("Exception in callback " in context["message"] for context in told)
        writer.close()
        assert await protocol.lost is None

    run(main())


def test_a_read_that_fails(run: Run) -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        reader, writer = pipe_objects()
        # A writing end: it is ready once its reader has gone, and cannot be read.
        transport, protocol = await reading(writer)
        reader.close()
        error = await protocol.lost
        assert isinstance(error, OSError)
        assert error.errno == errno.EBADF
        assert [context["message"] for context in told] == ["Fatal read error on pipe transport"]
        assert told[0]["exception"] is error
        assert told[0]["transport"] is transport
        assert told[0]["protocol"] is protocol

    run(main())


@pytest.mark.parametrize("end", ["read", "write"])
def test_a_pipe_is_closed_once_whatever_is_called(run: Run, end: str) -> None:
    async def main() -> None:
        reader, writer = os.pipe()
        ours, other = (reader, writer) if end == "read" else (writer, reader)
        pipe = Counting(ours)
        transport, protocol = await (reading if end == "read" else writing)(pipe)
        transport.close()
        transport.close()
        os.close(other)
        assert await protocol.lost is None
        transport.close()
        await turns()
        assert pipe.closes == 1
        assert protocol.events == ["made", "lost"]
        # The number serves another file now, which must stay open.
        another = os.pipe()
        del transport
        gc.collect()
        for fd in another:
            os.fstat(fd)
            os.close(fd)

    run(main())


def test_closed_while_it_is_made(run: Run) -> None:
    class Closing(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.close()

    async def main() -> None:
        reader, writer = pipe_objects()
        _, receiver = await reading(reader, Closing)
        _, sender = await writing(writer, Closing)
        assert await receiver.lost is None
        assert await sender.lost is None
        await turns()
        assert receiver.events == sender.events == ["made", "lost"]

    run(main())


def test_left_open(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = loop_factory()
    reader, writer = pipe_objects()
    sinks = [loop.run_until_complete(reading(reader))[0]]
    sources = [loop.run_until_complete(writing(writer))[0]]
    loop.close()
    rfd, wfd = reader.fileno(), writer.fileno()
    with pytest.warns(ResourceWarning, match=rf"unclosed transport <_UnixReadPipeTransport fd={rfd} open>"):
        forget(sinks)
    with pytest.warns(ResourceWarning, match=rf"unclosed transport <_UnixWritePipeTransport fd={wfd} open>"):
        forget(sources)
    assert reader.closed
    assert writer.closed


def test_a_paused_pipe_that_everybody_forgot(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await reading(reader)
        transport.pause_reading()
        held = [transport]
        del transport
        with pytest.warns(ResourceWarning, match="unclosed transport <_UnixReadPipeTransport"):
            forget(held)
        assert reader.closed
        writer.close()
        await turns()
        assert protocol.events == ["made"]

    run(main())


def test_a_disowned_pipe_leaves_the_loops_table(run: Run) -> None:
    async def main() -> None:
        reader, writer = pipe_objects()
        transport, protocol = await reading(reader)
        transport.pause_reading()
        transport._pipe = None
        held = [transport]
        del transport
        forget(held)
        writer.write(b"x")
        await turns()
        assert protocol.events == ["made"]
        reader.close()
        writer.close()

    run(main())


def test_a_closed_pipe_under_a_transports_feet_is_not_somebody_elses() -> None:
    # asyncio reads whatever has the number by then: riata alone.
    import riata

    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        reader, writer = pipe_objects()
        transport, protocol = await reading(reader)
        number = reader.fileno()
        reader.close()
        others, their_writer = os.pipe()
        assert others == number
        os.write(their_writer, b"not yours")
        transport.pause_reading()
        transport.resume_reading()
        await turns()
        assert protocol.received == b""
        assert os.read(others, 100) == b"not yours"
        transport.close()
        await protocol.lost
        os.close(others)
        os.close(their_writer)
        writer.close()

    riata.run(main())
