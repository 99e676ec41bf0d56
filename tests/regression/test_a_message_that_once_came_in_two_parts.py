"""A read was cut to what the last one gave, and so messages of 100 KiB came in two for ever once one had.

The size of the parts became the room for the next read, which therefore was full before the message ended. With server
and load on a core each the first message often comes in two parts; the echo then took twice the system calls.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

Run = Callable[[Coroutine[Any, Any, None]], None]

KIB = 1024


class Sizes(asyncio.Protocol):
    """Notes how much each read gave."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.heard = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """One read."""
        self.sizes.append(len(data))
        self.heard.set()


@pytest.mark.parametrize(
    "sent",
    [
        [64, 36, 100, 100, 100],
        [100, 64, 36, 100],
        [40, 1, 200, 200],
        [200, 33, 32, 31, 200],
        [255, 256, 64, 250],
    ],
)
def test_what_is_there_is_read_at_once(sent: list[int], run: Run) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * KIB)
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.create_connection(Sizes, sock=ours)
            for kib in sent:
                protocol.heard.clear()
                theirs.sendall(bytes(kib * KIB))
                await protocol.heard.wait()
            assert protocol.sizes == [kib * KIB for kib in sent]
            transport.close()

    run(main())
