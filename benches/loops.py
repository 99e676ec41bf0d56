"""The loops that are compared, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop factory called `name`: asyncio, uvloop, riata or installed, which is riata with its building blocks."""
    if name == "asyncio":
        return asyncio.new_event_loop
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    import riata

    if name == "installed":
        riata.install()
    return riata.new_event_loop


OURS = ("riata", "installed")
NAMES = ("asyncio", "uvloop", *OURS)
