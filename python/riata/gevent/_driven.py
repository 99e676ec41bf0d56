"""Greenlets that a coroutine drives, step by step: SQLAlchemy's asyncio half is made of them.

Such a greenlet gives what is to be awaited to its parent, which is the greenlet that ran the coroutine's first step.
The steps of a guest's tasks run in one runner today and in another tomorrow: so the parent is set anew at each step.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from gevent._hub_local import get_hub_if_exists
from greenlet import getcurrent, greenlet

from riata._when_imported import when_imported

# Since SQLAlchemy 2.1, and before.
_PLACES = ("sqlalchemy.util.concurrency", "sqlalchemy.util._concurrency_py3k")


def follow_drivers() -> None:
    """Have SQLAlchemy's greenlets know who drives them, once it is imported."""
    for place in _PLACES:
        when_imported(place, _follow)


def _follow(module: ModuleType) -> None:
    shim = getattr(module, "_concurrency_shim", None)  # makes the class when it is asked for
    driven: Any = getattr(module if shim is None else shim, "_AsyncIoGreenlet", None)
    if not isinstance(driven, type) or "switch" in vars(driven):
        return

    def switch(self: Any, *args: Any, **kwargs: Any) -> Any:
        _adopt(self)
        return greenlet.switch(self, *args, **kwargs)

    def throw(self: Any, *args: Any) -> Any:
        _adopt(self)
        return greenlet.throw(self, *args)

    driven.switch = switch  # type: ignore[attr-defined]
    driven.throw = throw  # type: ignore[attr-defined]


def _adopt(driven: Any) -> None:
    current = getcurrent()
    # A hub does not drive: what has waited in gevent goes on, and its driver waits for it.
    if driven.parent is not current and not driven.dead and current is not get_hub_if_exists():
        driven.parent = current
