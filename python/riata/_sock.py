"""`sock_recv` and its like: coroutine functions, as asyncio's are, around native calls.

Each native call tries at once. What it gives is the result, which is no future, or a future of the result: the
socket is not ready. That costs less than a native awaitable would, and a real coroutine answers everything that may be
asked of one.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from riata import _native
from riata._native import Future

if TYPE_CHECKING:
    from collections.abc import Sequence
    from socket import _Address

    from _typeshed import ReadableBuffer, WriteableBuffer

_IP = [getattr(socket, name) for name in ("AF_INET", "AF_INET6") if hasattr(socket, name)]


class SocketCalls(_native.EventLoop):
    """The part of `riata.Loop` that works on sockets without a transport.

    All of these raise TypeError for an `ssl.SSLSocket`, ValueError in debug mode for a socket that is not non-blocking,
    RuntimeError for one that a transport uses and that is not ready, and OSError as the kernel says.
    """

    if TYPE_CHECKING:

        async def _ensure_resolved(
            self, address: _Address, *, family: int, type: int, proto: int, loop: Any
        ) -> Sequence[tuple[int, int, int, str, _Address]]: ...

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receive up to `n` bytes."""
        result = self._sock_try_recv(sock, n)
        return await result if type(result) is Future else result

    async def sock_recv_into(self, sock: socket.socket, buf: WriteableBuffer) -> int:
        """Receive into the writable buffer `buf`; return how many bytes."""
        result = self._sock_try_recv_into(sock, buf)
        return await result if type(result) is Future else result

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, _Address]:
        """Receive a datagram of up to `bufsize` bytes; return it and the address it came from."""
        result = self._sock_try_recvfrom(sock, bufsize)
        return await result if type(result) is Future else result

    async def sock_recvfrom_into(
        self, sock: socket.socket, buf: WriteableBuffer, nbytes: int = 0
    ) -> tuple[int, _Address]:
        """Receive a datagram of up to `nbytes` bytes, by default all there is room for, into `buf`.

        Return how many bytes it has, and the address it came from.
        """
        result = self._sock_try_recvfrom_into(sock, buf, nbytes)
        return await result if type(result) is Future else result

    async def sock_sendall(self, sock: socket.socket, data: ReadableBuffer) -> None:
        """Send all of `data`; after an error nobody knows how much was sent."""
        result = self._sock_try_sendall(sock, data)
        if result is not None:
            await result

    async def sock_sendto(self, sock: socket.socket, data: ReadableBuffer, address: _Address) -> int:
        """Send `data` as one datagram to `address`; return how many bytes were sent."""
        result = self._sock_try_sendto(sock, data, address)
        return await result if type(result) is Future else result

    async def sock_connect(self, sock: socket.socket, address: _Address) -> None:
        """Connect to `address`, whose host is looked up if need be."""
        self._sock_check(sock)
        family: int = sock.family
        if family in _IP:
            found = await self._ensure_resolved(address, family=family, type=sock.type, proto=sock.proto, loop=self)
            address = found[0][4]
        result = self._sock_try_connect(sock, address)
        if result is not None:
            try:
                await result
            finally:
                del result  # an exception would hold itself, by way of this frame

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accept a connection on the listening socket `sock`; return a non-blocking socket and the peer's address."""
        result = self._sock_try_accept(sock)
        return await result if type(result) is Future else result
