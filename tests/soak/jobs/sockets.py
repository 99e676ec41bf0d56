"""Echo over sockets that the program keeps: the `sock_*` calls and `sendfile`."""

from __future__ import annotations

import asyncio
import socket
from random import Random

from ..surroundings import Surroundings


async def _receive(sock: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    received = bytearray()
    while len(received) < count:
        part = await loop.sock_recv(sock, 1 << 16)
        assert part, f"the end after {len(received)} of {count} bytes"
        received += part
    return bytes(received)


async def raw_socket_echoes(around: Surroundings, chance: Random) -> None:
    loop = asyncio.get_running_loop()
    text = chance.randbytes(chance.choice([1, 1_000, 300_000]))
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, around.tcp)
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.sock_sendall(sock, text))
            assert await _receive(sock, len(text)) == text


async def sendfile_arrives(around: Surroundings, chance: Random) -> None:
    loop = asyncio.get_running_loop()
    text = chance.randbytes(chance.choice([1, 70_000, 500_000]))
    path = around.folder / f"sent-{chance.randrange(2**63)}"
    path.write_bytes(text)
    try:
        with path.open("rb") as file, socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, around.tcp)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(loop.sock_sendfile(sock, file))
                assert await _receive(sock, len(text)) == text
            assert sending.result() == len(text)
    finally:
        path.unlink()
