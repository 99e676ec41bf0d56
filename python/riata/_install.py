"""Making the program's asyncio riata's, and putting everything back.

`PRIMITIVES` is the one list of what is replaced. A name is looked up in the module of asyncio that defines it; wherever
asyncio, or a submodule of it, has that same object under any name, riata's stands instead. Names that a program copied
before keep asyncio's: both kinds work with each other.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import riata
from riata import _native
from riata._interop import face
from riata._loop import new_event_loop

PRIMITIVES: list[tuple[str, str]] = [
    ("asyncio.futures", "wrap_future"),
    ("asyncio.locks", "Barrier"),
    ("asyncio.locks", "BoundedSemaphore"),
    ("asyncio.locks", "Condition"),
    ("asyncio.locks", "Event"),
    ("asyncio.locks", "Lock"),
    ("asyncio.locks", "Semaphore"),
    ("asyncio.queues", "LifoQueue"),
    ("asyncio.queues", "PriorityQueue"),
    ("asyncio.queues", "Queue"),
    ("asyncio.queues", "QueueShutDown"),
    ("asyncio.taskgroups", "TaskGroup"),
    ("asyncio.tasks", "as_completed"),
    ("asyncio.streams", "StreamReader"),
    ("asyncio.streams", "StreamReaderProtocol"),
    ("asyncio.streams", "StreamWriter"),
    ("asyncio.streams", "open_connection"),
    ("asyncio.streams", "open_unix_connection"),
    ("asyncio.streams", "start_server"),
    ("asyncio.streams", "start_unix_server"),
    ("asyncio.tasks", "ensure_future"),
    ("asyncio.tasks", "gather"),
    ("asyncio.tasks", "run_coroutine_threadsafe"),
    ("asyncio.tasks", "shield"),
    ("asyncio.tasks", "sleep"),
    ("asyncio.tasks", "wait"),
    ("asyncio.tasks", "wait_for"),
    ("asyncio.timeouts", "Timeout"),
    ("asyncio.timeouts", "timeout"),
    ("asyncio.timeouts", "timeout_at"),
]
"""What `install` replaces: the module of asyncio that defines it, and its name there and in riata."""

# What stood where: module, name and object, in the order in which they were replaced.
_replaced: list[tuple[ModuleType, str, Any]] = []
# The policy that was there before, in a tuple; None when riata's is not installed.
_policy_before: tuple[Any] | None = None
_ABSENT = object()


def install(*, primitives: bool = True) -> None:
    """Make riata's loop the one that asyncio makes, and asyncio's building blocks riata's.

    Loops that exist already stay what they are, and so does what a program imported from asyncio by name before.
    Doing it twice changes nothing.

    Args:
        primitives: whether `asyncio.sleep`, `asyncio.gather` and the like become riata's too; False for the loop alone.
    """
    with _beneath_legacy():
        _install_loop()
        if primitives and not _replaced:
            for module, name in PRIMITIVES:
                _replace(sys.modules[module], name, getattr(riata, name))


def uninstall() -> None:
    """Put back what `install` replaced. Loops that were made meanwhile stay riata's."""
    with _beneath_legacy():
        while _replaced:
            module, name, original = _replaced.pop()
            if original is _ABSENT:
                delattr(module, name)
            else:
                setattr(module, name, original)
                if isinstance(original, type):
                    _native._put_into_class(original, "__class__", None)
        _uninstall_loop()


@contextmanager
def _beneath_legacy() -> Iterator[None]:
    """Have what `riata.legacy` puts in front of asyncio's functions out of the way meanwhile."""
    legacy = sys.modules.get("riata.legacy")
    if legacy is None:
        yield
        return
    legacy._take_off()
    try:
        yield
    finally:
        legacy._put_on()


def _asyncio_modules() -> list[ModuleType]:
    found = [module for name, module in sys.modules.items() if name == "asyncio" or name.startswith("asyncio.")]
    return [module for module in found if isinstance(module, ModuleType)]


def _replace(defines: ModuleType, name: str, replacement: Any) -> None:
    original = vars(defines).get(name, _ABSENT)
    if original is _ABSENT:  # this Python's asyncio has not got it yet
        for module in (defines, asyncio):
            _replaced.append((module, name, _ABSENT))
            setattr(module, name, replacement)
        return
    if isinstance(original, type) and isinstance(replacement, type):
        _native._put_into_class(original, "__class__", _shown(original, replacement))
    for module in _asyncio_modules():
        for known_as in [key for key, value in vars(module).items() if value is original]:
            _replaced.append((module, known_as, original))
            setattr(module, known_as, replacement)


def _shown(original: type, replacement: type) -> property:
    """What objects of asyncio's own class show as their class: one that `isinstance` takes for riata's.

    So code that is given a lock made before, and asks whether it is an `asyncio.Lock`, is told that it is.
    """

    def shown(self: Any) -> Any:
        cls = type(self)
        if cls is original:
            return replacement
        return cls if issubclass(cls, replacement) else face(cls, replacement)

    return property(shown)


def _install_loop() -> None:
    global _policy_before
    if _policy_before is not None:
        return
    events: Any = asyncio.events
    if sys.version_info < (3, 14):
        from riata._policy import EventLoopPolicy

        _policy_before = (events._event_loop_policy,)
        asyncio.set_event_loop_policy(EventLoopPolicy())
    elif hasattr(events, "_set_event_loop_policy"):
        from riata._policy import EventLoopPolicy

        # The public name warns of its removal in 3.16.
        _policy_before = (events._event_loop_policy,)
        events._set_event_loop_policy(EventLoopPolicy())
    else:
        _policy_before = (events.new_event_loop,)
        events.new_event_loop = asyncio.new_event_loop = new_event_loop


def _uninstall_loop() -> None:
    global _policy_before
    if _policy_before is None:
        return
    (before,), _policy_before = _policy_before, None
    events: Any = asyncio.events
    if hasattr(events, "_event_loop_policy"):
        if isinstance(events._event_loop_policy, riata.EventLoopPolicy):  # else the program has set its own since
            events._event_loop_policy = before
    elif events.new_event_loop is new_event_loop:
        events.new_event_loop = asyncio.new_event_loop = before
