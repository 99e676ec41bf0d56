"""asyncio's loops in greenlets: each is a guest of its thread's hub.

`run_forever` of a guest waits like any greenlet. The hub polls for gevent and for its guests, and gives each guest its
turns, which run in a greenlet of their own, the runner. A step that waits in gevent takes its runner away; another one
goes on with the other tasks, and the first ends when its step does. Whatever greenlet is left, what the thread knows of
asyncio (running loop, current task) is put away until it is entered again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gevent import hub as _hub
from gevent import monkey
from gevent._hub_local import get_hub, get_hub_if_exists
from gevent._waiter import Waiter
from greenlet import getcurrent, greenlet

from riata import _native
from riata.gevent._threads import RealThreads

_switch: Callable[..., Any] = greenlet.switch
_over = object()
_makes_hubs = False
_keeps_worlds = False


def wake_directly() -> None:
    """From now on greenlets that wait are woken without their hub, where that makes no difference.

    A program's own `Hub.switch` stays as it is.
    """
    if "switch" not in vars(_hub.Hub):
        _native._set_hub_switch(_hub.Hub, vars(Waiter)["switch"])


def keep_worlds() -> None:
    """From now on a greenlet that switches to its hub leaves what it knows of asyncio, and has it again after."""
    global _keeps_worlds
    if not _keeps_worlds:
        _native._set_hub_switch(_hub.Hub, vars(Waiter)["switch"])
        _native._keep_worlds()
        _keeps_worlds = True


def make_hubs(value: bool) -> None:
    """Whether a loop that runs in a thread without a hub is given one."""
    global _makes_hubs
    _makes_hubs = value


def host(loop: _native.EventLoop) -> bool:
    """Run `loop` as the guest of this thread's hub until it is stopped; False if there is no hub of riata's."""
    hub = get_hub() if _makes_hubs else get_hub_if_exists()
    if hub is None or not isinstance(hub.loop, _native.GreenLoop) or getcurrent() is hub:
        return False
    keep_worlds()
    Guest(loop, hub).run()
    return True


class Guest:
    """A loop of asyncio's that a hub gives its turns."""

    def __init__(self, loop: Any, hub: Any) -> None:
        self._loop = loop
        self._hub = hub
        self._waiter: Any = None
        self._runner: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Wait until the loop is stopped.

        Raises:
            BaseException: what a callback raised that ends a loop, or what this greenlet is killed with.
        """
        self._waiter = Waiter(self._hub)
        if self._loop._default_executor is None and monkey.is_module_patched("threading"):
            self._loop._default_executor = RealThreads(self._hub)
        self._hub.loop._add_guest(self._loop, self.turn)
        try:
            self._waiter.get()
        finally:
            self._waiter = None
            self._hub.loop._remove_guest(self._loop)
            runner, self._runner = self._runner, None
            if runner is not None:  # it waits for its next turn, and ends
                self._hub.loop.run_callback(runner.switch)

    def turn(self) -> None:
        """One turn; called in the hub."""
        runner = self._runner
        if runner is None:
            runner = self._runner = greenlet(self._run, self._hub)
        if runner.switch() is not _over and self._runner is runner:
            self._runner = None  # a step of it waits; it ends with that step
        if self._error is not None or self._loop._stopping:
            self._end()

    def _end(self) -> None:
        waiter = self._waiter
        if waiter is None:
            return
        self._waiter = None
        self._hub.loop._remove_guest(self._loop)
        error, self._error = self._error, None
        if error is None:
            waiter.switch(None)
        else:
            waiter.throw(type(error), error, error.__traceback__)

    def _run(self) -> None:
        me = getcurrent()
        loop = self._loop
        while self._runner is me:
            sys.set_asyncgen_hooks(loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook)
            try:
                loop._guest_turn(self._hub.loop)
            except BaseException as error:
                self._error = error
                if self._runner is not me:  # nobody looks after this turn
                    self._hub.loop.run_callback(self._end)
            finally:
                sys.set_asyncgen_hooks(None, None)
            if self._runner is me:
                _switch(self._hub, _over)
