"""`asyncio.JoinableQueue` (to Python 3.4), which every queue is by now."""

from __future__ import annotations

import asyncio
import asyncio.queues
from typing import Any

import riata
from riata.legacy.warning import deprecated


class JoinableQueue(riata.Queue[Any]):
    """A queue."""

    def __init__(self, *args: Any, **options: Any) -> None:
        deprecated("asyncio.JoinableQueue is gone since Python 3.5", "use asyncio.Queue")
        super().__init__(*args, **options)


def restore() -> None:
    """Put the class into asyncio."""
    for module in (asyncio, asyncio.queues):
        if not hasattr(module, "JoinableQueue"):
            module.JoinableQueue = JoinableQueue  # type: ignore[attr-defined]
