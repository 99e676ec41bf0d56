"""Blocking calls in coroutines that suspend their task and nothing else: `riata.unblock`, `riata run --unblock`.

gevent does it: its patches make `time.sleep`, sockets, `subprocess`, `select` and locks wait in the hub, whose guest
the event loop is. Threads that the program starts become greenlets; `asyncio.to_thread` and the event loop's default
executor keep real ones. Files and `sqlite3`, which cannot wait in a hub, wait in threads.
"""

from __future__ import annotations

import sys
import threading
import warnings
from types import TracebackType
from typing import Any, Self


def unblock() -> Unblocked:
    """Have blocking calls of the standard library suspend the task that makes them, and nothing else.

    From now on, or as long as `with riata.unblock():` lasts. To be called before an event loop runs. Names that a
    program has imported from the modules concerned before (`from time import sleep`) stay as they are.

    Raises:
        ImportError: gevent is not installed: `pip install 'riata[gevent]'`.
        RuntimeError: gevent runs already, on another loop; or an event loop runs.
    """
    import asyncio

    if asyncio._get_running_loop() is not None:
        raise RuntimeError("riata.unblock() must be called before the event loop runs")
    try:
        import gevent.monkey  # noqa: F401
    except ImportError as error:
        raise ImportError("riata.unblock() needs gevent: pip install 'riata[gevent]'") from error
    return Unblocked()


class Unblocked:
    """What `unblock` has done, and how it is undone: `undo()`, or the end of a `with` block."""

    def __init__(self) -> None:
        from gevent import monkey

        from riata.gevent import _children, _files, _guests, _install, _sqlite

        _install.install()
        # Real threads, by their identities: gevent knows them, and itself, by greenlets'.
        self._threads: dict[int, threading.Thread] = dict(vars(threading)["_active"])
        before = {name: set(items) for name, items in monkey.saved.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
            monkey.patch_all()
        self._patched: list[tuple[str, str, Any]] = [
            (module, name, original)
            for module, items in monkey.saved.items()
            for name, original in items.items()
            if name not in before.get(module, ())
        ]
        self._wrapped = [*_files.open_in_threads(), *_sqlite.connect_in_threads(), *_children.begin_in_c()]
        _guests.make_hubs(True)

    def undo(self) -> None:
        """Put back what was there before. To be called when no event loop runs and no greenlet is left."""
        from gevent import monkey

        from riata.gevent import _files, _guests

        patched, self._patched = self._patched, []
        if not patched:
            return
        _guests.make_hubs(False)
        for owner, attribute, original in self._wrapped:
            if original is _files.MISSING:
                delattr(owner, attribute)
            else:
                setattr(owner, attribute, original)
        for name, attribute, original in patched:
            module = sys.modules.get(name)  # gevent keeps notes of its own there, too
            # Threads' `_shutdown` ends what gevent has begun, and then is gone.
            if module is not None and (name, attribute) != ("threading", "_shutdown"):
                setattr(module, attribute, original)
            saved = monkey.saved.get(name, {})
            saved.pop(attribute, None)
            if not saved:
                monkey.saved.pop(name, None)
        active: dict[int, threading.Thread] = vars(threading)["_active"]
        active.clear()
        main = threading.main_thread()
        active.update({ident: one for ident, one in self._threads.items() if one is main or one.is_alive()})
        for ident, thread in active.items():
            vars(thread)["_ident"] = ident

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()
