"""What a stream transport is to those who look at it: extra information, names, descriptors, contexts, reports."""

import asyncio
import contextvars
import gc
import logging
import socket
import weakref
from typing import Any

import pytest

from .recorder import MEGABYTE, Run, turns
from .streams import Recorder, connected, pair


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
    caught.clear()  # a warning holds its source, and from Python 3.15 on weak references live as long
    gc.collect()
    assert reference() is None
    assert theirs.recv(10) == b""
    theirs.close()
    loop.close()


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
