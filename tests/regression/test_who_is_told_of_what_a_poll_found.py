"""Transports were told of data before what had been ready before the poll had run, and what they made ready ran in the
same turn as due timers. asyncio tells them behind the one and before the other; aiohttp's websockets close by that
order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class Logging(asyncio.Protocol):
    """Logs what comes, and what it has asked to be called then."""

    def __init__(self, log: list[str], on_data: Callable[[], object] = lambda: None) -> None:
        self.log = log
        self.on_data = on_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.log.append("made")
        asyncio.get_running_loop().call_soon(self.log.append, "after made")

    def data_received(self, data: bytes) -> None:
        self.log.append("data")
        asyncio.get_running_loop().call_soon(self.log.append, "after data")
        self.on_data()


@pytest.fixture(params=[False, True], ids=["", "debug"])
def debug(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("kind", ["stream", "pipe"])
def test_behind_what_was_ready(run: Callable[..., Any], kind: str, debug: bool) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        log: list[str] = []
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connect = loop.create_connection if kind == "stream" else loop.connect_read_pipe
        arguments = {"sock": ours} if kind == "stream" else {"pipe": ours}
        transport, _ = await connect(lambda: Logging(log), **arguments)
        with theirs:
            await asyncio.sleep(0)
            log.clear()
            theirs.send(b"x")
            loop.call_soon(lambda: (log.append("ready"), loop.call_soon(log.append, "after ready")))
            while "after data" not in log:
                await asyncio.sleep(0)
            transport.close()
            await asyncio.sleep(0)
        return log

    assert run(main()) == ["ready", "data", "after ready", "after data"]


def test_before_timers_that_are_due(run: Callable[..., Any], debug: bool) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        log: list[str] = []
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(lambda: Logging(log), sock=ours)
        with theirs:
            await asyncio.sleep(0)
            log.clear()
            done = loop.create_future()
            theirs.send(b"x")
            loop.call_at(loop.time(), log.append, "timer")
            loop.call_later(0.01, done.set_result, None)
            await done
            transport.close()
            await asyncio.sleep(0)
        return log

    assert run(main()) == ["data", "timer", "after data"]


def test_two_at_once_before_what_either_makes_ready(run: Callable[..., Any], debug: bool) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        log: list[str] = []
        pairs = [socket.socketpair() for _ in range(2)]
        transports = [(await loop.create_connection(lambda: Logging(log), sock=ours))[0] for ours, _ in pairs]
        await asyncio.sleep(0)
        log.clear()
        for _, theirs in pairs:
            theirs.send(b"x")
        done = loop.create_future()
        loop.call_later(0.01, done.set_result, None)
        await done
        for transport, (_, theirs) in zip(transports, pairs, strict=True):
            transport.close()
            theirs.close()
        await asyncio.sleep(0)
        return log

    assert run(main()) == ["data", "data", "after data", "after data"]


def test_a_stop_leaves_what_was_made_ready_to_the_next_run(loop_factory: LoopFactory, debug: bool) -> None:
    loop = loop_factory()
    loop.set_debug(debug)
    log: list[str] = []
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = loop.run_until_complete(loop.create_connection(lambda: Logging(log, loop.stop), sock=ours))
        loop.run_until_complete(asyncio.sleep(0))
        log.clear()
        theirs.send(b"x")
        loop.run_forever()
        assert log == ["data"]
        loop.run_until_complete(asyncio.sleep(0))
        assert log == ["data", "after data"]
        transport.close()
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_connections_are_accepted_behind_what_was_ready(run: Callable[..., Any], debug: bool) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        log: list[str] = []
        server = await loop.create_server(lambda: Logging(log), "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            loop.call_soon(lambda: (log.append("ready"), loop.call_soon(log.append, "after ready")))
            while "after made" not in log:
                await asyncio.sleep(0)
            client.close()
            server.close()
            await server.wait_closed()
        return log

    assert run(main()) == ["ready", "after ready", "made", "after made"]


def test_a_watcher_that_ended_meanwhile_is_not_told(run: Callable[..., Any], debug: bool) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        log: list[str] = []
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(lambda: Logging(log), sock=ours)
        with theirs:
            await asyncio.sleep(0)
            log.clear()
            theirs.send(b"x")
            loop.call_soon(transport.close)
            for _ in range(5):
                await asyncio.sleep(0)
        return log

    assert run(main()) == []
