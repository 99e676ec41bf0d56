"""Has gevent choose riata's loop, when and if the program imports gevent."""

from __future__ import annotations

from types import ModuleType

from riata._when_imported import when_imported


def choose_when_imported() -> None:
    """Make riata's loop gevent's default.

    What GEVENT_LOOP and `gevent.config.loop` say still holds.
    """
    when_imported("gevent._config", _choose)


def _choose(config: ModuleType) -> None:
    config.Loop.default = ["riata.gevent.Loop"]
    # A pool makes its locks before the program's first hub, and so before the loop is looked for.
    for name in ("multiprocessing.connection", "multiprocessing.synchronize"):
        when_imported(name, _cooperate)


def _cooperate(module: ModuleType) -> None:
    from riata.gevent import _processes

    _processes.cooperate_in(module)
