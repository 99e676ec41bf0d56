"""Texts of errors that the interpreter has changed since, and that old programs print."""

from __future__ import annotations

import asyncio.base_events
import functools
import re
import sys
from typing import Any

_NOT_AN_ITERATOR = re.compile(r"\S+\.__await__\(\) must return an iterator, not (.+)")


def _reword(error: TypeError) -> None:
    if len(error.args) == 1 and isinstance(error.args[0], str) and (new := _NOT_AN_ITERATOR.fullmatch(error.args[0])):
        error.args = (f"__await__() returned non-iterator of type '{new[1]}'",)


def restore() -> None:
    """Have `run_until_complete`, and `asyncio.run`, say of a wrong `__await__` what they said to 3.14."""
    if sys.version_info >= (3, 15):
        base: Any = asyncio.base_events.BaseEventLoop
        run_until_complete = base.run_until_complete

        @functools.wraps(run_until_complete)
        def reworded(self: Any, future: Any) -> Any:
            try:
                return run_until_complete(self, future)
            except TypeError as error:
                _reword(error)
                raise

        base.run_until_complete = reworded
