"""`loop=` of asyncio's functions, locks and queues (to Python 3.9), and coroutines given to `wait` (to 3.10).

The functions stand in front of what asyncio has, native or not, and hand over to it: a call without `loop=` costs one
Python function more.
"""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import functools
import inspect
import sys
import types
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any

from riata.legacy import copies
from riata.legacy.warning import deprecated

_FUNCTIONS: dict[str, str] = {
    "as_completed": "asyncio.tasks",
    "create_subprocess_exec": "asyncio.subprocess",
    "create_subprocess_shell": "asyncio.subprocess",
    "gather": "asyncio.tasks",
    "open_connection": "asyncio.streams",
    "open_unix_connection": "asyncio.streams",
    "shield": "asyncio.tasks",
    "sleep": "asyncio.tasks",
    "start_server": "asyncio.streams",
    "start_unix_server": "asyncio.streams",
    "wait": "asyncio.tasks",
    "wait_for": "asyncio.tasks",
}
_CLASSES = ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Queue", "PriorityQueue", "LifoQueue"]

# What stood where in asyncio: module, name and object.
_covered: list[tuple[Any, str, Any]] = []


def _pop_loop(name: str, options: dict[str, Any]) -> asyncio.AbstractEventLoop | None:
    """Take `loop` out of the named arguments, where it is one of them."""
    if "loop" not in options:
        return None
    deprecated(
        f"the loop argument of asyncio.{name} is gone since Python 3.10",
        "leave it out; what runs on a loop belongs to that loop",
    )
    loop: asyncio.AbstractEventLoop | None = options.pop("loop")
    return loop


async def _on(loop: asyncio.AbstractEventLoop, name: str, coroutine: Callable[[], Awaitable[Any]]) -> Any:
    """Await what `coroutine` makes, on `loop` and no other."""
    if loop is not asyncio.get_running_loop():
        raise RuntimeError(f"asyncio.{name} was given another loop than the one that it runs on")
    return await coroutine()


def _coroutine_function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        loop = _pop_loop(name, options)
        if loop is None:
            return original(*args, **options)
        return _on(loop, name, functools.partial(original, *args, **options))

    return call


def _is_one(fs: Any) -> bool:
    """Whether somebody gave an awaitable where many belong; a generator that is not decorated counts as many."""
    if isinstance(fs, types.GeneratorType):
        return inspect.isawaitable(fs)
    return asyncio.isfuture(fs) or asyncio.iscoroutine(fs)


async def _wait(futures: list[Any], loop: Any, original: Callable[..., Any], options: dict[str, Any]) -> Any:
    # asyncio promised no order here (a set's), but programs show the one that they saw: mostly the last came first.
    once = list(dict.fromkeys(futures))
    tasks = [asyncio.ensure_future(future, loop=loop) for future in reversed(once)]
    return await original(tasks, **options)


def _wait_function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(fs: Any, **options: Any) -> Any:
        loop = _pop_loop(name, options)
        if _is_one(fs) or not isinstance(fs, Iterable):
            return original(fs, **options)  # refuses it
        futures = list(fs)
        if not all(map(asyncio.isfuture, futures)):
            deprecated(
                "asyncio.wait takes no coroutines any more, since Python 3.11",
                "give it tasks, made with asyncio.create_task",
            )
        elif loop is None:
            return original(futures, **options)
        return _wait(futures, loop, original, options)

    return call


def _gather_function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*coros_or_futures: Any, **options: Any) -> Any:
        loop = _pop_loop(name, options)
        if loop is None:
            return original(*coros_or_futures, **options)
        if not coros_or_futures:
            outer = loop.create_future()
            outer.set_result([])
            return outer
        # One that is given twice is waited for once.
        futures = {one: asyncio.ensure_future(one, loop=loop) for one in dict.fromkeys(coros_or_futures)}
        return original(*(futures[one] for one in coros_or_futures), **options)

    return call


def _shield_function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(arg: Any, **options: Any) -> Any:
        loop = _pop_loop(name, options)
        return original(arg if loop is None else asyncio.ensure_future(arg, loop=loop), **options)

    return call


def _as_completed_function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(fs: Any, **options: Any) -> Any:
        loop = _pop_loop(name, options)
        if _is_one(fs) or not isinstance(fs, Iterable):
            return original(fs, **options)  # refuses it
        if loop is not None:
            fs = [asyncio.ensure_future(one, loop=loop) for one in dict.fromkeys(fs)]
        return original(list(fs) if isinstance(fs, types.GeneratorType) else fs, **options)

    return call


@types.coroutine
def _driven(generator: types.GeneratorType[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """What `await` takes, of a generator that it does not."""
    return (yield from generator)


def _wait_for_function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    function = _coroutine_function(name, original)

    def call(fut: Any, *args: Any, **options: Any) -> Any:
        is_generator = isinstance(fut, types.GeneratorType)
        if is_generator and not inspect.isawaitable(fut):
            fut = _driven(fut)  # from 3.12 on asyncio awaits it, and makes no task of it
        return function(fut, *args, **options)

    return call


_MAKERS = {
    "as_completed": _as_completed_function,
    "gather": _gather_function,
    "shield": _shield_function,
    "wait": _wait_function,
    "wait_for": _wait_for_function,
}


def _mark(function: Any) -> None:
    """Make `function` count as a coroutine function, without being one: its warning is the caller's."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]


def _in_front_of(name: str, original: Any) -> Any:
    """What takes all that `original`, which is `asyncio.<name>`, took once, and hands over to it."""
    function = functools.wraps(original)(_MAKERS.get(name, _coroutine_function)(name, original))
    if inspect.iscoroutinefunction(original):
        _mark(function)
    return function


def accept_in_functions() -> None:
    """Stand in front of asyncio's functions, wherever it has them."""
    for name, defines in _FUNCTIONS.items():
        original = getattr(sys.modules[defines], name)
        function = _in_front_of(name, original)
        for module in [found for known, found in sys.modules.items() if known.split(".", 1)[0] == "asyncio"]:
            for known_as in [key for key, value in vars(module).items() if value is original]:
                _covered.append((module, known_as, original))
                setattr(module, known_as, function)


def accept_in_copies() -> None:
    """Stand in front of the functions that the program has kept: see `copies`.

    Once, and for good: `riata.install` leaves such names what they are, and so does the way back.
    """
    from riata._install import _replaced

    standing = {id(original): getattr(module, name) for module, name, original in _covered}
    for _, name, original in _replaced:
        if name in _FUNCTIONS and id(original) not in standing:
            standing[id(original)] = _in_front_of(name, original)
    copies.replace(standing)


def uncover_functions() -> None:
    """Put asyncio's functions back."""
    while _covered:
        module, name, original = _covered.pop()
        setattr(module, name, original)


def _accept(cls: Any, name: str) -> None:
    initialize = cls.__init__

    def __init__(self: Any, *args: Any, **options: Any) -> None:
        loop = _pop_loop(name, options)
        initialize(self, *args, **options)
        if loop is not None:
            self._loop = loop

    cls.__init__ = functools.wraps(initialize)(__init__)
    cls.__init__._accepts_loop = True


def accept_in_classes() -> None:
    """Change the classes of locks and queues in place: riata's, and asyncio's, from which they derive."""
    import riata

    for name in _CLASSES:
        for cls in getattr(riata, name).__mro__:
            changed = hasattr(cls.__init__, "_accepts_loop")  # a base class's, which it inherits
            if cls.__name__ == name and cls.__module__ != "riata._native" and not changed:
                _accept(cls, name)
