"""Has gevent choose riata's loop, when and if the program imports gevent."""

from __future__ import annotations

import os
from types import ModuleType

from riata._when_imported import when_imported


def choose_when_imported() -> None:
    """Make riata's loop gevent's default, in the processes that the program starts as well.

    What GEVENT_LOOP and `gevent.config.loop` say still holds. Where GEVENT_LOOP says nothing it is set: the server that
    `multiprocessing` forks workers from imports the program, and with it gevent's patches, but not riata. Where a child
    has no riata, gevent takes the next that is named.
    """
    when_imported("gevent._config", _choose)


def _choose(config: ModuleType) -> None:
    chosen = "riata.gevent.Loop"
    os.environ.setdefault("GEVENT_LOOP", ",".join([chosen, *config.Loop.default]))
    config.Loop.default = [chosen]
    # A pool makes its locks before the program's first hub, and so before the loop is looked for.
    for name in ("multiprocessing.connection", "multiprocessing.synchronize"):
        when_imported(name, _cooperate)


def _cooperate(module: ModuleType) -> None:
    from riata.gevent import _processes

    _processes.cooperate_in(module)
