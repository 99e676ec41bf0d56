"""Loops whose time is counted in turns, so that two loops can be compared turn by turn.

A callback in every turn, the ticker, makes time pass: one tick a turn, and no poll ever blocks. A timer of `n` ticks is
due `n` turns after it was set, half a tick before the turn begins, so that rounding decides nothing.

On a `Counted` clock `loop.time()` is overridden, as any subclass may override it. On a `Paced` one it is not, so that
the loop takes its own short ways: there the ticker waits until the tick is over in real time. If the machine is so late
that timers could be due in another turn, `late` says so, and the run is to be repeated.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any


class Counted:
    """Time by an override of `loop.time`.

    No two readings are alike, since of equal deadlines asyncio's heap takes any first.
    """

    tick = 1.0
    late = False

    def __init__(self, loop: Any) -> None:
        self._now = 0.0
        readings = itertools.count()
        loop.time = lambda: self._now + next(readings) * 1e-9
        loop._clock_resolution = 1e-9

    def delay(self, ticks: int, sequence: int) -> float:
        """Seconds until half a tick before so many are over; later timers of the same tick are due later."""
        return (ticks - 0.5) * self.tick + sequence % 20 * 0.02

    def advance(self) -> None:
        """End the tick."""
        self._now += self.tick


class Paced:
    """Real time, in ticks of 1 ms."""

    tick = 0.001

    def __init__(self, loop: Any) -> None:
        self._next: float | None = None
        self.late = False

    def delay(self, ticks: int, sequence: int) -> float:
        """As `Counted.delay`, from when the tick began, and not from when in it this is asked."""
        begin = time.monotonic() if self._next is None else self._next - self.tick
        return begin + (ticks - 0.5) * self.tick + sequence % 20 * 20e-6 - time.monotonic()

    def advance(self) -> None:
        """Wait for the end of the tick, or note that nearly half of it was over already."""
        if self._next is None:
            self._next = time.monotonic()
        elif time.monotonic() > self._next - 0.55 * self.tick:
            self.late = True
        while not self.late and time.monotonic() < self._next:
            pass
        self._next += self.tick


class Ticker:
    """Calls itself in every turn; tells `on_turn` how many there were."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Counted | Paced, on_turn: Callable[[int], None]) -> None:
        self._loop = loop
        self._clock = clock
        self._on_turn = on_turn
        self.turns = 0

    def __call__(self) -> None:
        """One turn."""
        self.turns += 1
        self._clock.advance()
        self._on_turn(self.turns)
        self._loop.call_soon(self)
