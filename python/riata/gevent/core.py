"""What `gevent.core` has where gevent runs on riata's loop: the loop, and libev's names and numbers.

gevent finds the loop here, by `riata.gevent.Loop`, and copies this module's names to `gevent.core`.
"""

from __future__ import annotations

import sys
import time as _time
import traceback
import warnings
from asyncio import _get_running_loop as _running_loop
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from gevent._interfaces import ICallback, ILoop
from gevent.exceptions import HubDestroyed
from zope.interface import classImplements, implementer

from riata import _native
from riata._native import EVENTS
from riata._native import __version__ as _version
from riata.gevent import _driven, _processes

__all__ = [
    "ASYNC",
    "BACKEND_EPOLL",
    "BACKEND_KQUEUE",
    "BACKEND_POLL",
    "BACKEND_PORT",
    "BACKEND_SELECT",
    "CHECK",
    "CHILD",
    "CLEANUP",
    "CUSTOM",
    "EMBED",
    "ERROR",
    "EVENTS",
    "FORK",
    "FORKCHECK",
    "IDLE",
    "LIBEV_EMBED",
    "MAXPRI",
    "MINPRI",
    "NOINOTIFY",
    "NOSIGMASK",
    "PERIODIC",
    "PREPARE",
    "READ",
    "READWRITE",
    "SIGNAL",
    "SIGNALFD",
    "STAT",
    "TIMER",
    "UNDEF",
    "WRITE",
    "Loop",
    "embeddable_backends",
    "get_header_version",
    "get_version",
    "loop",
    "recommended_backends",
    "supported_backends",
    "time",
]

UNDEF = -1
READ = 0x01
WRITE = 0x02
READWRITE = READ | WRITE
_IOFDSET = 0x80
TIMER = 0x100
PERIODIC = 0x200
SIGNAL = 0x400
CHILD = 0x800
STAT = 0x1000
IDLE = 0x2000
PREPARE = 0x4000
CHECK = 0x8000
EMBED = 0x10000
FORK = 0x20000
CLEANUP = 0x40000
ASYNC = 0x80000
CUSTOM = 0x1000000
ERROR = 0x80000000

MINPRI = -2
MAXPRI = 2

BACKEND_SELECT = 0x01
BACKEND_POLL = 0x02
BACKEND_EPOLL = 0x04
BACKEND_KQUEUE = 0x08
BACKEND_PORT = 0x20
_BACKEND_LINUXAIO = 0x40
_BACKEND_IOURING = 0x80
_BACKEND_MASK = 0xFFFF

FORKCHECK = 0x02000000
NOINOTIFY = 0x00100000
SIGNALFD = 0x00200000
NOSIGMASK = 0x00400000
_NOENV = 0x01000000

LIBEV_EMBED = True
"""By this name gevent's tests ask whether `loop.fileno()` is the poller's descriptor. It is; libev is not here."""


def _host(event_loop: _native.EventLoop) -> bool:
    from riata.gevent import _guests  # which needs gevent.hub, and that may be what imports this

    return _guests.host(event_loop)


_EVENTS = [
    (READ, "READ"),
    (WRITE, "WRITE"),
    (_IOFDSET, "_IOFDSET"),
    (PERIODIC, "PERIODIC"),
    (SIGNAL, "SIGNAL"),
    (CHILD, "CHILD"),
    (STAT, "STAT"),
    (IDLE, "IDLE"),
    (PREPARE, "PREPARE"),
    (CHECK, "CHECK"),
    (EMBED, "EMBED"),
    (FORK, "FORK"),
    (CLEANUP, "CLEANUP"),
    (ASYNC, "ASYNC"),
    (CUSTOM, "CUSTOM"),
    (ERROR, "ERROR"),
]

_FLAGS = [
    (BACKEND_PORT, "port"),
    (BACKEND_KQUEUE, "kqueue"),
    (_BACKEND_IOURING, "linux_iouring"),
    (_BACKEND_LINUXAIO, "linux_aio"),
    (BACKEND_EPOLL, "epoll"),
    (BACKEND_POLL, "poll"),
    (BACKEND_SELECT, "select"),
    (_NOENV, "noenv"),
    (FORKCHECK, "forkcheck"),
    (NOINOTIFY, "noinotify"),
    (SIGNALFD, "signalfd"),
    (NOSIGMASK, "nosigmask"),
]


def _names(bits: int, known: Iterable[tuple[int, str]]) -> tuple[list[str], int]:
    found = []
    for bit, name in known:
        if bits & bit:
            found.append(name)
            bits &= ~bit
    return found, bits


def _events_to_str(events: int) -> str:
    found, rest = _names(events, _EVENTS)
    return "|".join([*found, hex(rest)] if rest else found)


def _flags_to_list(flags: int) -> list[str | int]:
    found, rest = _names(flags, _FLAGS)
    return [*found, rest] if rest else [*found]


def _flags_to_int(flags: Any) -> int:
    if not flags:
        return 0
    if isinstance(flags, int):
        return flags
    known = {name: bit for bit, name in _FLAGS}
    result = 0
    for value in flags.split(",") if isinstance(flags, str) else flags:
        name = value.strip().lower()
        if name and name not in known:
            raise ValueError(f"Invalid backend or flag: {name!r}\nPossible values: {', '.join(sorted(known))}")
        result |= known.get(name, 0)
    return result


def _check_flags(flags: int) -> None:
    wanted = flags & _BACKEND_MASK
    if wanted and not wanted & BACKEND_EPOLL:
        names = "|".join(str(name) for name in _flags_to_list(wanted))
        raise ValueError(f"Unsupported backend: {names}")


def get_version() -> str:
    """The loop's name and version."""
    return f"riata-{_version}"


get_header_version = get_version


def supported_backends() -> list[str | int]:
    """What the loop can poll with."""
    return ["epoll"]


recommended_backends = supported_backends


def embeddable_backends() -> list[str | int]:
    """What can be watched inside another loop: nothing needs to be."""
    return []


def time() -> float:
    """The time of day, as time.time()."""
    return _time.time()


@implementer(ILoop)
class Loop(_native.GreenLoop):
    """gevent's loop on riata's engine.

    Args:
        flags: as libev's: names in a list or divided by commas, or a number. The only backend is epoll; flags for
            libev's own ways are taken, and change nothing.
        default: whether it is the default loop, which alone can watch child processes: in gevent the main thread's.

    Raises:
        ValueError: an unknown flag, or a backend other than epoll.
        OSError: the kernel refused a descriptor (EMFILE, ENFILE, ENOMEM).
    """

    # No dictionary to look into at each `run_callback`.
    __slots__ = ("error_handler",)

    error_handler: Any
    """Who is told of errors: an object with `handle_error`, or a function of the same arguments."""

    approx_timer_resolution = 0.00001
    """The shortest time to sleep, in seconds, approximately."""

    WatcherType = _native.watcher
    """The class that all watchers are of."""

    CALLBACK_CHECK_COUNT = 50
    """After how many callbacks the loop looks at the clock."""

    backend = "epoll"
    backend_int = BACKEND_EPOLL

    def __init__(self, flags: Any = None, default: bool | None = None) -> None:
        self.error_handler = None
        _check_flags(_flags_to_int(flags))
        self._set_default(default is None or bool(default))
        if "gevent.hub" in sys.modules:  # whose hub this is for
            from riata.gevent import _guests

            _guests.wake_directly()
            if _running_loop() is not None:  # gevent's first use in this thread is in a coroutine
                _guests.keep_worlds()

    locals()["async"] = _native.GreenLoop.async_

    def install_sigchld(self) -> None:
        """Nothing: children are not noticed by SIGCHLD."""

    def reset_sigchld(self) -> None:
        """Nothing: children are not noticed by SIGCHLD."""

    def verify(self) -> None:
        """Nothing: libev looks for errors of its own here, where it is built to."""

    def update(self) -> None:
        """Deprecated: update_now()."""
        warnings.warn("'update' is deprecated; use 'update_now'", DeprecationWarning, stacklevel=2)
        self.update_now()

    def destroy(self) -> bool | None:
        """Give everything back, and drop what waits. True when it did, None if it was done before."""
        return self._destroy() or None

    @property
    def ptr(self) -> int | None:
        """A number that stands for the loop; None once it is destroyed."""
        return None if self._destroyed else id(self)

    # Errors.

    def handle_error(
        self,
        context: Any,
        type: type[BaseException],
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Tell who is to be told what a callback raised, and whose it was; None stands for the program as a whole."""
        if type is HubDestroyed:
            self._clear_callbacks()
            self.break_()
            return
        handler = self.error_handler
        if handler is None:
            self._default_handle_error(context, type, value, tb)
            return
        # Looked up each time: a program may put a function of its own there.
        getattr(handler, "handle_error", handler)(context, type, value, tb)

    def _default_handle_error(
        self,
        context: Any,
        type: type[BaseException],
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        traceback.print_exception(type, value, tb)
        self.break_()

    # Texts.

    def _format(self) -> str:
        if self._destroyed:
            return "destroyed"
        parts = [f"backend={self.backend}", f"ptr={self.ptr}"]
        if self.default:
            parts.append("default")
        parts += [
            f"pending={self.pendingcnt}",
            f"ref={self.activecnt}",
            f"fileno={self.fileno()}",
            f"callbacks={self._callbackcnt}",
        ]
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} at 0x{id(self):x} {self._format()}>"

    def debug(self) -> list[str]:
        """What the loop goes on for, in words: gevent shows it when there is nothing left to wait for."""
        return [] if self._destroyed else [repr(watcher) for watcher in self._active_watchers()]


classImplements(_native.callback, ICallback)
_native._set_host(_host)
_processes.cooperate()
_driven.follow_drivers()

loop = Loop
