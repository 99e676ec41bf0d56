"""`sqlite3` where coroutines are unblocked: what asks the database waits in a thread.

`sqlite3.connect` gives a connection of a class derived from the one asked for, whose cursors are of derived classes as
well. Calls of one connection are made one after the other. A cursor that is iterated makes its steps at once: most are
short.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from gevent import monkey
from gevent.lock import RLock

from riata.gevent._files import in_thread, waiting_hub

_ident: Callable[[], int] = monkey.get_original("threading", "get_ident")

# Where `connect` takes them, when they are not given by name.
_CHECK, _FACTORY = 4, 5


class _Line:
    """The calls of one connection, one after the other; and who may make them."""

    def __init__(self, only: int | None) -> None:
        self._only = only
        self._worker: int | None = None
        self._turn = RLock()

    def _check(self, error: type[Exception]) -> None:
        here = _ident()
        if self._only not in (None, here) and here != self._worker:
            raise error(
                "SQLite objects created in a thread can only be used in that same thread. "
                f"The object was created in thread id {self._only} and this is thread id {here}."
            )

    def _work(self, call: Callable[..., Any], arguments: Any, options: Any) -> Any:
        self._worker = _ident()
        try:
            return call(*arguments, **options)
        finally:
            self._worker = None

    def call(self, error: type[Exception], call: Callable[..., Any], arguments: Any, options: Any, here: bool) -> Any:
        """Make a call: in the calling thread if `here`, or if this greenlet cannot wait."""
        self._check(error)
        hub = waiting_hub()
        if hub is None:  # the thread that makes such a call, or one without a hub
            return call(*arguments, **options)
        with self._turn:
            if here:
                return call(*arguments, **options)
            return in_thread(hub, self._work, call, arguments, options)


_IN_THREADS = {
    "Connection": ("execute", "executemany", "executescript", "commit", "rollback", "backup", "close", "__exit__"),
    "Cursor": ("execute", "executemany", "executescript", "fetchmany", "fetchall"),
}
_IN_TURN = {"Connection": (), "Cursor": ("fetchone", "__next__")}


@cache
def _derived(base: type[Any], kind: str) -> type[Any]:
    """A class derived from `base`, a Connection or a Cursor, with calls that wait in threads."""
    import sqlite3

    members: dict[str, Any] = {"__module__": base.__module__, "__doc__": base.__doc__}

    def add(name: str, here: bool) -> None:
        original = getattr(base, name)

        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            connection = self if kind == "Connection" else self.connection
            line = connection._riata_line
            return line.call(sqlite3.ProgrammingError, original, (self, *arguments), options, here)

        method.__name__, method.__doc__ = name, original.__doc__
        members[name] = method

    for name in _IN_THREADS[kind]:
        add(name, here=False)
    for name in _IN_TURN[kind]:
        add(name, here=True)
    if kind == "Connection":

        def cursor(self: Any, factory: Any = sqlite3.Cursor) -> Any:
            if isinstance(factory, type) and issubclass(factory, sqlite3.Cursor):
                factory = _derived(factory, "Cursor")
            return base.cursor(self, factory)

        members["cursor"] = cursor
    return type(base.__name__, (base,), members)


def connect_in_threads() -> list[tuple[Any, str, Any]]:
    """Have `sqlite3.connect` give such connections; what was there before, to be put back."""
    try:
        import sqlite3
        import sqlite3.dbapi2
    except ImportError:  # Python was built without it
        return []
    original = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> Any:
        hub = waiting_hub()
        given = list(arguments)

        def take(name: str, place: int, default: Any) -> Any:
            return given[place] if place < len(given) else options.get(name, default)

        def put(name: str, place: int, value: Any) -> None:
            if place < len(given):
                given[place] = value
            else:
                options[name] = value

        factory = take("factory", _FACTORY, sqlite3.Connection)
        if hub is None or not (isinstance(factory, type) and issubclass(factory, sqlite3.Connection)):
            return original(*arguments, **options)
        checked = take("check_same_thread", _CHECK, True)
        line = _Line(_ident() if checked else None)

        class Made(_derived(factory, "Connection")):  # type: ignore[misc]
            _riata_line = line

        Made.__name__, Made.__qualname__, Made.__module__ = factory.__name__, factory.__qualname__, factory.__module__
        put("factory", _FACTORY, Made)
        put("check_same_thread", _CHECK, False)
        return in_thread(hub, partial(original, *given, **options))

    before = [(module, "connect", vars(module)["connect"]) for module in (sqlite3, sqlite3.dbapi2)]
    for module, name, _ in before:
        setattr(module, name, connect)
    return before
