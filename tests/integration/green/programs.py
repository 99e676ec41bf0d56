"""Programs of asyncio and gevent, each a process of its own, since gevent's hub is the thread's."""

import os
import subprocess
import sys
from textwrap import dedent

HEAD = """
import asyncio, contextvars, gc, signal, sys, threading, time, weakref
{patch}
import gevent, gevent.event, gevent.lock, gevent.queue
import riata, riata.gevent
riata.gevent.install()
riata.install()

def here():
    return asyncio._get_running_loop(), None if asyncio._get_running_loop() is None else asyncio.current_task()
"""


def passes(program: str, patch: bool = False) -> None:
    """The program ends well, and says nothing."""
    head = HEAD.format(patch="from gevent import monkey; monkey.patch_all()" if patch else "")
    ends_well("-X", "faulthandler", "-c", head + dedent(program))


def ends_well(*arguments: str) -> None:
    """Python, started with these arguments and no settings from outside, ends well and says nothing."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")
