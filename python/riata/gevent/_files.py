"""Reading and writing files where coroutines are unblocked: `open` gives files whose system calls wait in threads.

A small read of what the kernel has in memory is made at once. `io` keeps its buffers and decoders to itself, as ever:
what differs is the raw file below them. Pipes, terminals and the like are read as before.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import stat
from collections.abc import Callable
from typing import Any

from gevent._hub_local import get_hub_if_exists
from greenlet import getcurrent

from riata.gevent._threads import outcome

_AT_ONCE = 65536
"""Bytes that are read at once if the kernel has them in memory."""

MISSING = object()
"""Stands for what was not there before."""

_open: Callable[..., Any] = io.open


def waiting_hub() -> Any:
    """The hub that the calling greenlet can wait in; None in threads without one, and in the hub itself."""
    hub = get_hub_if_exists()
    return None if hub is None or getcurrent() is hub else hub


def in_thread(hub: Any, call: Callable[..., Any], *arguments: Any) -> Any:
    """What `call` returns or raises, called in one of the hub's real threads."""
    result, error = hub.threadpool.apply(outcome, (call, arguments, {}))
    if error is None:
        return result
    try:
        raise error
    finally:
        error = None  # its traceback knows this frame


class File(io.FileIO):
    """A file, read and written in a thread while others run."""

    _is_regular = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_regular = stat.S_ISREG(os.fstat(self.fileno()).st_mode)

    def _hub(self) -> Any:
        return waiting_hub() if self._is_regular and not self.closed else None

    # Threads have memory of their own: what is lent here may be gone before they are done, if the greenlet is killed.

    def readinto(self, buffer: Any) -> Any:
        hub = self._hub()
        if hub is None:
            return super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        if len(view) <= _AT_ONCE and self.readable():
            try:
                return os.preadv(self.fileno(), [view], -1, os.RWF_NOWAIT)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
        data = in_thread(hub, super().read, len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1, /) -> Any:
        hub = self._hub()
        return super().read(size) if hub is None else in_thread(hub, super().read, size)

    def readall(self) -> Any:
        hub = self._hub()
        return super().readall() if hub is None else in_thread(hub, super().readall)

    def write(self, data: Any, /) -> Any:
        hub = self._hub()
        return super().write(data) if hub is None else in_thread(hub, super().write, bytes(data))


def open_file(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """`open`, with a `File` below what it returns."""
    if waiting_hub() is None or not isinstance(mode, str) or not isinstance(buffering, int):
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    kinds = set(mode)
    binary = "b" in kinds
    plain = len(kinds) == len(mode) and kinds <= set("rwxa+bt") and len(kinds & set("rwxa")) == 1
    fits = not ("t" in kinds or encoding or errors or newline) if binary else buffering != 0
    if not (plain and fits):  # an error, in Python's words
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if not binary:
        encoding = io.text_encoding(encoding)
    # As Modules/_io/_iomodule.c has it.
    result: Any = File(file, "".join(sorted(kinds - set("bt"), reverse=True)), closefd, opener)
    try:
        lines = not binary and (buffering == 1 or (buffering < 0 and result.isatty()))
        if buffering == 0:
            return result
        if buffering < 0 or buffering == 1:
            buffering = max(min(result._blksize, 8 << 20), io.DEFAULT_BUFFER_SIZE)
        kind = io.BufferedRandom if "+" in kinds else io.BufferedReader if "r" in kinds else io.BufferedWriter
        result = kind(result, buffering)
        if binary:
            return result
        result = io.TextIOWrapper(result, encoding, errors, newline, lines)
        result.mode = mode
        return result
    except BaseException:
        result.close()
        raise


def open_in_threads() -> list[tuple[Any, str, Any]]:
    """Have `open` give such files; what was there before, to be put back."""
    before: list[tuple[Any, str, Any]] = [(builtins, "open", builtins.open), (io, "open", io.open)]
    for module, name, _ in before:
        setattr(module, name, open_file)
    return before
