"""Timers that fire once and in time, or never when cancelled; timeouts that end what takes too long."""

from __future__ import annotations

import asyncio
from random import Random

from ..surroundings import Surroundings


async def timers_keep_time(_: Surroundings, chance: Random) -> None:
    loop = asyncio.get_running_loop()
    fired: list[tuple[int, float]] = []
    handles: dict[int, asyncio.TimerHandle] = {}
    for number in range(chance.randint(1, 50)):
        when = loop.time() + 0.1 * chance.random()
        handles[number] = loop.call_at(when, lambda number=number: fired.append((number, loop.time())))
    cancelled = set()
    try:
        for number, handle in handles.items():
            if chance.random() < 0.5:
                handle.cancel()
                cancelled.add(number)
        await asyncio.sleep(0.11)
    finally:
        for handle in handles.values():
            handle.cancel()
    assert sorted(number for number, _ in fired) == sorted(handles.keys() - cancelled)
    # The loop runs what is due within the clock's resolution.
    assert all(when >= handles[number].when() - 0.001 for number, when in fired), "too early"


async def timeouts_end(_: Surroundings, chance: Random) -> None:
    limit, takes = 0.05 * chance.random(), 0.05 * chance.random()
    done = asyncio.get_running_loop().create_future()
    handle = asyncio.get_running_loop().call_later(takes, lambda: done.cancelled() or done.set_result("done"))
    try:
        if chance.random() < 0.5:
            async with asyncio.timeout(limit):
                assert await done == "done"
        else:
            assert await asyncio.wait_for(done, limit) == "done"
    except TimeoutError:
        assert done.done(), "what was waited for was left alone"  # or came in the turn in which the time was over
    finally:
        handle.cancel()
