"""Puts riata where asyncio's loop was, in every interpreter of a run, those that tests start among them.

The runner puts this folder at the head of PYTHONPATH. `ECOSYSTEM_LOOP` says which loop the run is for; on asyncio
nothing is replaced. Not `riata run`, which leaves the children of a program on asyncio.
"""

import asyncio
import asyncio.unix_events
import os


def _replace() -> None:
    import riata

    riata.install()
    # Names by which libraries ask for asyncio's loop without going through the policy. What stands there is called
    # what it stands for, since some tests ask for names and put them into their ids.
    original = asyncio.SelectorEventLoop
    stand_in = type(original.__name__, (riata.Loop,), {"__module__": original.__module__})
    for module in (asyncio, asyncio.unix_events):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, stand_in)
    # So that the loop of the policy is one of what stands there, as with asyncio.
    riata.EventLoopPolicy._loop_factory = stand_in
    # What asyncio starts with, and starts again with after `set_event_loop_policy(None)`; the last from Python 3.14 on.
    for module, name in (
        (asyncio, "DefaultEventLoopPolicy"),
        (asyncio.unix_events, "DefaultEventLoopPolicy"),
        (asyncio.unix_events, "_DefaultEventLoopPolicy"),
    ):
        if name in vars(module):
            setattr(module, name, riata.EventLoopPolicy)


if os.environ["ECOSYSTEM_LOOP"] == "riata":
    _replace()
