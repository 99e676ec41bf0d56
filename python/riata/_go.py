"""`go`: something else runs from here on, as simply as Go's statement says it."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

P = ParamSpec("P")
T = TypeVar("T")

# Loops know their tasks only weakly; these are held until they are done.
_running: set[asyncio.Task[Any]] = set()


@overload
def go(fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Task[T]: ...
@overload
def go(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Task[T]: ...
def go(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
    """Start `fn(*args, **kwargs)` and go on; return the task, which may be awaited, cancelled or forgotten.

    A coroutine function runs as a task. A plain function runs on a thread of the loop's default executor, in a copy of
    the current context, and begins at once; a coroutine that it returns is then run on the loop. Cancelling the task
    does not stop a function that runs on a thread.

    The task is held until it is done, so nobody else has to. An exception that nobody retrieves goes to the loop's
    exception handler.

    Raises:
        RuntimeError: no loop runs in this thread.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(begin(loop, fn, *args, **kwargs))
    if not task.done():
        for abandoned in [held for held in _running if held.get_loop().is_closed()]:
            _running.discard(abandoned)
        _running.add(task)
        task.add_done_callback(_running.discard)
    return task


def is_coroutine_function(fn: Callable[..., Any]) -> bool:
    """Whether calling `fn` makes a coroutine: an `async def`, bound, partially applied or as `__call__`."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def begin(
    loop: asyncio.AbstractEventLoop, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Coroutine[Any, Any, Any]:
    """The coroutine of `fn`, or one that waits for `fn` on a thread, where it begins now.

    Raises:
        TypeError: a coroutine function does not take these arguments.
    """
    if is_coroutine_function(fn):
        coroutine: Coroutine[Any, Any, Any] = fn(*args, **kwargs)
        return coroutine
    call = functools.partial(contextvars.copy_context().run, fn, *args, **kwargs)
    return _finish(loop.run_in_executor(None, call))


async def _finish(begun: asyncio.Future[Any]) -> Any:
    result = await begun
    return await result if asyncio.iscoroutine(result) else result
