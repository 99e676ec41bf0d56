"""Stream transports over socket pairs and TCP: writing, ending, flow control, protocols that fail."""

import asyncio
import gc
import logging
import socket
import struct
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MEGABYTE = 1 << 20


class Recorder(asyncio.Protocol):
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.received = bytearray()
        self.transport: Any = None
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()
        self.keep_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.received += data
        if self.events[-1] != "data":
            self.events.append("data")
        self.arrived.set()

    def eof_received(self) -> bool:
        self.events.append("eof")
        self.arrived.set()
        return self.keep_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append("lost")
        self.lost.set_result(exc)

    async def until(self, count: int) -> None:
        """Waits until `count` bytes have arrived."""
        while len(self.received) < count:
            self.arrived.clear()
            await self.arrived.wait()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def failures(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What the loop's exception handler is told from now on."""
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    return told


async def pair(factory: Callable[[], Any] = Recorder) -> tuple[Any, Any, socket.socket]:
    """A transport with its protocol, and the other end as a socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, protocol = await asyncio.get_running_loop().create_connection(factory, sock=ours)
    return transport, protocol, theirs


async def receive_all(sock: socket.socket) -> bytes:
    received = bytearray()
    while data := await asyncio.get_running_loop().sock_recv(sock, MEGABYTE):
        received += data
    return bytes(received)


async def connected() -> tuple[Recorder, Recorder, asyncio.Server]:
    """Both ends of a TCP connection, as protocols: the client's and the server's."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Recorder] = loop.create_future()

    class Accepted(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.set_result(self)

    server = await loop.create_server(Accepted, "127.0.0.1", 0)
    _, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    return client, await accepted, server


def reset(transport: Any) -> None:
    """Ends a TCP connection so that the peer reads ECONNRESET."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


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
    import riata

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


def test_the_writes_of_a_turn_leave_together() -> None:
    import riata

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


class _Stream(socket.socket):
    """Passes for a stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.family, sock.type, sock.proto, sock.detach())

    @property
    def type(self) -> Any:
        return socket.SOCK_STREAM


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


def test_extra_information_before_and_after_the_end(run: Run) -> None:
    async def main() -> None:
        client, accepted, server = await connected()
        for ours, other in [(client, accepted), (accepted, client)]:
            names = ours.transport.get_extra_info("sockname"), ours.transport.get_extra_info("peername")
            assert names == (other.transport.get_extra_info("peername"), other.transport.get_extra_info("sockname"))
        sock = accepted.transport.get_extra_info("socket")
        assert type(sock).__name__ == "TransportSocket"
        assert sock.gettimeout() == 0
        assert sock.getsockname() == accepted.transport.get_extra_info("sockname")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock is accepted.transport.get_extra_info("socket")
        assert accepted.transport.get_extra_info("nothing") is None
        assert accepted.transport.get_extra_info("nothing", 1) == 1
        peer = accepted.transport.get_extra_info("peername")
        client.transport.close()
        accepted.transport.close()
        await asyncio.gather(client.lost, accepted.lost)
        assert accepted.transport.get_extra_info("peername") == peer
        assert client.transport.get_extra_info("sockname") == peer
        assert sock.fileno() == client.transport.get_extra_info("socket").fileno() == -1
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_names_are_those_of_the_socket_module(run: Run, host: str) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Recorder, host, 0)
        transport, _ = await asyncio.get_running_loop().create_connection(
            Recorder, *server.sockets[0].getsockname()[:2]
        )
        sock = transport.get_extra_info("socket")
        assert transport.get_extra_info("peername") == sock.getpeername() == server.sockets[0].getsockname()
        assert transport.get_extra_info("sockname") == sock.getsockname()
        transport.close()
        server.close()
        await turns(10)

    run(main())


@pytest.mark.parametrize("address", ["path", "\0riata-test-abstract"])
def test_names_of_unix_sockets(run: Run, tmp_path: Any, address: str) -> None:
    where = str(tmp_path / "socket") if address == "path" else address

    async def main() -> None:
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        class Accepted(Recorder):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                accepted.set_result(self)

        server = await loop.create_unix_server(Accepted, where)
        transport, client = await loop.create_unix_connection(Recorder, where)
        other = (await accepted).transport
        sock = transport.get_extra_info("socket")
        assert transport.get_extra_info("peername") == sock.getpeername()
        assert transport.get_extra_info("sockname") == sock.getsockname() == ""
        assert other.get_extra_info("peername") == ""
        assert other.get_extra_info("sockname") == sock.getpeername()
        transport.close()
        await asyncio.gather(client.lost, (await accepted).lost)
        server.close()
        await server.wait_closed()

    run(main())


def test_it_is_asyncios_transport_to_whoever_asks(run: Run) -> None:
    async def main() -> None:
        transport, protocol, theirs = await pair()
        assert isinstance(transport, asyncio.Transport)
        assert isinstance(transport, asyncio.transports._FlowControlMixin)
        fd = transport.get_extra_info("socket").fileno()
        assert repr(transport) == f"<_SelectorSocketTransport fd={fd} read=polling write=<idle, bufsize=0>>"
        transport.remark = "attributes can be set"
        transport.pause_reading()
        assert "read=idle" in repr(transport)
        transport.write(b"x" * 8 * MEGABYTE)
        assert "write=<polling" in repr(transport)
        transport.close()
        assert repr(transport).startswith("<_SelectorSocketTransport closing fd=")
        transport.abort()
        await protocol.lost
        await turns()
        assert repr(transport) == f"<_SelectorSocketTransport closed fd={fd}>"
        theirs.close()

    run(main())


@pytest.mark.parametrize("reading", [True, False])
def test_a_transport_in_use_keeps_its_descriptor_to_itself(run: Run, reading: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol, theirs = await pair()
        if not reading:
            transport.pause_reading()
        fd = transport.get_extra_info("socket").fileno()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError) as caught:
                method(fd, print)
            assert str(caught.value) == f"File descriptor {fd} is used by transport {transport!r}"
        with pytest.raises(RuntimeError):
            await loop.sock_recv(transport.get_extra_info("socket")._sock, 10)
        transport.close()
        await protocol.lost
        theirs.close()

    run(main())


def test_an_abandoned_transport_is_warned_of_and_closed(loop_factory: Any) -> None:
    loop = loop_factory()
    transport, protocol, theirs = loop.run_until_complete(pair())
    transport.pause_reading()  # the loop holds one that reads
    reference = weakref.ref(transport)
    text = f"unclosed transport {transport!r}"
    holder = [transport]
    del protocol, transport
    gc.collect()

    def abandon() -> None:
        holder.clear()
        gc.collect()

    with pytest.warns(ResourceWarning) as caught:
        abandon()
    assert [str(warning.message) for warning in caught] == [text]
    caught.clear()  # a warning holds its source
    assert reference() is None
    assert theirs.recv(10) == b""
    theirs.close()
    loop.close()


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


def test_a_closed_socket_under_a_transports_feet_is_not_somebody_elses(run: Run) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=ours)
        fd = ours.fileno()
        ours.close()
        innocent, other = socket.socketpair()
        assert fd in (innocent.fileno(), other.fileno()), "the number serves another socket now"
        transport.write(b"not for you")
        await turns()
        transport.abort()
        await turns()
        for sock in (innocent, other):
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(100)
        for sock in (innocent, other, theirs):
            sock.close()
        assert protocol.lost.done()

    run(main())


def test_contexts_of_a_connections_callbacks(run: Run) -> None:
    import contextvars

    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="nobody")
    seen = []

    class Traced(Recorder):
        def data_received(self, data: bytes) -> None:
            seen.append(var.get())
            var.set(data.decode())
            super().data_received(data)

    async def main() -> None:
        var.set("main")
        (one, first, peer_one), (two, second, peer_two) = await pair(Traced), await pair(Traced)
        for peer, protocol, text in [(peer_one, first, b"a"), (peer_two, second, b"b"), (peer_one, first, b"c")]:
            count = len(protocol.received)
            peer.send(text)
            await protocol.until(count + 1)
        assert seen == ["main", "main", "a"]
        assert var.get() == "main"
        for transport, protocol, peer in [(one, first, peer_one), (two, second, peer_two)]:
            transport.close()
            await protocol.lost
            peer.close()

    run(main())


def test_debug_mode_tells_of_slow_protocols(loop_factory: Any, caplog: pytest.LogCaptureFixture) -> None:
    loop = loop_factory()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    transport, protocol, theirs = loop.run_until_complete(pair())
    theirs.send(b"x")
    with caplog.at_level(logging.DEBUG, "asyncio"):
        loop.run_until_complete(protocol.until(1))
        transport.pause_reading()
        transport.resume_reading()
        theirs.close()
        loop.run_until_complete(protocol.lost)
    text = caplog.text
    assert "_read_ready" in text
    for told in ("pauses reading", "resumes reading", "received EOF"):
        assert told in text
    loop.close()
