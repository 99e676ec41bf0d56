"""The event loop policy, where this Python still has policies (removed in 3.16)."""

from __future__ import annotations

import sys

from riata._loop import Loop

if sys.version_info < (3, 14):
    from asyncio import DefaultEventLoopPolicy as _Default
else:
    # asyncio.DefaultEventLoopPolicy warns of its removal; this name is what it stands for.
    from asyncio.unix_events import _DefaultEventLoopPolicy as _Default


class EventLoopPolicy(_Default):
    """asyncio's default policy with riata's loop: `asyncio.set_event_loop_policy(riata.EventLoopPolicy())`."""

    _loop_factory = Loop
