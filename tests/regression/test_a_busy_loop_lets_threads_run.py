"""A loop that was never idle kept the GIL at its polls: each time an executor's job wanted it, the job waited for the
interpreter's switch interval, thousands of turns of the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

HAND_OVERS = 50
# At least: 5 ms without a hand-over are some ten thousand turns. At most: the thread has to be awake when the loop lets
# go, which it does every few turns.
TURNS_EACH = 2000


def test_a_job_gets_the_gil_at_polls(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    def job() -> None:
        for _ in range(HAND_OVERS):
            time.sleep(0)  # gives the GIL away, and wants it back at once

    async def main() -> int:
        done = asyncio.ensure_future(asyncio.to_thread(job))
        turns = 0
        while not done.done():
            turns += 1
            await asyncio.sleep(0)
        await done
        return turns

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) < HAND_OVERS * TURNS_EACH
