"""Sockets for the calls that loops have for them."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Pair = tuple[socket.socket, socket.socket]


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


async def settled(task: asyncio.Future[Any]) -> None:
    """Let a call begin to wait."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
