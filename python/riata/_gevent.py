"""Has gevent choose riata's loop, when and if the program imports gevent."""

from __future__ import annotations

import os
from functools import partial, wraps
from types import ModuleType
from typing import Any

from riata._when_imported import when_imported


def choose_when_imported() -> None:
    """Make riata's loop gevent's default, in the server that `multiprocessing` forks workers from as well.

    What GEVENT_LOOP and `gevent.config.loop` say still holds.
    """
    when_imported("gevent._config", _choose)


def _choose(config: ModuleType) -> None:
    chosen = "riata.gevent.Loop"
    # Where an interpreter has no riata, gevent takes the next that is named.
    loops = ",".join([chosen, *config.Loop.default])
    config.Loop.default = [chosen]
    # A pool makes its locks before the program's first hub, and so before the loop is looked for.
    for name in ("multiprocessing.connection", "multiprocessing.synchronize"):
        when_imported(name, _cooperate)
    when_imported("multiprocessing.forkserver", partial(_lead_server, loops))


def _lead_server(loops: str, forkserver: ModuleType) -> None:
    """Have the server begin with GEVENT_LOOP set.

    It imports the program, and with it gevent's patches, but not riata; on another loop its patched sockets would not
    wait for the program's answer (from Python 3.14 on they exchange keys).
    """
    ensure_running = forkserver.ForkServer.ensure_running

    @wraps(ensure_running)
    def with_loop(self: Any) -> None:
        if "GEVENT_LOOP" in os.environ:
            ensure_running(self)
            return
        os.environ["GEVENT_LOOP"] = loops
        try:
            ensure_running(self)
        finally:
            del os.environ["GEVENT_LOOP"]

    forkserver.ForkServer.ensure_running = with_loop


def _cooperate(module: ModuleType) -> None:
    from riata.gevent import _processes

    _processes.cooperate_in(module)
