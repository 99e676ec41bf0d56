"""The loops that are compared, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop factory called `name`: asyncio, uvloop or riata."""
    if name == "asyncio":
        return asyncio.new_event_loop
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    import riata

    return riata.new_event_loop


NAMES = ("asyncio", "uvloop", "riata")
