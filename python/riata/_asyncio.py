"""asyncio's own loop, which is behind `riata.Loop` for what is not native.

This file is for type checkers: typeshed knows only the public half of that loop, and riata leans on some of the rest.
What is declared here exists in CPython 3.11 to 3.14; its own test suite, run on riata, is what notices a change.
"""

from __future__ import annotations

import socket
from asyncio import base_subprocess, unix_events
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    import ssl

    class AsyncioLoop(unix_events._UnixSelectorEventLoop):
        """`asyncio.unix_events._UnixSelectorEventLoop`, with the private names that riata uses."""

        # An executor set or made by the loop, a ThreadPoolExecutor or what a program put in its place.
        _default_executor: Any
        # The pair that signals arrive through.
        _ssock: socket.socket | None
        _csock: socket.socket | None
        _signal_handlers: dict[int, Any]

        def __init__(self, selector: object) -> None: ...
        async def _make_subprocess_transport(self, *args: Any, **options: Any) -> Any: ...
        def _check_default_executor(self) -> None: ...
        async def _create_connection_transport(
            self,
            sock: socket.socket,
            protocol_factory: Any,
            ssl: Any,
            server_hostname: str | None,
            server_side: bool = ...,
            ssl_handshake_timeout: float | None = ...,
            ssl_shutdown_timeout: float | None = ...,
        ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]: ...
        def _make_self_pipe(self) -> None: ...
        def _close_self_pipe(self) -> None: ...
        def _make_socket_transport(
            self, sock: socket.socket, protocol: asyncio.BaseProtocol, waiter: Any = None, **options: Any
        ) -> asyncio.Transport: ...
        def _make_ssl_transport(
            self,
            rawsock: socket.socket,
            protocol: asyncio.BaseProtocol,
            sslcontext: ssl.SSLContext,
            waiter: Any = None,
            **options: Any,
        ) -> asyncio.Transport: ...

    class AsyncioSubprocessTransport(base_subprocess.BaseSubprocessTransport):
        """`asyncio.unix_events._UnixSubprocessTransport`, with the private names that riata uses."""

        _loop: Any
        _proc: Any
        _protocol: Any
        _pipes: dict[int, Any]
        _pending_calls: Any
        _returncode: int | None

        def is_closing(self) -> bool: ...

else:
    AsyncioSubprocessTransport = unix_events._UnixSubprocessTransport
    AsyncioLoop = unix_events._UnixSelectorEventLoop
