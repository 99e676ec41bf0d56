"""A future of another thread held, by what it keeps of its callbacks, itself and its result until the collector came.

websockets' tests have a client in a thread, whose connection ended late.
"""

import asyncio
import concurrent.futures
import gc
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from tests.integration import combine

Run = Callable[[Coroutine[Any, Any, None]], None]


class Result:
    """What can be referred to weakly."""


@pytest.fixture(params=combine.MODULES)
def module(request: pytest.FixtureRequest) -> Any:
    return combine.module(request.param)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_result(module: Any, run: Run) -> None:
    async def main() -> weakref.ref[Result]:
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        wrapping = module.wrap_future(future)
        future.set_result(Result())
        return weakref.ref(await wrapping)

    async def ask() -> None:
        result = await main()
        await asyncio.sleep(0)  # what woke this task has it still
        assert result() is None

    run(ask())


def test_a_future_that_is_cancelled(module: Any, run: Run) -> None:
    async def main() -> weakref.ref[concurrent.futures.Future[None]]:
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        wrapping = module.wrap_future(future)
        wrapping.cancel()
        await asyncio.sleep(0)
        assert future.cancelled()
        return weakref.ref(future)

    async def ask() -> None:
        result = await main()
        await asyncio.sleep(0)  # what woke this task has it still
        assert result() is None

    run(ask())
