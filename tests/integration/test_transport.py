"""Stream transports over socket pairs and TCP: writing, ending, flow control."""

import asyncio
import logging
import random
import socket
from typing import Any

import pytest

import riata

from .recorder import MEGABYTE, Run, turns
from .streams import Recorder, connected, failures, pair, receive_all, reset


def test_what_is_written_arrives_in_order(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        transport.write(b"bytes ")
        changing = bytearray(b"bytearray ")
        transport.write(changing)
        transport.write(memoryview(b"xmemoryviewx")[1:-1])
        changing[:] = b"otherwise "
        transport.write(b"")
        transport.writelines([b" of", bytearray(b" a"), memoryview(b" list")])
        transport.writelines([])
        transport.close()
        assert await receive_all(theirs) == b"bytes bytearray memoryview of a list"
        assert await protocol.lost is None
        theirs.close()

    run(main())


def test_a_program_that_stops_directly_after_a_write_loses_nothing(loop_factory: Any) -> None:
    loop = loop_factory()
    transport, _, theirs = loop.run_until_complete(pair())
    loop.call_soon(lambda: (transport.write(b"last words"), loop.stop()))
    loop.run_forever()
    assert theirs.recv(100) == b"last words"
    transport.write(b"written to a loop that does not run")
    assert theirs.recv(100) == b"written to a loop that does not run"
    transport.close()
    loop.run_until_complete(asyncio.sleep(0))
    theirs.close()
    loop.close()


def test_writing_in_connection_made_and_closing_there(run: Run) -> None:
    class Greeter(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.write(b"hello")
            transport.write(b" and bye")
            transport.close()

    async def main() -> None:
        _, protocol, theirs = await pair(Greeter)
        assert await receive_all(theirs) == b"hello and bye"
        await protocol.lost
        assert protocol.events == ["made", "lost"]
        theirs.close()

    run(main())


def test_closing_in_data_received_is_the_last_data_received(run: Run) -> None:
    class Once(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.close()

    async def main() -> None:
        _, protocol, theirs = await pair(Once)
        theirs.send(b"one")
        await protocol.lost
        assert protocol.events == ["made", "data", "lost"]
        theirs.close()

    run(main())


def test_half_close_ends_one_direction_only(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        protocol.keep_open = True
        assert transport.can_write_eof()
        transport.write(b"question")
        transport.write_eof()
        transport.write_eof()
        assert await receive_all(theirs) == b"question"
        with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
            transport.write(b"more")
        theirs.send(b"answer")
        await protocol.until(6)
        theirs.shutdown(socket.SHUT_WR)
        while "eof" not in protocol.events:
            await asyncio.sleep(0)
        await turns()
        assert protocol.events == ["made", "data", "eof"]
        assert not transport.is_closing()
        transport.close()
        await protocol.lost
        theirs.close()

    run(main())


def test_a_peer_that_ended_its_side_can_still_be_written_to(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        protocol.keep_open = True
        theirs.shutdown(socket.SHUT_WR)
        while "eof" not in protocol.events:
            await asyncio.sleep(0)
        transport.write(b"still here")
        transport.close()
        assert await receive_all(theirs) == b"still here"
        theirs.close()

    run(main())


def test_an_end_of_stream_closes_unless_the_protocol_says_otherwise(run: Run) -> None:
    async def main() -> None:
        _, protocol, theirs = await pair()
        theirs.send(b"data and end in one event")
        theirs.close()
        assert await protocol.lost is None
        assert protocol.events == ["made", "data", "eof", "lost"]

    run(main())


@pytest.mark.parametrize("ending", ["close", "write_eof"])
def test_what_does_not_fit_is_sent_before_the_end(run: Run, ending: str) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        blob = bytes(range(256)) * (4 * MEGABYTE // 256)
        transport.write(blob)
        transport.write(b"tail")
        assert 0 < transport.get_write_buffer_size() < len(blob)
        getattr(transport, ending)()
        assert transport.is_closing() == (ending == "close")
        assert await receive_all(theirs) == blob + b"tail"
        assert transport.get_write_buffer_size() == 0
        transport.close()
        assert await protocol.lost is None
        assert protocol.events == ["made", "pause", "resume", "lost"]
        theirs.close()

    run(main())


def test_many_small_chunks_under_back_pressure(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        chunks = [f"{number:06}".encode() for number in range(100_000)]
        transport.writelines(chunks)
        transport.close()
        assert await receive_all(theirs) == b"".join(chunks)
        await protocol.lost
        theirs.close()

    run(main())


def test_messages_of_every_size_in_turn(run: Run) -> None:
    """What comes next is received by the size of what came last."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        sizes = [1, 100, 33, 40, 100, 111, 112, 113, 127, 128, 250, 256, 300, 60, 1, 90, 90, 5]
        for number, kib in enumerate([*sizes, *reversed(sizes)]):
            sent = random.Random(number).randbytes(kib * 1024 - number)
            writer.write(sent)
            assert await reader.readexactly(len(sent)) == sent
        writer.close()
        await writer.wait_closed()
        server.close()

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    run(main())


def test_limits_and_when_the_protocol_is_told(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.write(b"x" * 4000)
        await turns()
        assert protocol.events == ["made"], "the kernel took it all"
        transport.set_write_buffer_limits(high=2 * MEGABYTE)
        transport.write(b"x" * MEGABYTE)
        await turns()
        assert "pause" not in protocol.events
        transport.set_write_buffer_limits(high=0)
        assert protocol.events == ["made", "pause"]
        while "resume" not in protocol.events:
            await asyncio.get_running_loop().sock_recv(theirs, MEGABYTE)
            await turns()
        assert transport.get_write_buffer_size() == 0
        transport.abort()
        await protocol.lost
        theirs.close()

    run(main())


def test_a_client_that_does_not_read_costs_no_more_than_the_high_water_mark(run: Run) -> None:
    async def main() -> None:
        _, writer = await asyncio.open_connection(sock=(ends := socket.socketpair())[0])

        async def pour() -> None:
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()

        task = asyncio.ensure_future(pour())
        while not writer.transport.get_write_buffer_size() > 64 * 1024:
            await asyncio.sleep(0)
        await turns(50)
        assert writer.transport.get_write_buffer_size() <= 64 * 1024 + 1000
        task.cancel()
        writer.transport.abort()
        ends[1].close()
        await asyncio.gather(task, return_exceptions=True)
        await turns()

    run(main())


def test_abort_forgets_what_the_kernel_has_not_taken(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        transport.write(b"x" * 8 * MEGABYTE)
        transport.abort()
        transport.abort()
        transport.close()
        assert transport.is_closing()
        assert not protocol.lost.done()
        assert await protocol.lost is None
        assert protocol.events.count("lost") == 1
        assert len(await receive_all(theirs)) < 8 * MEGABYTE
        theirs.close()

    run(main())


def test_abort_while_closing(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        transport.write(b"x" * 8 * MEGABYTE)
        transport.close()
        await turns()
        assert not protocol.lost.done()
        transport.abort()
        assert await protocol.lost is None
        theirs.close()

    run(main())


def test_writes_to_a_lost_connection_are_told_of_from_the_fifth_on(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        transport.abort()
        with caplog.at_level(logging.WARNING, "asyncio"):
            for _ in range(4):
                transport.write(b"lost")
            assert not caplog.records
            transport.write(b"lost")
        assert [record.getMessage() for record in caplog.records] == ["socket.send() raised exception."]
        await protocol.lost
        transport.write(b"and after connection_lost")
        theirs.close()

    run(main())


@pytest.mark.parametrize("wrong", ["text", 1, None, [b"list"]])
def test_what_is_not_bytes_is_refused(run: Run, wrong: Any) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        with pytest.raises(TypeError) as caught:
            transport.write(wrong)
        assert str(caught.value).startswith("data argument must be a bytes")
        assert str(caught.value).endswith(f"not {type(wrong).__name__!r}")
        if wrong:  # some versions of asyncio leave out what is empty or None
            with pytest.raises(TypeError):
                transport.writelines([b"good", wrong])
        transport.abort()
        await protocol.lost
        theirs.close()

    run(main())


def test_pausing_holds_data_back_and_idles(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        theirs.send(b"later")
        await turns(20)
        assert not protocol.received
        transport.resume_reading()
        transport.resume_reading()
        await protocol.until(5)
        for _ in range(3):  # with nothing arriving meanwhile
            transport.pause_reading()
            transport.resume_reading()
        theirs.send(b"again")
        await protocol.until(10)
        transport.pause_reading()
        theirs.close()
        await turns(20)
        assert protocol.events == ["made", "data"]
        transport.resume_reading()
        await protocol.lost
        assert protocol.events == ["made", "data", "eof", "lost"]
        assert not transport.is_reading()
        transport.resume_reading()

    run(main())


def test_a_paused_transport_does_not_spin() -> None:

    async def main() -> None:
        transport, protocol, theirs = await pair()
        transport.pause_reading()
        theirs.send(b"data")
        theirs.shutdown(socket.SHUT_WR)
        loop: Any = asyncio.get_running_loop()
        await turns()
        before = loop.stats()["polls"]
        await asyncio.sleep(0.05)
        assert loop.stats()["polls"] - before < 5
        transport.abort()
        await protocol.lost
        theirs.close()

    with asyncio.Runner(loop_factory=riata.new_event_loop) as runner:
        runner.run(main())


class _Stream(socket.socket):
    """Passes for a stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())

    @property
    def type(self) -> Any:
        return socket.SOCK_STREAM


def test_the_writes_of_a_turn_leave_together() -> None:

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps the bounds of each send
        transport, protocol = await loop.create_connection(Recorder, sock=_Stream(ours))
        for number in range(10):
            transport.write(b"%d" % number)
        await turns(1)
        assert theirs.recv(100) == b"0123456789"
        transport.close()
        await protocol.lost
        theirs.close()

    with asyncio.Runner(loop_factory=riata.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("state", ["reading", "paused", "writing", "half-closed", "closing"])
def test_a_reset_by_the_peer_in_every_state(run: Run, state: str) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        client, accepted, server = await connected()
        if state == "paused":
            client.transport.pause_reading()
        elif state in ("writing", "closing"):
            client.transport.write(b"x" * 32 * MEGABYTE)
            if state == "closing":
                client.transport.close()
        elif state == "half-closed":
            accepted.keep_open = True
            client.transport.write_eof()
            while "eof" not in accepted.events:
                await asyncio.sleep(0)
        reset(accepted.transport)
        await accepted.lost
        if state == "paused":
            await turns()
            client.transport.resume_reading()
        assert isinstance(await client.lost, ConnectionError)
        assert client.events.count("lost") == 1
        assert not told, "the network's errors are told to the protocol alone"
        server.close()
        await server.wait_closed()

    run(main())
