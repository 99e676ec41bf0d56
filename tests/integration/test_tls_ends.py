"""How TLS connections end, in whatever order: close_notify, resets, time limits, errors of the program, cancelling.

`connection_lost` is told once, whatever happens.
"""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import struct
from typing import Any

import pytest

from .recorder import MEGABYTE, turns
from .secure import (
    VERSIONS,
    Peer,
    Run,
    client_context,
    end,
    secured,
    server_context,
    tcp_pair,
    with_peer,
)
from .streams import Recorder, failures


def reset(sock: socket.socket) -> None:
    """Closes a TCP socket so that the other end reads ECONNRESET."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def connecting(factory: Any = Recorder, **options: Any) -> tuple[asyncio.Task[Any], socket.socket]:
    """A client that has said hello, and the socket of a server that has not answered."""
    ours, theirs = tcp_pair()
    loop = asyncio.get_running_loop()
    options = {"ssl": client_context(), "server_hostname": "localhost", **options}
    task = asyncio.create_task(loop.create_connection(factory, sock=ours, **options))
    hello = await loop.sock_recv(theirs, MEGABYTE)
    assert hello[0] == 22
    return task, theirs


# The peer ends.


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_the_peer_says_that_it_ends(run: Run, version: ssl.TLSVersion) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer(version=version)
        await peer.send(b"last words")
        await peer.close_notify()
        assert await peer.receive_closing() == b""
        assert await peer.end_of_stream() == b""
        peer.sock.close()
        assert await protocol.lost is None
        assert protocol.events == ["made", "data", "eof", "lost"]
        assert protocol.received == b"last words"
        assert transport.is_closing()

    run(main())


def test_an_answer_to_the_end_is_not_sent_but_what_was_written_before_is(run: Run) -> None:
    class LateWriter(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"in time")

        def eof_received(self) -> bool:
            self.transport.write(b", and so is this")
            return super().eof_received()

        def connection_lost(self, exc: BaseException | None) -> None:
            self.transport.write(b"too late")
            super().connection_lost(exc)

    async def main() -> None:
        _, protocol, peer = await with_peer(LateWriter)
        await peer.send(b"last words")
        await peer.close_notify()
        assert await peer.receive_closing() == b"in time, and so is this"
        peer.sock.close()
        assert await protocol.lost is None

    run(main())


def test_keeping_it_open_is_not_possible(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        _, protocol, peer = await with_peer()
        protocol.keep_open = True
        await peer.close_notify()
        assert await peer.receive_closing() == b""
        peer.sock.close()
        assert await protocol.lost is None
        assert "returning true from eof_received() has no effect when using ssl" in caplog.messages

    run(main())


@pytest.mark.parametrize("paused", [False, True], ids=["reading", "paused"])
def test_an_end_of_stream_without_a_word(run: Run, paused: bool) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        if paused:
            transport.pause_reading()
        await peer.send(b"last words")
        peer.sock.shutdown(socket.SHUT_WR)
        if paused:
            while not transport._ssl_protocol._eof_received:
                await asyncio.sleep(0)
            assert protocol.events == ["made"]
            transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.received == b"last words"
        assert protocol.events[:2] == ["made", "data"]
        assert protocol.events[-1] == "lost"
        peer.sock.close()

    run(main())


def test_a_reset(run: Run) -> None:
    async def main() -> None:
        _, protocol, peer = await with_peer()
        reset(peer.sock)
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert protocol.events == ["made", "lost"]

    run(main())


def test_a_reset_while_much_waits_to_be_sent(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        while "pause" not in protocol.events:
            transport.write(os.urandom(MEGABYTE))
        reset(peer.sock)
        assert isinstance(await protocol.lost, ConnectionError)
        assert protocol.events == ["made", "pause", "lost"]
        transport.write(b"nobody minds")
        assert transport.get_write_buffer_size() == 0

    run(main())


def test_a_reset_while_closing(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.close()
        await peer.loop.sock_recv(peer.sock, MEGABYTE)
        reset(peer.sock)
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert protocol.events == ["made", "lost"]

    run(main())


def test_what_is_no_tls_ends_the_connection(run: Run) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        _, protocol, peer = await with_peer()
        await peer.loop.sock_sendall(peer.sock, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert isinstance(await protocol.lost, ssl.SSLError)
        assert protocol.events == ["made", "lost"]
        assert not told
        peer.sock.close()

    run(main())


def test_a_record_that_was_tampered_with(run: Run) -> None:
    async def main() -> None:
        _, protocol, peer = await with_peer()
        peer.tls.write(b"good")
        await peer.flush()
        await protocol.until(4)
        peer.tls.write(b"bad")
        record = bytearray(peer.outgoing.read())
        record[-1] ^= 1
        await peer.loop.sock_sendall(peer.sock, record)
        lost = await protocol.lost
        assert isinstance(lost, ssl.SSLError)
        assert protocol.received == b"good"
        peer.sock.close()

    run(main())


# We end.


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_we_say_that_we_end(run: Run, version: ssl.TLSVersion) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer(version=version)
        transport.write(b"last words")
        transport.close()
        assert transport.is_closing()
        transport.write(b"unheard")
        transport.close()
        assert await peer.receive_closing() == b"last words"
        await turns()
        assert not protocol.lost.done(), "the peer has not said so yet"
        await peer.close_notify()
        assert await protocol.lost is None
        assert protocol.events in (["made", "eof", "lost"], ["made", "lost"])
        assert await peer.end_of_stream() == b""
        peer.sock.close()

    run(main())


def test_both_end_at_once(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.close()
        await peer.close_notify()
        assert await peer.receive_closing() == b""
        assert await protocol.lost is None
        assert protocol.events.count("lost") == 1
        peer.sock.close()

    run(main())


def test_much_is_sent_before_the_end(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        text = os.urandom(20 * MEGABYTE)
        transport.write(text)
        transport.close()
        assert await peer.receive_closing() == text
        await peer.close_notify()
        assert await protocol.lost is None
        peer.sock.close()

    run(main())


def test_nothing_is_read_after_the_end_but_what_it_needs(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.close()
        await turns()
        with contextlib.suppress(ConnectionError):
            while True:  # a peer that goes on talking
                await peer.send(b"x" * 65536)
        assert isinstance(await protocol.lost, ssl.SSLError)
        assert protocol.received == b""
        assert protocol.events == ["made", "lost"]
        peer.sock.close()

    run(main())


def test_abort(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.write(b"what the kernel takes is sent")
        transport.abort()
        transport.abort()
        transport.close()
        assert transport.is_closing()
        assert protocol.events == ["made"]
        assert await peer.receive(29) == b"what the kernel takes is sent"
        assert await peer.end_of_stream() == b""
        assert await protocol.lost is None
        assert protocol.events == ["made", "lost"]
        peer.sock.close()

    run(main())


def test_abort_while_closing(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.close()
        await turns()
        transport.abort()
        assert await protocol.lost is None
        assert protocol.events == ["made", "lost"]
        peer.sock.close()

    run(main())


def test_the_transport_can_be_asked_when_all_is_over(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.abort()
        await protocol.lost
        peer.sock.close()
        await turns()
        assert transport.is_closing()
        assert transport.get_protocol() is None
        assert transport.get_extra_info("peername") is None
        assert transport.get_write_buffer_size() == 0
        transport.pause_reading()
        transport.resume_reading()
        transport.abort()
        await turns()
        assert protocol.events == ["made", "lost"]

    run(main())


def test_writes_to_what_is_closed_are_told_of_in_the_end(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.abort()
        for _ in range(5):
            transport.write(b"unheard")
        assert not caplog.messages
        transport.write(b"unheard")
        assert caplog.messages == ["SSL connection is closed"]
        await protocol.lost
        peer.sock.close()

    run(main())


def test_a_server_that_closes_its_clients(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        if not hasattr(server, "close_clients"):  # Python 3.13
            client.transport.abort()
        else:
            served.transport.write(b"last words")
            server.close()
            server.close_clients()
            await client.until(10)
            assert client.received == b"last words"
        await client.lost
        await served.lost
        server.close()
        await server.wait_closed()

    run(main())


# Handshakes that fail.


def test_a_reset_in_the_handshake(run: Run) -> None:
    async def main() -> None:
        task, theirs = await connecting()
        reset(theirs)
        with pytest.raises(ConnectionResetError):
            await task

    run(main())


def test_an_end_of_stream_in_the_handshake(run: Run) -> None:
    async def main() -> None:
        protocols: list[Recorder] = []

        def factory() -> Recorder:
            protocols.append(Recorder())
            return protocols[0]

        task, theirs = await connecting(factory)
        theirs.close()
        with pytest.raises(ConnectionResetError):
            await task
        await turns()
        assert protocols[0].events == []

    run(main())


def test_a_reset_in_the_servers_handshake(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        for part in (b"", b"\x16\x03\x01", b"no TLS at all\r\n"):
            sock = socket.create_connection(address)
            sock.sendall(part)
            while len(made) < 1:
                await asyncio.sleep(0)
            reset(sock)
            await turns(20)
            assert made.pop().events == []
        assert not told
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=client_context(), server_hostname="localhost"
        )
        transport.close()
        await protocol.lost
        await made[0].lost
        await end(server)

    run(main())


def test_a_handshake_that_takes_too_long(run: Run) -> None:
    async def main() -> None:
        task, theirs = await connecting(ssl_handshake_timeout=0.01)
        text = "^SSL handshake is taking longer than 0.01 seconds: aborting the connection$"
        with pytest.raises(ConnectionAbortedError, match=text):
            await task
        theirs.close()

    run(main())


def test_a_shutdown_that_takes_too_long(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer(ssl_shutdown_timeout=0.01)
        transport.close()
        lost = await protocol.lost
        assert isinstance(lost, TimeoutError)
        assert str(lost) == "SSL shutdown timed out"
        peer.sock.close()

    run(main())


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_time_limits_are_positive(run: Run, name: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for limit in (0, -1.5):
            ours, theirs = tcp_pair()
            options: dict[str, Any] = {name: limit}
            with ours, theirs, pytest.raises(ValueError, match=f"^{name} should be a positive number, got {limit}$"):
                await loop.create_connection(
                    Recorder, sock=ours, ssl=client_context(), server_hostname="localhost", **options
                )

    run(main())


def test_a_cancelled_handshake(run: Run) -> None:
    async def main() -> None:
        task, theirs = await connecting()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(theirs, MEGABYTE) == b""
        theirs.close()

    run(main())


def test_a_cancelled_upgrade(run: Run) -> None:
    async def main() -> None:
        ours, theirs = tcp_pair()
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        upgrading = loop.start_tls(transport, protocol, client_context(), server_hostname="localhost")
        task = asyncio.create_task(upgrading)
        assert await loop.sock_recv(theirs, MEGABYTE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.is_closing()
        assert await loop.sock_recv(theirs, MEGABYTE) == b""
        theirs.close()

    run(main())


def test_a_closed_transport_in_the_handshake(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        plain, protocol = await loop.create_connection(Recorder, sock=ours)
        upgrading = loop.start_tls(plain, protocol, client_context(), server_hostname="localhost")
        task = asyncio.create_task(upgrading)
        assert await loop.sock_recv(theirs, MEGABYTE)
        plain.abort()
        await task  # asyncio gives a transport that is closed
        assert protocol.events == ["made"]
        theirs.close()

    run(main())


# Programs that fail.


class Failing(Recorder):
    """Raises in one of its methods."""

    method = ""

    def __getattribute__(self, name: str) -> Any:
        if name == type(self).method:
            raise ZeroDivisionError
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_an_error_of_the_program_ends_the_connection(run: Run, method: str) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        Failing.method = ""
        transport, protocol, peer = await with_peer(Failing)
        Failing.method = method
        transport.write(b"sent before")
        match method:
            case "data_received":
                await peer.send(b"words")
            case _:
                await peer.close_notify()
        lost = await protocol.lost
        assert isinstance(lost, ZeroDivisionError)
        (report,) = told
        assert report["exception"] is lost
        texts = {
            "data_received": "Fatal error on SSL protocol",
            "eof_received": "Error calling eof_received()",
        }
        assert report["message"] == texts[method]
        assert report["protocol"] is transport._ssl_protocol or report["protocol"]._app_transport is None
        assert await peer.receive(11) == b"sent before"
        peer.sock.close()

    run(main())


def test_a_program_that_cannot_pause(run: Run) -> None:
    class Restless(Recorder):
        def pause_writing(self) -> None:
            raise ZeroDivisionError

        def resume_writing(self) -> None:
            raise KeyError

    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        transport, protocol, peer = await with_peer(Restless)
        sent = 0
        while not told:
            transport.write(b"x" * MEGABYTE)
            sent += MEGABYTE
            await asyncio.sleep(0)
        assert told[0]["message"] == "protocol.pause_writing() failed"
        assert told[0]["transport"] is transport
        assert await peer.receive(sent) == b"x" * sent
        await turns()
        assert [report["message"] for report in told[1:]] == ["protocol.resume_writing() failed"]
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run(main())


# Objects that nobody holds.


def test_a_forgotten_transport_is_warned_of(run: Run) -> None:
    async def forget() -> Peer:
        transport, _, peer = await with_peer()
        # Paused, the transport below waits for nothing, and the loop does not hold it.
        transport._ssl_protocol._transport.pause_reading()
        return peer

    async def main() -> None:
        peer = await forget()
        await turns()
        with pytest.warns(ResourceWarning) as caught:
            gc.collect()
        text = "unclosed transport <asyncio._SSLProtocolTransport object>"
        assert text in [str(warning.message) for warning in caught]
        peer.sock.close()

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()
