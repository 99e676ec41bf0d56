"""A transport that ended dropped the context of the write it had paused at while its own state was open.

What dies with a context may have a `__del__`, which may ask the transport: in a debug build that was a panic.
"""

import asyncio
import contextvars
import socket
from collections.abc import Callable, Coroutine
from typing import Any

Run = Callable[[Coroutine[Any, Any, None]], None]

MUCH = b"x" * 4_000_000
kept: contextvars.ContextVar[Any] = contextvars.ContextVar("kept")


class Asks:
    def __init__(self, transport: asyncio.WriteTransport, answers: list[bool]) -> None:
        self.transport = transport
        self.answers = answers

    def __del__(self) -> None:
        self.answers.append(self.transport.is_closing())


def test_it_asks_the_transport(run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    answers: list[bool] = []

    def write(transport: asyncio.WriteTransport) -> None:
        kept.set(Asks(transport, answers))
        transport.write(MUCH)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        contextvars.Context().run(write, transport)
        transport.abort()
        while not answers:
            await asyncio.sleep(0)
        assert protocol is not None  # it has outlived the transport

    run(main())
