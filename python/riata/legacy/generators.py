"""Coroutines made of generators: `@asyncio.coroutine` and `yield from` (to Python 3.10)."""

from __future__ import annotations

import asyncio
import asyncio.coroutines
import collections.abc
import functools
import inspect
import types
from collections.abc import Callable, Generator
from typing import Any

from riata.legacy.warning import deprecated

_coroutines: Any = asyncio.coroutines


def coroutine(func: Callable[..., Any]) -> Callable[..., Any]:
    """`@asyncio.coroutine`: a coroutine function made of a generator function, or of any function at all."""
    deprecated("@asyncio.coroutine is gone since Python 3.11", "write async def, and await for yield from")
    if inspect.iscoroutinefunction(func):
        return func
    if inspect.isgeneratorfunction(func):
        generator = func
    else:

        @functools.wraps(func)
        def generator(*args: Any, **options: Any) -> Generator[Any, Any, Any]:
            result = func(*args, **options)
            if asyncio.isfuture(result) or inspect.isgenerator(result):
                result = yield from result
            elif isinstance(result, collections.abc.Awaitable):
                result = yield from result.__await__()
            return result

    made: Any = types.coroutine(generator)
    made._is_coroutine = _coroutines._is_coroutine
    return made  # type: ignore[no-any-return]


def restore() -> None:
    """Put the decorator into asyncio, and have generators count as coroutines there."""
    module: Any = asyncio
    if not hasattr(_coroutines, "_is_coroutine"):
        _coroutines._is_coroutine = object()
    if not hasattr(module, "coroutine"):
        module.coroutine = _coroutines.coroutine = coroutine
    if types.GeneratorType not in _coroutines._COROUTINE_TYPES:
        _coroutines._COROUTINE_TYPES = (*_coroutines._COROUTINE_TYPES, types.GeneratorType)
    if not hasattr(module, "iscoroutinefunction"):
        module.iscoroutinefunction = _coroutines.iscoroutinefunction = iscoroutinefunction


def iscoroutinefunction(func: object) -> bool:
    """`asyncio.iscoroutinefunction` (to Python 3.15)."""
    deprecated("asyncio.iscoroutinefunction is gone since Python 3.16", "use inspect.iscoroutinefunction")
    marked: bool = getattr(func, "_is_coroutine", None) is _coroutines._is_coroutine
    return inspect.iscoroutinefunction(func) or marked
