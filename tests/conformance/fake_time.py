"""A loop of riata's own whose clock is driven by a test, in place of the suite's `TestLoop`.

`TestLoop` is CPython's `BaseEventLoop` with a selector that never waits. After every turn it sends the deadline
of each timer made during the turn into the test's generator, which answers by how much to move the clock.

Here the generator is asked by a callback queued when the timer is made, which is one turn later at most, and
the clock is an override of `time()`, as any subclass may have one. A test that gave no generator needs no fake
time, and gets the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

TimeGenerator = Generator[float, float, None]


class _GeneratorClock:
    """The mix-in: what `TestLoop` does about time, through the public methods of a loop alone."""

    def __new__(cls, gen: Callable[[], TimeGenerator] | None = None) -> Any:
        """Keep the generator from a native `__new__` that takes no arguments."""
        return super().__new__(cls)

    def __init__(self, gen: Callable[[], TimeGenerator] | None = None) -> None:
        self._fake_now = 0.0
        self._unasked: list[float] = []
        self._failure: str | None = None
        self._generator: TimeGenerator | None = None
        super().__init__()
        if gen is not None:
            self._generator = gen()
            next(self._generator)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The time the generator has reached, in seconds; without one, the loop's own."""
        if self._generator is None:
            return super().time()  # type: ignore[misc,no-any-return]
        return self._fake_now

    def advance_time(self, advance: float) -> None:
        """Move the clock by `advance` seconds; tests call this themselves between two runs."""
        if advance:
            self._fake_now += advance

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Make a timer and have the generator asked about it before the next turn is over."""
        handle = super().call_at(when, callback, *args, context=context)  # type: ignore[misc]
        if self._generator is not None:
            if not self._unasked:
                self.call_soon(self._ask_generator)  # type: ignore[attr-defined]
            self._unasked.append(when)
        return handle  # type: ignore[no-any-return]

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """As `BaseEventLoop.call_later`: a timer at the clock's time plus `delay` seconds."""
        if delay is None:
            raise TypeError("delay must not be None")
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def run_forever(self) -> None:
        """Run the loop; a timer made in its last turn is asked about as well."""
        try:
            super().run_forever()  # type: ignore[misc]
        finally:
            self._ask_generator()

    def run_until_complete(self, future: Any) -> Any:
        """Run the loop until the future is done; a timer made in its last turn is asked about as well."""
        try:
            return super().run_until_complete(future)  # type: ignore[misc]
        finally:
            self._ask_generator()

    def _ask_generator(self) -> None:
        if self._generator is None:
            return
        asked, self._unasked = self._unasked, []
        for when in asked:
            try:
                self.advance_time(self._generator.send(when))
            except StopIteration:
                # TestLoop dies of this. Going on to the deadline keeps the loop from waiting in real time.
                self._failure = f"a timer at {when} was made after the time generator had ended"
                self._fake_now = max(self._fake_now, when)
            except BaseException as error:
                self._failure = f"the time generator raised {error!r} when told of a timer at {when}"
                self._fake_now = max(self._fake_now, when)

    def close(self) -> None:
        """Close the loop.

        Raises:
            AssertionError: the test's timers were not those that its generator expected.
        """
        super().close()  # type: ignore[misc]
        generator, self._generator = self._generator, None
        if generator is None:
            return
        if self._failure is not None:
            raise AssertionError(self._failure)
        try:
            generator.send(0)
        except StopIteration:
            return
        raise AssertionError("Time generator is not finished")


def with_generator_clock(loop_class: type[Any]) -> type[Any]:
    """Make a subclass of a loop class that takes `TestLoop`'s time generator as its argument."""
    return type("GeneratorClockLoop", (_GeneratorClock, loop_class), {})
