"""`multiprocessing` under `monkey.patch_all()`: what its helper threads wait for stops no other greenlet.

The helper threads of a `Pool` are greenlets then, and read pipes and take semaphores by calls that know nothing of
gevent: the first one to wait stops all others, what it waits for among them. So a connection waits in the hub before it
reads or writes, and a semaphore that is taken is waited for in a real thread.

A forked child has copies of its parent's greenlets. Those that wait here must not go on there: they would read
what is the parent's.
"""

from __future__ import annotations

import os
import threading
from types import ModuleType
from typing import Any

from gevent import monkey
from gevent._hub_local import get_hub_if_exists
from greenlet import getcurrent

from riata import _native
from riata._when_imported import when_imported

# A pipe that can be written takes as much without waiting: pipe(7).
_PIPE_BUF = 4096

_patched: list[ModuleType] = []


def cooperate() -> None:
    """Have `multiprocessing` wait in the hub, once it is imported, where the program has patched threads."""
    for name in _PATCHES:
        when_imported(name, cooperate_in)


def cooperate_in(module: ModuleType) -> None:
    """Patch one of the modules concerned, once."""
    if module not in _patched:
        _patched.append(module)
        _PATCHES[module.__name__](module)


def _hub() -> Any:
    """The hub to wait in; None where a wait may stop the thread: in real threads, and in a worker's main thread."""
    if not monkey.is_module_patched("threading"):
        return None
    hub = get_hub_if_exists()
    if hub is None or getcurrent() is hub or not isinstance(hub.loop, _native.GreenLoop):
        return None
    from multiprocessing import process

    if process.parent_process() is not None and threading.current_thread() is threading.main_thread():
        return None
    return hub


def _wait(hub: Any, fd: int, events: int) -> None:
    pid = os.getpid()
    with hub.loop.io(fd, events) as watcher:
        hub.wait(watcher)
    _stay_behind(pid)


def _stay_behind(pid: int) -> None:
    """In a forked child, the copy of a greenlet of the parent's never goes on."""
    while os.getpid() != pid:
        hub = get_hub_if_exists()
        hub.switch()


def _patch_connections(connection: ModuleType) -> None:
    receive, send = connection.Connection._recv, connection.Connection._send

    def read(fd: int, count: int) -> bytes:
        hub = _hub()
        if hub is not None:
            _wait(hub, fd, 1)
        return os.read(fd, count)

    def write(fd: int, data: Any) -> int:
        hub = _hub()
        if hub is not None:
            _wait(hub, fd, 2)
            data = memoryview(data)[:_PIPE_BUF]
        return os.write(fd, data)

    def _recv(self: Any, size: int, read: Any = read) -> Any:
        return receive(self, size, read)

    def _send(self: Any, buf: Any, write: Any = write) -> None:
        send(self, buf, write)

    connection.Connection._recv = _recv
    connection.Connection._send = _send


def _patch_semaphores(synchronize: ModuleType) -> None:
    make = synchronize.SemLock._make_methods

    def _make_methods(self: Any) -> None:
        make(self)
        take = self.acquire
        if self._semlock.kind == synchronize.RECURSIVE_MUTEX:  # is its thread's
            return

        def acquire(block: bool = True, timeout: float | None = None) -> bool:
            hub = _hub() if block and (timeout is None or timeout > 0) else None
            if hub is None or take(False):
                return hub is not None or bool(take(block, timeout))
            pid = os.getpid()
            taken: bool = hub.threadpool.apply(take, (True, timeout))
            _stay_behind(pid)
            return taken

        self.acquire = acquire

    def __enter__(self: Any) -> bool:
        taken: bool = self.acquire()
        return taken

    synchronize.SemLock._make_methods = _make_methods
    synchronize.SemLock.__enter__ = __enter__


_PATCHES = {
    "multiprocessing.connection": _patch_connections,
    "multiprocessing.synchronize": _patch_semaphores,
}
