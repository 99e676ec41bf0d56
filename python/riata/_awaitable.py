"""What `riata.ensure_future` makes of an awaitable that is neither coroutine nor future."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def _wrap_awaitable(awaitable: Awaitable[T]) -> T:
    return await awaitable


wrap = _wrap_awaitable
