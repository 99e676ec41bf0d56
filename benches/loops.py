"""The loops that are compared, by name."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable

OURS = ("riata", "installed")
"""riata's loop alone, and with its building blocks in the place of asyncio's."""

OTHERS = ("asyncio", "uvloop", "rloop", "zuvloop")
NAMES = (*OTHERS, *OURS)

RIVALS = ("uvloop", "zuvloop")
"""Those to which the pages compare riata in columns of their own."""


def available() -> list[str]:
    """The names of those that this Python has."""
    return [name for name in NAMES if name in ("asyncio", "installed") or importlib.util.find_spec(name)]


def version(name: str) -> str:
    """The version of the loop called `name`; asyncio's is Python's."""
    return "" if name in ("asyncio", "installed") else importlib.metadata.version(name)


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop factory called `name`. For `installed`, asyncio's building blocks are riata's from here on."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    if name in ("uvloop", "rloop", "zuvloop"):
        module = importlib.import_module(name)
        make: Callable[[], asyncio.AbstractEventLoop] = module.new_event_loop
        return make
    import riata

    if name == "installed":
        riata.install()
    return riata.new_event_loop
