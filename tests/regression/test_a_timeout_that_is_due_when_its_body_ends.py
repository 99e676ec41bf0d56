"""A timeout whose time had come, but whose body ended in that very turn before it was told, said so all the same.

Its callback was ready and could not be taken back: AssertionError in the loop's exception handler; after `reschedule`
it even cancelled the body.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.integration import combine

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=combine.MODULES)
def module(request: pytest.FixtureRequest) -> Any:
    return combine.module(request.param)


class Clock:
    """The time of a loop, which passes when it is told to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._now = loop.time()
        loop.time = lambda: self._now  # type: ignore[method-assign]

    def pass_time(self) -> None:
        """Let a second go by without the loop's running."""
        self._now += 1


def test_it_is_left_before_it_is_told(module: Any, run: Run) -> None:
    async def main() -> None:
        reports: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, report: reports.append(report))
        clock = Clock(loop)
        async with module.timeout(0.5) as timeout:
            clock.pass_time()
            # Ready now, and so before the timer, which becomes ready when the next turn begins.
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not timeout.expired()
        assert not reports

    run(main())


def test_it_is_put_off_before_it_is_told(module: Any, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(loop)
        async with module.timeout(0.5) as timeout:
            clock.pass_time()
            await asyncio.sleep(0)
            timeout.reschedule(loop.time() + 1000)
            for _ in range(5):
                await asyncio.sleep(0)
        assert not timeout.expired()

    run(main())
