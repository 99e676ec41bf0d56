"""asyncio sees native tasks: `asyncio.all_tasks()` reads sets of its own, which are taught to look here too.

Registering each task in those sets would cost as much as everything else that making a task takes. Native tasks are
kept in a list instead, and the set that asyncio reads yields what is in that list as well: its class is replaced by a
subclass of WeakSet with an `__iter__` of its own.
"""

from __future__ import annotations

import asyncio.futures
import asyncio.taskgroups
import asyncio.tasks
import asyncio.timeouts
import sys
import weakref
from collections.abc import Iterator
from typing import Any

from riata._native import (
    TaskGroup,
    Timeout,
    _future_add_to_awaited_by,
    _future_discard_from_awaited_by,
    _live_tasks,
)


class TaskSet(weakref.WeakSet[Any]):
    """A WeakSet of foreign tasks that also yields the native ones."""

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        yield from _live_tasks()

    def __len__(self) -> int:
        # Python's own copies of the set ask for the length only to reserve room.
        return super().__len__()


class _Probe:
    """Stands in for a task, to find the set that 3.14 and later keep hidden in C."""


def hidden_sets() -> list[weakref.WeakSet[Any]]:
    """The weak sets that `asyncio.all_tasks` of this Python reads, as far as native tasks belong in them."""
    tasks: Any = asyncio.tasks
    if sys.version_info < (3, 12):
        return [tasks._all_tasks]
    elif sys.version_info < (3, 14):  # noqa: RET505 (what follows a return is unreachable code to mypy)
        return [tasks._scheduled_tasks]
    else:
        probe = _Probe()
        tasks._register_task(probe)
        try:
            reference: Any = weakref.getweakrefs(probe)[0]
            # WeakSet's removal callback holds a weak reference to its set as its default argument.
            found = reference.__callback__.__defaults__[0]()
        finally:
            tasks._unregister_task(probe)
        if not isinstance(found, weakref.WeakSet):
            raise ImportError("riata does not know where this Python's asyncio keeps its tasks")
        return [found]


def _note_awaited_by() -> None:
    """Have asyncio tell native futures who awaits them: its own functions for that pass over futures not its own."""
    if sys.version_info >= (3, 14):
        asyncio.futures.future_add_to_awaited_by = _future_add_to_awaited_by
        asyncio.futures.future_discard_from_awaited_by = _future_discard_from_awaited_by
        asyncio.future_add_to_awaited_by = _future_add_to_awaited_by
        asyncio.future_discard_from_awaited_by = _future_discard_from_awaited_by


def install() -> None:
    """Make asyncio see native tasks and futures. Doing it twice changes nothing."""
    for tasks in hidden_sets():
        if type(tasks) is weakref.WeakSet:
            tasks.__class__ = TaskSet
    _note_awaited_by()
    for native, original in TWINS:
        native.register(original)


# Native classes (abstract base classes, see `slots.rs`) and asyncio's: instances of asyncio's are the native one's too.
# The other way round an instance's `__class__` tells.
TWINS: list[tuple[Any, type]] = [
    (TaskGroup, asyncio.taskgroups.TaskGroup),
    (Timeout, asyncio.timeouts.Timeout),
]


class _Face(type):
    """A class that is asked about another one: everything but its place among asyncio's classes is the other's."""

    def __getattribute__(cls, name: str) -> Any:
        return getattr(_faced(cls), name)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        return _faced(cls)(*args, **options)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is _faced(cls)

    def __hash__(cls) -> int:
        return hash(_faced(cls))

    def __repr__(cls) -> str:
        return repr(_faced(cls))


def _faced(face: type) -> type:
    faced: type = type.__getattribute__(face, "_faced")
    return faced


def face(cls: type, asyncio_class: type) -> Any:
    """What instances of `cls`, a Python subclass of `riata.Task` or `riata.Future`, show as their `__class__`.

    `isinstance(instance, asyncio.Task)` looks at `instance.__class__` and asks whether that derives from asyncio's. The
    subclass itself does not, so instances show a face that does and that answers everything else as `cls` would.
    """
    found = cls.__dict__.get("_asyncio_face")
    if found is None:
        found = type.__new__(_Face, cls.__name__, (asyncio_class,), {"_faced": cls})
        type.__setattr__(cls, "_asyncio_face", found)
    return found
