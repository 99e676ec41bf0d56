"""A timeout whose time had come, but whose body ended in that very turn before it was told, said so all the same.

Its callback was ready and could not be taken back: AssertionError in the loop's exception handler; after `reschedule`
it even cancelled the body.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.integration import combine

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=combine.MODULES)
def module(request: pytest.FixtureRequest) -> Any:
    return combine.module(request.param)


def pass_time() -> None:
    """Let 2 ms go by without the loop's running."""
    end = time.monotonic() + 0.002
    while time.monotonic() < end:
        pass


def test_it_is_left_before_it_is_told(module: Any, run: Run) -> None:
    async def main() -> None:
        reports: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, report: reports.append(report))
        async with module.timeout(0.001) as timeout:
            pass_time()
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
        async with module.timeout(0.001) as timeout:
            pass_time()
            await asyncio.sleep(0)
            timeout.reschedule(loop.time() + 1000)
            for _ in range(5):
                await asyncio.sleep(0)
        assert not timeout.expired()

    run(main())
