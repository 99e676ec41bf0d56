"""`riata.Loop`: the native loop, with asyncio's own code behind it for what is not native.

Method resolution puts the native class first: running, scheduling, watching descriptors, tasks and futures. What it
leaves out comes from `asyncio.unix_events._UnixSelectorEventLoop` of the Python at hand, and works on the native parts
as it works on a selector: so each Python version gets exactly the arguments, checks and texts that it documents.
"""

from __future__ import annotations

import concurrent.futures
import os
import selectors
import signal
import socket
import sys
import threading
import weakref
from asyncio import events, streams
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from riata import _native
from riata._connect import Connections
from riata._subprocess import SubprocessTransport, chosen_watcher

try:
    import ssl
except ImportError:  # asyncio's own code says so where it is asked for
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import asyncio
    from typing import IO

T = TypeVar("T")
Args = TypeVarTuple("Args")

_getaddrinfo = socket.getaddrinfo

# Those that are upgraded to TLS natively.
_NATIVE_TRANSPORTS = (_native.StreamTransport, _native.TlsTransport)


# The descriptors that loops of this process have given to signal.set_wakeup_fd.
_wakeup_fds: set[int] = set()


def _forget_wakeup_fd() -> None:
    """In a forked child: its signals must not be written to the parent's loop. asyncio does this since 3.12."""
    if _wakeup_fds:
        current = signal.set_wakeup_fd(-1)
        if current not in _wakeup_fds:
            signal.set_wakeup_fd(current)


os.register_at_fork(after_in_child=_forget_wakeup_fd)


class _Driver:
    """Stands where asyncio's code expects a selector: the native loop watches descriptors itself.

    Inherited transports ask it, for their `repr`, what is watched.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = weakref.ref(loop)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """What `fileobj` is watched for. Raises KeyError when it is not."""
        loop = self._loop()
        events = 0 if loop is None else loop._watched(fileobj)
        if not events:
            raise KeyError(f"{fileobj!r} is not registered")
        return selectors.SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, None)

    def close(self) -> None:
        """Nothing is open."""


class Loop(Connections):
    """riata's event loop: an `asyncio.AbstractEventLoop`, complete.

    Raises:
        OSError: the kernel refused a descriptor (EMFILE, ENFILE, ENOMEM).
    """

    # What every loop has is in slots, so that most loops never have a `__dict__`: the interpreter finds methods of
    # instances without one faster (`LOAD_ATTR_METHOD_LAZY_DICT`), and `loop.call_soon` is looked up at every call.
    __slots__ = (
        "_asyncgens",
        "_asyncgens_shutdown_called",
        "_children",
        "_clock_resolution",
        "_coroutine_origin_tracking_enabled",
        "_coroutine_origin_tracking_saved_depth",
        "_csock",
        "_default_executor",
        "_exception_handler",
        "_executor_shutdown_called",
        "_old_agen_hooks",
        "_ready",
        "_scheduled",
        "_selector",
        "_signal_handlers",
        "_ssock",
        "_timer_cancelled_count",
        "_transports",
        "_unix_server_sockets",
        "_wakeup_fd_before",
        "_wakeup_was_a_loops",
        "slow_callback_duration",
    )

    def __init__(self) -> None:
        self._wakeup_fd_before: int | None = None
        self._wakeup_was_a_loops = False
        self._children: weakref.WeakSet[SubprocessTransport] | None = None
        super().__init__(_Driver(self))
        self._note_overrides()

    def close(self) -> None:
        """Close the loop: what waits is dropped, the default executor is shut down without waiting.

        Raises:
            RuntimeError: the loop is running.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self.is_closed():
            return
        super().close()
        self._close()
        for transport in self._children or ():
            transport.leave()

    # Signals: the wakeup descriptor is the loop's own while it runs on the main thread, so that no signal is missed
    # between Python's last look at its flags and the poll.

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _open_self_pipe(self) -> socket.socket:
        if self._csock is None:
            super()._make_self_pipe()
        assert self._csock is not None
        return self._csock

    def _close_self_pipe(self) -> None:
        if self._csock is not None:
            _wakeup_fds.discard(self._csock.fileno())
            super()._close_self_pipe()

    def _renew_self_pipe(self) -> None:
        """In a forked child the pair is the parent's as well: what is written there would be the parent's signals."""
        if self._csock is None:
            return
        self._close_self_pipe()
        if self._wakeup_fd_before is not None or self._signal_handlers:
            self._set_wakeup_fd()

    def _set_wakeup_fd(self) -> int:
        fileno = self._open_self_pipe().fileno()
        before = signal.set_wakeup_fd(fileno, warn_on_full_buffer=False)
        _wakeup_fds.add(fileno)
        return before

    def _begin_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            self._wakeup_fd_before = self._set_wakeup_fd()
        except ValueError:  # a subinterpreter has no signals
            self._wakeup_fd_before = None
        self._wakeup_was_a_loops = self._wakeup_fd_before in _wakeup_fds

    def _end_signals(self) -> None:
        before, self._wakeup_fd_before = self._wakeup_fd_before, None
        if before is None or self._csock is None or self._signal_handlers:
            return
        if self._wakeup_was_a_loops and before not in _wakeup_fds:  # its loop is closed: the number may be another's
            before = -1
        try:
            current = signal.set_wakeup_fd(before)
        except (ValueError, OSError):  # what was there before is closed by now
            current = signal.set_wakeup_fd(-1)
        if current != self._csock.fileno():  # the program put its own there meanwhile: it stays
            signal.set_wakeup_fd(current)

    def add_signal_handler(self, sig: int, callback: Callable[[*Args], Any], *args: *Args) -> None:
        """Call `callback(*args)` through the loop when the signal `sig` arrives.

        Raises:
            TypeError: `callback` is a coroutine (function).
            ValueError: no such signal.
            RuntimeError: not in the main thread, or the signal cannot be caught.
        """
        self._check_closed()
        self._open_self_pipe()
        super().add_signal_handler(sig, callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Take the handler of `sig` away; False when there was none."""
        removed = super().remove_signal_handler(sig)
        if removed and not self._signal_handlers:  # then asyncio leaves no wakeup descriptor, whosever it was
            running = events._get_running_loop()
            if isinstance(running, Loop) and running._wakeup_fd_before is not None and running._csock is not None:
                running._set_wakeup_fd()
        return removed

    # TLS over transports that are there already.

    async def start_tls(
        self,
        transport: asyncio.BaseTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport | None:
        """Upgrade `transport` to TLS; return the transport that `protocol` should use from now on.

        A transport that is not riata's is upgraded by asyncio's own code.

        Raises:
            TypeError: `sslcontext` is no SSLContext, or the transport cannot be upgraded.
            ssl.SSLError, ConnectionError: the handshake failed; the transport is closed.
        """
        if ssl is None or not isinstance(sslcontext, ssl.SSLContext) or type(transport) not in _NATIVE_TRANSPORTS:
            return await super().start_tls(
                transport,
                protocol,
                sslcontext,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )
        upgraded: _native.StreamTransport | _native.TlsTransport = transport  # type: ignore[assignment]
        waiter: asyncio.Future[None] | None = self.create_future()
        ssl_protocol = _native.TlsProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        # Nothing may arrive before `connection_made`.
        upgraded.pause_reading()
        if server_side and isinstance(protocol, streams.StreamReaderProtocol):
            # What a client sent together with the request for TLS is TLS: asyncio does this since 3.14.
            reader = getattr(protocol, "_stream_reader", None)
            if reader is not None and reader._buffer:
                ssl_protocol._feed_early(reader._buffer)
                reader._buffer.clear()
        upgraded.set_protocol(ssl_protocol)
        made = self.call_soon(ssl_protocol.connection_made, upgraded)
        resumed = self.call_soon(upgraded.resume_reading)
        try:
            assert waiter is not None
            await waiter
        except BaseException:
            upgraded.close()
            made.cancel()
            resumed.cancel()
            waiter = None  # its exception's traceback holds this frame
            raise
        return ssl_protocol._app_transport

    async def _sendfile_native(
        self, transp: _native.StreamTransport, file: IO[bytes], offset: int, count: int | None
    ) -> int:
        resume_reading = transp.is_reading()
        transp.pause_reading()
        # Until it is reset, the waiter stands for the loan of the descriptor.
        await transp._make_empty_waiter()
        try:
            return await self.sock_sendfile(transp._sock, file, offset, count, fallback=False)
        finally:
            transp._reset_empty_waiter()
            if resume_reading:
                transp.resume_reading()

    # Child processes.

    async def _make_subprocess_transport(
        self,
        protocol: asyncio.SubprocessProtocol,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: dict[str, Any] | None = None,
        **options: Any,
    ) -> asyncio.SubprocessTransport:
        """Begin a child process; `options` are Popen's."""
        if chosen_watcher() is not None:  # asyncio's own code asks the watcher
            watched: asyncio.SubprocessTransport = await super()._make_subprocess_transport(
                protocol, args, shell, stdin, stdout, stderr, bufsize, extra, **options
            )
            return watched
        waiter = self.create_future()
        transport = SubprocessTransport(
            self, protocol, args, shell, stdin, stdout, stderr, bufsize, waiter=waiter, extra=extra, **options
        )
        transport.watch()
        if self._children is None:
            self._children = weakref.WeakSet()
        self._children.add(transport)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport.wait_until_reaped()
            raise
        return transport

    # Names.

    async def getaddrinfo(
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """`socket.getaddrinfo`, off the loop's thread; addresses that need no look-up are answered at once."""
        if socket.getaddrinfo is _getaddrinfo and not self.get_debug() and _is_numeric(host, port):
            return _getaddrinfo(host, port, family, type, proto, flags)
        return await super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)

    if sys.version_info < (3, 13):

        def run_in_executor(
            self, executor: concurrent.futures.Executor | None, func: Callable[[*Args], T], *args: *Args
        ) -> asyncio.Future[T]:
            """Run `func(*args)` in `executor`, or in the default one; return a future.

            A StopIteration that `func` raises becomes a RuntimeError, as it does in asyncio from Python 3.13 on:
            before, the future never ended.
            """
            return super().run_in_executor(_Raising(self, executor), func, *args)  # type: ignore[arg-type]


def _is_numeric(host: str | bytes | None, port: str | bytes | int | None) -> bool:
    if not (port is None or isinstance(port, int) or port.isdigit()):
        return False
    if host is None:
        return True
    try:
        text = host if isinstance(host, str) else host.decode("ascii")
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


if sys.version_info < (3, 13):

    class _Raising:
        """An executor whose futures carry no StopIteration."""

        def __init__(self, loop: Loop, executor: Any) -> None:
            self._loop = loop
            self._executor = executor

        def submit(self, func: Callable[..., Any], *args: Any) -> concurrent.futures.Future[Any]:
            executor = self._executor
            if executor is None:
                self._loop._check_default_executor()
                executor = self._loop._default_executor
                if executor is None:
                    executor = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
                    self._loop._default_executor = executor
            submitted = executor.submit(func, *args)
            outer: concurrent.futures.Future[Any] = concurrent.futures.Future()

            def passes_cancellation(future: concurrent.futures.Future[Any]) -> None:
                if future.cancelled():
                    submitted.cancel()

            def passes_outcome(future: concurrent.futures.Future[Any]) -> None:
                if future.cancelled():
                    outer.cancel()
                    outer.set_running_or_notify_cancel()
                    return
                if not outer.set_running_or_notify_cancel():
                    return
                error = future.exception()
                if isinstance(error, StopIteration):
                    text = "StopIteration interacts badly with generators and cannot be raised into a Future"
                    wrapped = RuntimeError(text)
                    wrapped.__cause__ = wrapped.__context__ = error
                    error = wrapped
                if error is not None:
                    outer.set_exception(error)
                else:
                    outer.set_result(future.result())

            outer.add_done_callback(passes_cancellation)
            submitted.add_done_callback(passes_outcome)
            return outer


def new_event_loop() -> Loop:
    """Create an event loop: drop-in for `asyncio.new_event_loop`, and the loop factory for `asyncio.Runner`.

    Raises:
        OSError: the kernel refused a descriptor (EMFILE, ENFILE, ENOMEM).
    """
    return Loop()
