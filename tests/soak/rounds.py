"""A round: jobs drawn at random, many at once, some cancelled; then quiet, and a look at what is still held."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

from .jobs import WEIGHTS
from .ledger import Ledger
from .resources import Held, held
from .surroundings import Surroundings

CANCELLED_SHARE = 0.15
"""How many of the jobs are cancelled, at a random time."""

JOB_LIMIT = 60.0
"""Seconds after which a job, cancelled or not, is taken to hang."""

QUIET_LIMIT = 30.0
"""Seconds after the last job within which servers and children must have ended too."""


class Soak:
    """Draws jobs from a seed. Job number N does the same in every run; how jobs meet depends on the machine."""

    def __init__(self, around: Surroundings, seed: int, at_once: int) -> None:
        self._around = around
        self._seed = seed
        self._at_once = at_once
        self._next = 0
        self.ledger = Ledger()

    async def round(self, seconds: float) -> Held:
        """Keep jobs running for so long, wait for the last to end, and tell what is held then.

        Raises:
            TimeoutError: a connection or a child outlived its job.
        """
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._lane(until))
        async with asyncio.timeout(QUIET_LIMIT):
            while self._around.connections.made != self._around.connections.lost or held().children:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        # The servers' own tasks end in the turns after their connections.
        for _ in range(10):
            left = {task for task in left if not task.done()}
            await asyncio.sleep(0)
        assert not left, f"tasks are left: {left}"
        return held()

    async def _lane(self, until: float) -> None:
        """One job after the other."""
        while time.monotonic() < until and not self.ledger.failures:
            number, self._next = self._next, self._next + 1
            chance = Random(f"{self._seed}.{number}")
            await self._job(number, chance)

    async def _job(self, number: int, chance: Random) -> None:
        (job,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        name: str = getattr(job, "__name__", repr(job))
        cancel_after = 0.05 * chance.random() ** 2 if chance.random() < CANCELLED_SHARE else None
        self.ledger.started[name] += 1
        task: asyncio.Task[Any] = asyncio.ensure_future(job(self._around, chance))  # type: ignore[assignment]
        if cancel_after is not None:
            _, waiting = await asyncio.wait([task], timeout=cancel_after)
            if waiting:
                task.cancel()
        _, waiting = await asyncio.wait([task], timeout=JOB_LIMIT)
        if waiting:
            self.ledger.note_hang(task, name, number)
            return
        self.ledger.note_end(task, name, number, cancel_after is not None)
