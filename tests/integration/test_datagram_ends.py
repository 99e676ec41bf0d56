"""How datagram transports end: errors, protocols that raise, closing, being forgotten."""

import asyncio
import errno
import gc
import os
import socket
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
from tests.integration.datagrams import LOCAL, LoopFactory, Recorder, Run, bound_pair, ended, endpoint, reports, turns


def test_errors_of_the_kernel_go_to_the_protocol(run: Run) -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as nobody:
            nobody.bind(LOCAL)
            address = nobody.getsockname()
        client, protocol = await endpoint(remote_addr=address)
        client.sendto(b"anybody there?")
        ((what, error),) = await protocol.until(1)
        assert what == "error"
        assert isinstance(error, ConnectionRefusedError)
        client.sendto(bytes(70_000))
        what, error = protocol.told[2]
        assert what == "error"
        assert error.errno == errno.EMSGSIZE
        unconnected, other = await endpoint()
        unconnected.sendto(bytes(70_000), address)
        assert other.told[1][1].errno == errno.EMSGSIZE
        await ended(client, unconnected)

    run(main())


@pytest.mark.parametrize("address", [None, ("127.0.0.1",), "127.0.0.1", ("127.0.0.1", 99_999)])
def test_an_address_that_is_none_ends_it(run: Run, address: Any) -> None:
    async def main() -> None:
        told = reports(asyncio.get_running_loop())
        transport, protocol = await endpoint()
        transport.sendto(b"x", address)
        assert transport.is_closing()
        error = await protocol.lost
        assert isinstance(error, (TypeError, OverflowError))
        (report,) = told
        assert report["message"] == "Fatal write error on datagram transport"
        assert report["exception"] is error
        assert report["transport"] is transport
        assert report["protocol"] is protocol

    run(main())


def test_what_a_protocol_raises_is_reported_and_the_rest_is_still_told(run: Run) -> None:
    class Raising(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"bad":
                raise ZeroDivisionError

        def error_received(self, exc: BaseException) -> None:
            super().error_received(exc)
            raise LookupError

    async def main() -> None:
        told = reports(asyncio.get_running_loop())
        server, served = await endpoint(Raising)
        address = server.get_extra_info("sockname")
        client, _ = await endpoint(Raising, remote_addr=address)
        for data in (b"bad", b"good", b"bad", b"better"):
            client.sendto(data)
        assert [data for data, _ in await served.until(4)] == [b"bad", b"good", b"bad", b"better"]
        assert [type(report["exception"]) for report in told] == [ZeroDivisionError] * 2
        assert all(report["message"].startswith("Exception in callback ") for report in told)
        assert not server.is_closing()
        with pytest.raises(LookupError):
            client.sendto(bytes(70_000))
        await ended(server, client)

    run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_protocol_ends_the_loop(loop_factory: LoopFactory, error: type[BaseException]) -> None:
    class Interrupting(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            raise error

    loop = loop_factory()
    made: list[Any] = []

    async def main() -> None:
        server, _ = await endpoint(Interrupting)
        made.append(server)
        server.sendto(b"x", server.get_extra_info("sockname"))
        await asyncio.Event().wait()

    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.run_until_complete(ended(*made))
    loop.close()


def test_closing_amidst_a_burst_holds_at_once(run: Run) -> None:
    class Closing(Recorder):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if len(self.told) == 3:
                self.transport.close()

    async def main() -> None:
        server, served = await endpoint(Closing)
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        await turns(3)
        for number in range(5):
            client.sendto(b"%d" % number)
        assert await served.lost is None
        await turns(3)
        assert [what[0] for what in served.told] == ["made", b"0", b"1", "lost"]
        await ended(client)

    run(main())


def test_closing_sends_what_waits_and_aborting_does_not(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol, theirs = await bound_pair(tmp_path)
        transport.sendto(b"last")
        transport.close()
        await turns(3)
        assert not protocol.lost.done()
        theirs.setblocking(False)
        with theirs:
            while await loop.sock_recv(theirs, 200) != b"last":
                pass
            assert await protocol.lost is None
        os.unlink(tmp_path / "theirs")

        transport, protocol, theirs = await bound_pair(tmp_path)
        with theirs:
            transport.abort()
            assert await protocol.lost is None

    run(main())


def test_sends_to_a_connection_that_is_lost_are_let_pass(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        server, _ = await endpoint()
        client, protocol = await endpoint(remote_addr=server.get_extra_info("sockname"))
        client.abort()
        client.abort()
        client.close()
        for _ in range(4):
            client.sendto(b"x")
        assert not caplog.records
        client.sendto(b"x")
        assert [record.message for record in caplog.records] == ["socket.send() raised exception."]
        assert await protocol.lost is None
        await ended(server)

    run(main())


def test_an_endpoint_that_everybody_forgot_is_closed_with_a_warning(loop_factory: LoopFactory) -> None:
    async def main() -> weakref.ref[Any]:
        transport, _ = await endpoint()
        await turns(3)
        transport.pause_reading()
        return weakref.ref(transport)

    loop = loop_factory()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        gone = loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(0))
        gc.collect()
    assert any("unclosed transport <_SelectorDatagramTransport fd=" in str(warning.message) for warning in told)
    told.clear()  # a warning holds its source, and from Python 3.15 on weak references live as long
    gc.collect()
    assert gone() is None
    loop.close()


def test_the_collector_may_run_while_an_endpoint_is_made(run: Run) -> None:
    async def main() -> None:
        thresholds = gc.get_threshold()
        try:
            for threshold in range(1, 60):
                gc.set_threshold(threshold, 1000, 1000)
                transport, _ = await endpoint()
                transport.sendto(b"x", transport.get_extra_info("sockname"))
                await ended(transport)
        finally:
            gc.set_threshold(*thresholds)

    run(main())


def test_an_endpoint_of_a_loop_that_is_closed(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    transport, protocol = loop.run_until_complete(endpoint())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.close()
        assert "_SelectorDatagramTransport" in repr(transport)
        del transport, protocol
        gc.collect()


def test_a_closed_socket_under_a_transports_feet(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(LOCAL)
        transport, protocol = await endpoint(sock=sock)
        sock.close()
        transport.sendto(b"x", ("127.0.0.1", 9))
        what, error = protocol.told[-1]
        assert what == "error"
        assert error.errno == errno.EBADF
        await ended(transport)

    run(main())
