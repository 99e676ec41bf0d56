"""A default executor of any kind (to Python 3.10, with a warning since 3.8)."""

from __future__ import annotations

import asyncio.base_events
import concurrent.futures
import functools
from typing import Any

from riata.legacy.warning import deprecated


def restore() -> None:
    """Have `loop.set_default_executor` take what it took, a `ProcessPoolExecutor` above all."""
    base: Any = asyncio.base_events.BaseEventLoop
    today = base.set_default_executor

    @functools.wraps(today)
    def set_default_executor(self: Any, executor: Any) -> None:
        if isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            today(self, executor)
            return
        deprecated(
            "a default executor other than a ThreadPoolExecutor is refused since Python 3.11",
            "give it to loop.run_in_executor, as its first argument",
        )
        self._default_executor = executor

    base.set_default_executor = set_default_executor
