"""Stream transports and their protocols: buffers lent, protocols switched, protocols that fail."""

import asyncio
import socket
from typing import Any

import pytest

from .recorder import MEGABYTE, Run
from .streams import Recorder, failures, pair, receive_all


class Buffered(asyncio.BufferedProtocol):
    """Takes bytes eight at a time."""

    def __init__(self) -> None:
        self.buffer = bytearray(8)
        self.received = bytearray()
        self.lost = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> bytearray:
        assert sizehint == -1
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert 0 < nbytes <= 8
        self.received += self.buffer[:nbytes]

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


def test_a_protocol_that_lends_its_buffer(run: Run) -> None:
    async def main() -> None:
        _, protocol, theirs = await pair(Buffered)
        theirs.send(b"more than fits at once")
        theirs.close()
        assert await protocol.lost is None
        assert protocol.received == b"more than fits at once"

    run(main())


@pytest.mark.parametrize("buffer", [bytearray(), memoryview(b""), b"constant", None, "text"])
def test_a_buffer_that_cannot_be_filled_ends_the_connection(run: Run, buffer: Any) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        _, protocol, theirs = await pair(Buffered)
        protocol.get_buffer = lambda _: buffer
        theirs.send(b"x")
        assert isinstance(await protocol.lost, (RuntimeError, TypeError, BufferError))
        assert len(told) == 1
        assert told[0]["message"].startswith("Fatal")
        theirs.close()

    run(main())


def test_switching_protocols_in_both_directions(run: Run) -> None:
    async def main() -> None:
        transport, first, theirs = await pair()
        theirs.send(b"first")
        await first.until(5)
        second = Buffered()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        theirs.send(b"second")
        while len(second.received) < 6:
            await asyncio.sleep(0)
        transport.set_protocol(first)
        theirs.send(b"third")
        await first.until(10)
        assert (bytes(first.received), bytes(second.received)) == (b"firstthird", b"second")
        transport.close()
        await first.lost
        assert not second.lost.done()
        assert transport.get_protocol() is None
        theirs.close()

    run(main())


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_a_protocol_that_raises_ends_the_connection(run: Run, method: str) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        transport, protocol, theirs = await pair()
        error = ValueError("from the protocol")

        def fail(*_: object) -> None:
            transport.write(b"written before it failed")
            raise error

        setattr(protocol, method, fail)
        theirs.send(b"x")
        theirs.shutdown(socket.SHUT_WR)
        assert await protocol.lost is error
        assert [context["message"] for context in told] == [f"Fatal error: protocol.{method}() call failed."]
        assert told[0]["exception"] is error
        assert told[0]["transport"] is transport
        assert told[0]["protocol"] is protocol
        assert theirs.recv(100) == b"written before it failed"
        theirs.close()

    run(main())


def test_a_connection_made_that_raises_is_reported_and_the_connection_goes_on(run: Run) -> None:
    class Raising(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise ValueError("from connection_made")

    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        transport, protocol, theirs = await pair(Raising)
        assert len(told) == 1
        assert "connection_made" in told[0]["message"]
        theirs.send(b"x")
        await protocol.until(1)
        transport.close()
        await protocol.lost
        theirs.close()

    run(main())


def test_a_connection_lost_that_raises_still_closes(run: Run) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        transport, protocol, theirs = await pair()

        def fail(exc: BaseException | None) -> None:
            raise ValueError("from connection_lost")

        protocol.connection_lost = fail
        transport.close()
        assert await receive_all(theirs) == b""
        assert len(told) == 1
        assert "_call_connection_lost" in told[0]["message"]
        theirs.close()

    run(main())


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises_is_reported(run: Run, method: str) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        transport, protocol, theirs = await pair()

        def fail() -> None:
            raise ValueError("from the protocol")

        setattr(protocol, method, fail)
        transport.write(b"x" * 4 * MEGABYTE)
        transport.close()
        assert len(await receive_all(theirs)) == 4 * MEGABYTE
        await protocol.lost
        assert [context["message"] for context in told] == [f"protocol.{method}() failed"]
        theirs.close()

    run(main())


@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_an_interrupt_from_a_protocol_ends_the_loop(loop_factory: Any, interrupt: type[BaseException]) -> None:
    loop = loop_factory()
    transport, protocol, theirs = loop.run_until_complete(pair())

    def fail(data: bytes) -> None:
        raise interrupt

    protocol.data_received = fail
    theirs.send(b"x")
    with pytest.raises(interrupt):
        loop.run_forever()
    transport.abort()
    loop.run_until_complete(protocol.lost)
    theirs.close()
    loop.close()
