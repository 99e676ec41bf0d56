"""`create_datagram_endpoint` and its transport."""

import asyncio
import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.datagrams import (
    EMPTY_DATAGRAMS,
    LOCAL,
    LoopFactory,
    Recorder,
    Run,
    bound_pair,
    ended,
    endpoint,
    reports,
    turns,
)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_questions_and_answers(run: Run, host: str) -> None:
    async def main() -> None:
        server, served = await endpoint(local_addr=(host, 0))
        address = server.get_extra_info("sockname")
        client, asked = await endpoint(remote_addr=address[:2])
        unbound, asked_too = await endpoint(local_addr=(host, 0))
        client.sendto(b"question")
        client.sendto(bytearray(b"again"), None)
        unbound.sendto(memoryview(b"third"), address)
        unbound.sendto(b"short address", address[:2])
        own = client.get_extra_info("sockname")
        other = unbound.get_extra_info("sockname")
        assert await served.until(4) == [
            (b"question", own),
            (b"again", own),
            (b"third", other),
            (b"short address", other),
        ]
        for data, sender in served.told[1:4]:
            server.sendto(data.upper(), sender)
        assert await asked.until(2) == [(b"QUESTION", address), (b"AGAIN", address)]
        assert await asked_too.until(1) == [(b"THIRD", address)]
        await ended(server, client, unbound)

    run(main())


def test_a_burst_comes_whole_and_in_order(run: Run) -> None:
    async def main() -> None:
        server, served = await endpoint()
        address = server.get_extra_info("sockname")
        clients = [await endpoint(remote_addr=address) for _ in range(3)]
        for number in range(50):
            for client, _ in clients:
                client.sendto(b"%d" % number * 10)
        await served.until(150)
        for client, _ in clients:
            own = client.get_extra_info("sockname")
            got = [data for data, sender in served.told[1:] if sender == own]
            assert got == [b"%d" % number * 10 for number in range(50)]
        await ended(server, *[client for client, _ in clients])

    run(main())


def test_the_longest_and_the_shortest(run: Run) -> None:
    async def main() -> None:
        server, served = await endpoint()
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        longest = os.urandom(65_507)
        client.sendto(longest)
        client.sendto(b"")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
            raw.sendto(b"", server.get_extra_info("sockname"))
        told = await served.until(2 + EMPTY_DATAGRAMS)
        assert [data for data, _ in told] == [longest] + [b""] * (1 + EMPTY_DATAGRAMS)
        await ended(server, client)

    run(main())


def test_a_callback_that_was_ready_before_a_datagram_comes_first(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    transport, protocol = loop.run_until_complete(endpoint())
    loop.run_until_complete(turns(2))
    transport.sendto(b"x", transport.get_extra_info("sockname"))
    loop.call_soon(protocol.note, "before")
    loop.run_until_complete(protocol.until(2))
    assert [what[0] for what in protocol.told] == ["made", "before", b"x"]
    loop.run_until_complete(ended(transport))
    loop.close()


def test_what_is_known_of_an_endpoint(run: Run) -> None:
    async def main() -> None:
        server, _ = await endpoint()
        address = server.get_extra_info("sockname")
        client, protocol = await endpoint(remote_addr=address)
        assert isinstance(client, asyncio.selector_events._SelectorDatagramTransport)  # type: ignore[attr-defined]
        assert isinstance(client, asyncio.Transport)
        assert client.get_extra_info("peername") == address
        assert server.get_extra_info("peername", "default") is None
        assert server.get_extra_info("no such", "default") == "default"
        shown = client.get_extra_info("socket")
        assert shown.getsockname() == client.get_extra_info("sockname")
        assert shown.type == socket.SOCK_DGRAM
        assert client.get_protocol() is protocol
        assert client.is_closing() is False
        assert client.is_reading() is True
        assert client.get_write_buffer_size() == 0
        assert client.get_write_buffer_limits() == (16384, 65536)
        client.set_write_buffer_limits(high=100, low=10)
        assert client.get_write_buffer_limits() == (10, 100)
        with pytest.raises(ValueError, match="must be >= low"):
            client.set_write_buffer_limits(high=1, low=2)
        with pytest.raises(NotImplementedError):
            client.write(b"x")
        with pytest.raises(NotImplementedError):
            client.writelines([b"x"])
        for name in ("write_eof", "can_write_eof"):
            with pytest.raises(NotImplementedError):
                getattr(client, name)()
        number = shown.fileno()
        await turns(2)
        assert repr(client) == (f"<_SelectorDatagramTransport fd={number} read=polling write=<idle, bufsize=0>>")
        client.close()
        assert client.is_closing() is True
        assert client.is_reading() is False
        assert "_SelectorDatagramTransport closing fd=" in repr(client)
        await protocol.lost
        await turns(1)
        assert repr(client) == f"<_SelectorDatagramTransport closed fd={number}>"
        assert client.get_extra_info("peername") == address
        await ended(server)

    run(main())


def test_wrong_arguments(run: Run) -> None:
    async def main() -> None:
        server, served = await endpoint()
        address = server.get_extra_info("sockname")
        client, _ = await endpoint(remote_addr=address)
        for transport in (server, client):
            with pytest.raises(TypeError, match="data argument must be a bytes-like object, not 'str'"):
                transport.sendto("text", address)
        with pytest.raises(ValueError, match=r"Invalid address: must be None or \('127.0.0.1', "):
            client.sendto(b"x", ("127.0.0.1", 1))
        client.sendto(b"same", address)
        client.sendto(data=b"same", addr=address)
        assert len(await served.until(2)) == 2
        await ended(server, client)

        loop = asyncio.get_running_loop()
        for options, error in (
            ({}, ValueError),
            ({"local_addr": "127.0.0.1"}, (TypeError, AssertionError)),
            ({"local_addr": ("127.0.0.1", 0, 0, 0)}, (TypeError, AssertionError)),
            ({"local_addr": ("127.0.0.1", 0), "family": socket.AF_INET6}, OSError),
            ({"local_addr": LOCAL, "remote_addr": ("::1", 1)}, ValueError),
            ({"local_addr": 5, "family": socket.AF_UNIX}, TypeError),
        ):
            with pytest.raises(error):
                await loop.create_datagram_endpoint(Recorder, **options)  # type: ignore[arg-type]
        with socket.socket() as stream, pytest.raises(ValueError, match=r"A (datagram|UDP) [sS]ocket was expected"):
            await loop.create_datagram_endpoint(Recorder, sock=stream)
        with socket.socket(type=socket.SOCK_DGRAM) as datagram, pytest.raises(ValueError, match="can not be used"):
            await loop.create_datagram_endpoint(Recorder, sock=datagram, reuse_port=True)

    run(main())


def test_names_are_looked_up(run: Run) -> None:
    async def main() -> None:
        server, served = await endpoint()
        client, _ = await endpoint()
        client.sendto(b"x", ("localhost", server.get_extra_info("sockname")[1]))
        assert (await served.until(1))[0][0] == b"x"
        await ended(server, client)

    run(main())


def test_pausing_amidst_a_burst_holds_at_once(run: Run) -> None:
    class Pausing(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.pause_reading()

    async def main() -> None:
        server, served = await endpoint(Pausing)
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        await turns(3)
        for number in range(5):
            client.sendto(b"%d" % number)
        for count in range(1, 6):
            await served.until(count)
            assert not server.is_reading()
            await turns(5)
            assert len(served.told) == 1 + count
            server.resume_reading()
            assert server.is_reading()
        assert [data for data, _ in served.told[1:]] == [b"%d" % number for number in range(5)]
        await ended(server, client)

    run(main())


def test_another_protocol_gets_what_comes_next(run: Run) -> None:
    async def main() -> None:
        server, first = await endpoint()
        second = Recorder()
        server.set_protocol(second)
        second.told.append("made elsewhere")
        server.sendto(b"x", server.get_extra_info("sockname"))
        assert (await second.until(1))[0][0] == b"x"
        assert server.get_protocol() is second
        server.close()
        await second.lost
        assert len(first.told) == 1

    run(main())


def asyncio_counts_headers_on(transport: Any) -> bool:
    """Python 3.13's asyncio forgets to take the headers off again."""
    return type(transport).__module__.startswith("asyncio") and not hasattr(transport, "_header_size")


def test_what_has_no_room_waits_and_the_protocol_is_told(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        transport, protocol, theirs = await bound_pair(tmp_path)
        header = 8 if EMPTY_DATAGRAMS else 0
        assert transport.get_write_buffer_size() == 4 + header
        assert "write=<polling" in repr(transport)
        transport.set_write_buffer_limits(high=100, low=50)
        data = bytearray(100)
        transport.sendto(data)
        data[0] = 1  # too late
        assert protocol.told == [("made",), ("pause",)]
        assert transport.get_write_buffer_size() == 104 + 2 * header
        received = []
        loop = asyncio.get_running_loop()
        theirs.setblocking(False)
        with theirs:
            while received[-1:] != [bytes(100)]:
                received.append(await loop.sock_recv(theirs, 200))
            assert await protocol.until(2) == [("pause",), ("resume",)]
            assert transport.get_write_buffer_size() == 0 or asyncio_counts_headers_on(transport)
            await ended(transport)

    run(main())


def test_a_pair_of_unix_sockets(run: Run) -> None:
    async def main() -> None:
        if type(asyncio.get_running_loop()).__module__.startswith("asyncio"):
            pytest.skip("asyncio takes a peer without a name for none, and fails")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        transport, protocol = await endpoint(sock=ours)
        other, answered = await endpoint(sock=theirs)
        transport.sendto(b"over there")
        assert await answered.until(1) == [(b"over there", None)]
        other.sendto(b"and back")
        assert await protocol.until(1) == [(b"and back", None)]
        await ended(transport, other)

    run(main())


@pytest.mark.parametrize("abstract", [False, True])
def test_unix_endpoints(run: Run, tmp_path: Path, abstract: bool) -> None:
    async def main() -> None:
        path = f"\0riata-{os.getpid()}-{tmp_path.name}" if abstract else str(tmp_path / "server")
        server, served = await endpoint(family=socket.AF_UNIX, local_addr=path)
        client, asked = await endpoint(family=socket.AF_UNIX, local_addr=str(tmp_path / "client"), remote_addr=path)
        client.sendto(b"question")
        client.sendto(bytes(100_000))
        assert await served.until(2) == [
            (b"question", str(tmp_path / "client")),
            (bytes(100_000), str(tmp_path / "client")),
        ]
        server.sendto(b"answer", str(tmp_path / "client"))
        server_name = path.encode() if abstract else path
        assert await asked.until(1) == [(b"answer", server_name)]
        assert client.get_extra_info("peername") == server_name
        await ended(server, client)
        if not abstract:
            # What is left of the path is removed by who binds it next.
            again, _ = await endpoint(family=socket.AF_UNIX, local_addr=path)
            await ended(again)

    run(main())


def test_a_socket_of_the_programs(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(LOCAL)
        transport, protocol = await endpoint(sock=sock)
        assert sock.gettimeout() == 0
        with pytest.raises(RuntimeError, match="is used by transport"):
            asyncio.get_running_loop().add_reader(sock, print)
        if sys.version_info >= (3, 12):  # 3.11's asyncio does not look
            with pytest.raises(RuntimeError, match="is used by transport"):
                await endpoint(sock=sock)
        transport.sendto(b"me", sock.getsockname())
        assert await protocol.until(1) == [(b"me", sock.getsockname())]
        await ended(transport)
        assert sock.fileno() == -1

    run(main())


class Overriding(socket.socket):
    """A socket whose methods are a program's own."""

    failing: BaseException | None = None

    def recvfrom(self, *args: Any) -> Any:
        data, _ = super().recvfrom(*args)
        if data == b"fail" and self.failing is not None:
            raise self.failing
        return data.upper(), "somebody"

    def sendto(self, data: Any, *args: Any) -> int:
        if self.failing is not None:
            raise self.failing
        return super().sendto(bytes(data) + b"!", *args)


def test_overridden_methods_of_a_socket_are_called(run: Run) -> None:
    async def main() -> None:
        told = reports(asyncio.get_running_loop())
        sock = Overriding(type=socket.SOCK_DGRAM)
        sock.bind(LOCAL)
        address = sock.getsockname()
        transport, protocol = await endpoint(sock=sock)
        transport.sendto(b"me", address)
        assert await protocol.until(1) == [(b"ME!", "somebody")]
        sock.failing = PermissionError(errno.EPERM, "not you")
        transport.sendto(b"me", address)
        assert protocol.told[-1] == ("error", sock.failing)
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.sendto(b"fail", address)
            assert (await protocol.until(3))[-1] == ("error", sock.failing)
            sock.failing = ZeroDivisionError()
            other.sendto(b"fail", address)
        assert await protocol.lost is sock.failing
        assert [report["message"] for report in told] == ["Fatal read error on datagram transport"]

    run(main())


def test_reuse_port_and_broadcast(run: Run) -> None:
    async def main() -> None:
        first, _ = await endpoint(local_addr=LOCAL, reuse_port=True)
        address = first.get_extra_info("sockname")
        second, _ = await endpoint(local_addr=address, reuse_port=True)
        assert second.get_extra_info("sockname") == address
        third, protocol = await endpoint(local_addr=LOCAL, remote_addr=("127.255.255.255", 9), allow_broadcast=True)
        assert third.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        assert third.get_extra_info("peername") is None
        third.sendto(b"everybody")
        with pytest.raises(ValueError, match="Invalid address"):
            third.sendto(b"you", address)
        assert len(protocol.told) == 1
        with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
            await endpoint(local_addr=address)
        await ended(first, second, third)

    run(main())


def test_debug_mode(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        with caplog.at_level("DEBUG", logger="asyncio"):
            transport, protocol = await endpoint()
            transport.sendto(b"x", transport.get_extra_info("sockname"))
            assert (await protocol.until(1))[0][0] == b"x"
            transport.pause_reading()
            transport.resume_reading()
            await ended(transport)
        messages = [record.message for record in caplog.records]
        assert any(message.startswith("Datagram endpoint local_addr=") for message in messages)
        assert any(message.endswith(" pauses reading") for message in messages)
        assert any(message.endswith(" resumes reading") for message in messages)

    run(main())
