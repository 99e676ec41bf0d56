"""Child processes: asyncio's transport, with the end of a child noticed by the loop itself.

`subprocess.Popen` begins the child, with every argument it takes (and vfork where that may be used). The loop watches a
descriptor that becomes readable when the child ends (`_native.Child`), in whichever thread it runs; nothing depends on
the child watchers that Python 3.11 to 3.13 have, unless the program has chosen one that behaves otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio import base_subprocess, unix_events
from asyncio.log import logger
from typing import Any

from riata import _native
from riata._asyncio import AsyncioSubprocessTransport

if sys.version_info < (3, 12):
    _REAPED_BY_OTHERS = "Unknown child process pid %d, will report returncode 255"
else:
    _REAPED_BY_OTHERS = "child process pid %d exit status already read:  will report returncode 255"


class _UnixSubprocessTransport(AsyncioSubprocessTransport):
    """asyncio's transport of the same name, which watches its child by itself.

    Signals go to the child alone, never to whoever has its number later; and nothing but the loop reaps it, so that its
    return code is not lost to a look whether it runs.
    """

    _child: _native.Child | None = None
    _reap_waiter: asyncio.Future[None] | None = None

    def watch(self) -> None:
        """Have the loop notice the end of the child, which has just begun.

        Raises:
            OSError: there is no descriptor left (EMFILE, ENFILE); the child was ended.
        """
        try:
            self._child = _native.Child(self._proc.pid)
        except ProcessLookupError:  # the process ignores SIGCHLD, or somebody waits for any child
            self._loop.call_soon(self._child_ended)
        except OSError:
            self.close()
            self._proc.wait()
            raise
        else:
            self._loop._add_reader(self._child, self._child_ended)

    def _child_ended(self) -> None:
        returncode = None
        if self._child is not None:
            with contextlib.suppress(ChildProcessError):
                returncode = self._child.reap()
                if returncode is None:
                    return
            self._loop._remove_reader(self._child)
            self._child = None
        if returncode is None:  # reaped by others: by Popen, if the program has asked it
            returncode = self._proc.returncode
        if returncode is None:
            returncode = 255
            logger.warning(_REAPED_BY_OTHERS, self._pid)
        waiter, self._reap_waiter = self._reap_waiter, None
        self._process_exited(returncode)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait_until_reaped(self) -> None:
        """Wait for the end of the child, whatever becomes of its pipes."""
        if self._returncode is None:
            if self._reap_waiter is None:
                self._reap_waiter = self._loop.create_future()
            await asyncio.shield(self._reap_waiter)

    def send_signal(self, signal: int) -> None:  # asyncio's name of the argument
        """Send a signal to the child; nothing happens when it has ended.

        Raises:
            ProcessLookupError: the transport is finished.
        """
        self._check_proc()
        if self._loop.is_closed():
            if self._returncode is None:
                self._proc.send_signal(signal)
        elif self._child is not None:
            with contextlib.suppress(ProcessLookupError):  # ended, and about to be noticed
                self._child.send_signal(signal)

    def leave(self) -> None:
        """The loop, which is being closed, notices nothing any more; the child is no longer its to reap."""
        self._child = None

    def terminate(self) -> None:
        """Ask the child to end: SIGTERM. Raises ProcessLookupError as send_signal does."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the child: SIGKILL. Raises ProcessLookupError as send_signal does."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the pipes, and end the child if it runs."""
        if self._closed:
            return
        self._closed = True
        watching = self._loop is not None and not self._loop.is_closed()
        if watching:
            for proto in self._pipes.values():
                if proto is not None:
                    proto.pipe.close()
        if self._proc is None or self._returncode is not None:
            return
        if self._runs(watching):
            if self._loop.get_debug():
                logger.warning("Close running child process: kill %r", self)
            # It may have ended just now, or run as somebody else.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                self._proc.kill()

    def _runs(self, watching: bool) -> bool:
        if watching and self._child is not None:
            return self._child.is_running()
        # Popen reaps what it is asked about, as nobody else will.
        return self._proc.poll() is None

    async def _connect_pipes(self, waiter: asyncio.Future[None] | None) -> None:
        proc, loop = self._proc, self._loop
        try:
            for fd, pipe in enumerate((proc.stdin, proc.stdout, proc.stderr)):
                if pipe is not None:
                    self._pipes[fd] = await self._connect_pipe(fd, pipe)
                    if self._closed:
                        self._pipes[fd].pipe.close()
            loop.call_soon(self._protocol.connection_made, self)
            for callback, data in self._pending_calls:
                loop.call_soon(callback, *data)
            self._pending_calls = None
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            for proto in self._pipes.values():
                if proto is not None:
                    proto.pipe.close()
            for pipe in (proc.stdin, proc.stdout, proc.stderr):
                if pipe is not None:
                    pipe.close()
            if waiter is not None and not waiter.cancelled():
                waiter.set_exception(error)
        else:
            if waiter is not None and not waiter.cancelled():
                waiter.set_result(None)

    async def _connect_pipe(self, fd: int, pipe: Any) -> Any:
        if fd == 0:
            _, proto = await self._loop.connect_write_pipe(
                lambda: base_subprocess.WriteSubprocessPipeProto(self, fd), pipe
            )
        else:
            _, proto = await self._loop.connect_read_pipe(
                lambda: base_subprocess.ReadSubprocessPipeProto(self, fd), pipe
            )
        return proto


SubprocessTransport = _UnixSubprocessTransport
"""asyncio's name is what `repr` shows."""


if sys.version_info < (3, 14):
    import warnings

    # What these do the loop does itself. Python 3.11's pidfd watcher is another: it needs a loop to be attached.
    _LIKE_OURS: tuple[type, ...] = (unix_events.ThreadedChildWatcher,)
    if sys.version_info >= (3, 12):
        _LIKE_OURS += (unix_events.PidfdChildWatcher,)

    def chosen_watcher() -> Any:
        """The child watcher that the program has chosen through the policy; None for asyncio's own choice."""
        policy = asyncio.get_event_loop_policy()
        default = unix_events._UnixDefaultEventLoopPolicy.get_child_watcher
        if getattr(type(policy), "get_child_watcher", None) is default:
            watcher = policy._watcher  # type: ignore[attr-defined]  # asking for it would make one
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                try:
                    watcher = policy.get_child_watcher()
                except NotImplementedError:
                    watcher = None
        return None if type(watcher) in _LIKE_OURS else watcher

else:

    def chosen_watcher() -> Any:
        """Always None: from 3.14 on Python has no child watchers to choose from."""
        return None
