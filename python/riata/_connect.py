"""Connections, and the transports that sockets become.

`create_connection` to a numeric address is native. Names to look up, TLS, local addresses, happy eyeballs and whatever
a program has replaced go asyncio's way, with the arguments, checks and texts of the Python at hand.
"""

from __future__ import annotations

import socket
import sys
from asyncio import base_events, constants
from typing import TYPE_CHECKING, Any

from riata import _native
from riata._asyncio import AsyncioLoop
from riata._sock import SocketCalls

if TYPE_CHECKING:
    import asyncio
    import contextvars
    import ssl
    from collections.abc import Callable

_asyncio_base: Any = base_events
_socket = socket.socket
_connect = socket.socket.connect


# What asyncio's transports call on a socket, and native ones do by themselves.
_SOCKET_METHODS = {name: getattr(socket.socket, name) for name in ("recv", "recv_into", "send", "sendmsg")}


def _sends_by_itself(sock: socket.socket) -> bool:
    """Whether reading or writing `sock` means more than the system call."""
    if type(sock) is socket.socket:
        return False
    own = getattr(sock, "__dict__", {})
    return any(name in own or getattr(type(sock), name, None) is not method for name, method in _SOCKET_METHODS.items())


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Without those that are None: not every version of asyncio knows all of them."""
    return {name: value for name, value in options.items() if value is not None}


class Connections(SocketCalls, AsyncioLoop):
    """The part of `riata.Loop` that makes connections."""

    __slots__ = ()

    # Transports: TCP and Unix streams are native (`_make_socket_transport`), and so is TLS over them.

    def _make_socket_transport(  # type: ignore[override]
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: Any = None,
        **options: Any,
    ) -> asyncio.Transport:
        """A native transport; asyncio's over a socket that has methods of its own, which are called then."""
        if not _sends_by_itself(sock):
            return super()._make_socket_transport(sock, protocol, waiter, **options)
        return AsyncioLoop._make_socket_transport(self, sock, protocol, waiter, **_given(options))

    def _make_ssl_transport(  # type: ignore[override]
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, Any] | None = None,
        server: asyncio.Server | None = None,
        ssl_handshake_timeout: Any = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: Any = constants.SSL_SHUTDOWN_TIMEOUT,
        context: contextvars.Context | None = None,
    ) -> asyncio.Transport:
        """Native TLS over a native transport; asyncio's over a socket that has methods of its own."""
        if _sends_by_itself(rawsock):
            return AsyncioLoop._make_ssl_transport(
                self,
                rawsock,
                protocol,
                sslcontext,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
                **_given({"extra": extra, "server": server, "context": context}),
            )
        self._ensure_fd_no_transport(rawsock)
        ssl_protocol = _native.TlsProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._make_socket_transport(rawsock, ssl_protocol, extra=extra, server=server, context=context)
        assert ssl_protocol._app_transport is not None
        return ssl_protocol._app_transport

    if sys.version_info < (3, 15):

        async def _create_connection_transport(
            self,
            sock: socket.socket,
            protocol_factory: Callable[[], asyncio.BaseProtocol],
            ssl: Any,
            server_hostname: str | None,
            server_side: bool = False,
            ssl_handshake_timeout: float | None = None,
            ssl_shutdown_timeout: float | None = None,
        ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
            """As in asyncio of Python 3.15 (and of late 3.14), which leaves nothing behind when a connection fails.

            Before, a factory that raised left the socket open (gh-153133), and a refused handshake left a cycle.
            """
            try:
                sock.setblocking(False)
                protocol = protocol_factory()
                waiter: asyncio.Future[None] | None = self.create_future()
                transport: asyncio.Transport
                if ssl:
                    transport = self._make_ssl_transport(
                        sock,
                        protocol,
                        None if isinstance(ssl, bool) else ssl,  # type: ignore[arg-type]
                        waiter,
                        server_side=server_side,
                        server_hostname=server_hostname,
                        ssl_handshake_timeout=ssl_handshake_timeout,
                        ssl_shutdown_timeout=ssl_shutdown_timeout,
                    )
                else:
                    transport = self._make_socket_transport(sock, protocol, waiter)
            except BaseException:
                sock.close()
                raise
            try:
                assert waiter is not None
                await waiter
            except BaseException:
                transport.close()
                waiter = None  # its exception's traceback holds this frame
                raise
            return transport, protocol

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        **options: Any,
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        """Connect to a TCP server; return the transport, and the protocol that `protocol_factory` made.

        Raises:
            OSError: no connection could be made.
            ValueError: arguments that do not go together.
        """
        if (
            not (ssl or options)
            and sock is None
            and local_addr is None
            and server_hostname is None
            and ssl_handshake_timeout is None
            and ssl_shutdown_timeout is None
            and happy_eyeballs_delay is None
            # A program may have replaced them: to count, to forbid, to go through a proxy.
            and _asyncio_base.socket is socket
            and socket.socket is _socket
            and _socket.connect is _connect
        ):
            made = self._try_connection(protocol_factory, host, port, family, proto)
            if made is not None:
                first, protocol, waiter = made
                try:
                    await waiter
                except BaseException:
                    first.close()
                    del waiter, made  # its exception's traceback holds this frame
                    raise
                if isinstance(first, _native.StreamTransport):
                    return first, protocol
                return await self._create_connection_transport(first, protocol_factory, None, None)
        return await super().create_connection(
            protocol_factory,
            host,
            port,
            ssl=ssl,
            family=family,
            proto=proto,
            flags=flags,
            sock=sock,
            local_addr=local_addr,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            **options,
        )

    # Its own keywords are those of the Python at hand: `all_errors` came with 3.12.
    create_connection.__wrapped__ = AsyncioLoop.create_connection  # type: ignore[attr-defined]
