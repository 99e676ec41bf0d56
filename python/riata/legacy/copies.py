"""Functions of asyncio's that a program has kept before `enable`: stood in front of where they are kept.

By name in a module (`from asyncio import sleep`), as an attribute of a class, as a default value of a function, and in
`functools.partial`. What is anywhere else (a list, an attribute of an instance, a closure) stays today's.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any


def replace(standing: dict[int, Any]) -> None:
    """Put what `standing` has, by the identity of what is kept, in its place wherever a program keeps it."""
    _in_modules(standing)
    for found in gc.get_objects():
        kind = type(found)
        if kind is types.FunctionType:
            if not _is_ours(found.__module__):
                _in_defaults(found, standing)
        elif issubclass(kind, functools.partial):
            _in_partial(found, standing)
        elif issubclass(kind, type):
            names = type.__getattribute__(found, "__dict__")
            if not _is_ours(names.get("__module__")):
                _in_class(found, names, standing)


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.split(".", 1)[0] in ("asyncio", "riata")


def _kept(names: Mapping[str, Any], standing: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    """Which of the names keep what is stood in front of, and what is to be there."""
    for name, value in list(names.items()):
        if id(value) in standing:
            yield name, standing[id(value)]


def _in_modules(standing: dict[int, Any]) -> None:
    for known, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType) and not _is_ours(known):
            names = types.ModuleType.__getattribute__(module, "__dict__")  # `vars` would load one that is lazy
            names.update(_kept(names, standing))


def _in_defaults(function: types.FunctionType, standing: dict[int, Any]) -> None:
    defaults = function.__defaults__
    if defaults and any(id(value) in standing for value in defaults):
        function.__defaults__ = tuple(standing.get(id(value), value) for value in defaults)
    if function.__kwdefaults__:
        function.__kwdefaults__.update(_kept(function.__kwdefaults__, standing))


def _in_partial(partial: functools.partial[Any], standing: dict[int, Any]) -> None:
    kept = (partial.func, *partial.args, *partial.keywords.values())
    if any(id(value) in standing for value in kept):
        args = tuple(standing.get(id(value), value) for value in partial.args)
        keywords = {**partial.keywords, **dict(_kept(partial.keywords, standing))}
        func = standing.get(id(partial.func), partial.func)
        setstate: Any = functools.partial.__setstate__  # type: ignore[attr-defined]
        setstate(partial, (func, args, keywords, vars(partial)))


def _in_class(cls: type, names: Mapping[str, Any], standing: dict[int, Any]) -> None:
    for name, value in list(names.items()):
        if id(value) in standing:
            new = standing[id(value)]
            # What was no method of its own accord (a builtin) must not become one.
            type.__setattr__(cls, name, new if hasattr(type(value), "__get__") else staticmethod(new))
        elif type(value) is staticmethod and id(value.__func__) in standing:
            type.__setattr__(cls, name, staticmethod(standing[id(value.__func__)]))
