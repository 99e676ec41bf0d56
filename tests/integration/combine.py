"""asyncio's building blocks and riata's, for tests that run on both."""

import asyncio
import importlib
from typing import Any

MODULES = ["asyncio", "riata"]


def module(name: str) -> Any:
    """The module called `name`: what its `sleep` is, and so on, is what is tested."""
    return importlib.import_module(name)


async def never() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
