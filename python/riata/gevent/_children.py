"""`subprocess` of gevent's with CPython's way to begin a child, where coroutines are unblocked.

gevent forks, and has Python code do the rest in the child: twenty milliseconds of a large process, in which nobody else
runs. CPython's own code is C, and uses vfork where that may be used. What is waited for afterwards waits in the hub.
"""

from __future__ import annotations

import os
import subprocess
from types import FunctionType, ModuleType
from typing import Any

import gevent.os
import gevent.subprocess
from gevent import monkey

from riata.gevent._files import MISSING


def begin_in_c() -> list[tuple[Any, str, Any]]:
    """Have gevent's Popen begin children as CPython's does; what was there before, to be put back."""
    popen = gevent.subprocess.Popen
    original = monkey.get_original("subprocess", "Popen")
    # gevent's `os.close` closes later, and the end of a pipe that is still open is waited for here.
    plain_os = ModuleType("os")
    vars(plain_os).update(vars(os), **monkey.saved.get("os", {}))
    fork_exec = monkey.get_original("subprocess", "_fork_exec")
    names = {**vars(subprocess), "os": plain_os, "_fork_exec": fork_exec}
    execute = FunctionType(original._execute_child.__code__, names)

    def _execute_child(self: Any, *arguments: Any) -> None:
        # gevent's eighth, `universal_newlines`, is unknown to CPython's, whose last, `process_group`, is a number.
        *given, group = [*arguments[:7], *arguments[8:]]

        def begin() -> int:
            execute(self, *given, -1 if group is None else group)
            pid: int = self.pid
            return pid

        self._loop.install_sigchld()
        gevent.os.fork_and_watch(self._on_child, self._loop, True, begin)

    methods = {
        "_execute_child": _execute_child,
        "_close_pipe_fds": FunctionType(original._close_pipe_fds.__code__, names),
        "_posix_spawn": original._posix_spawn,
    }
    before = [(popen, name, vars(popen).get(name, MISSING)) for name in methods]
    for name, method in methods.items():
        setattr(popen, name, method)
    return before
