"""`wait`: asyncio's and riata's, on the loops of both."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.combine import MODULES, module, never

LIB = pytest.mark.parametrize("lib", MODULES)
Run = Callable[[Any], Any]


async def value(of: Any) -> Any:
    return of


async def fail() -> None:
    raise ZeroDivisionError


def tasks(*coros: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(coro) for coro in coros]


@LIB
@pytest.mark.parametrize("debug", [False, True])
def test_all_first_and_exception(lib: str, debug: bool, run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(debug)
        wait = module(lib).wait
        one, two = tasks(value(1), value(2))
        assert await wait([one, two, one]) == ({one, two}, set())
        assert await wait(iter((one, two))) == ({one, two}, set())

        slow, quick = tasks(never(), value(1))
        assert await wait((slow, quick), return_when=asyncio.FIRST_COMPLETED) == ({quick}, {slow})
        quick, failing, cancelled = tasks(value(1), fail(), never())
        cancelled.cancel()
        done, pending = await wait({slow, quick, cancelled, failing}, return_when=asyncio.FIRST_EXCEPTION)
        assert pending == {slow}
        assert done == {quick, failing, cancelled}
        assert isinstance(failing.exception(), ZeroDivisionError)
        assert not slow._callbacks  # type: ignore[attr-defined]
        slow.cancel()

    run(main())


@LIB
@pytest.mark.parametrize("timeout", [0, 0.001])
def test_in_time_or_not(lib: str, timeout: float, run: Run) -> None:
    async def main() -> None:
        wait = module(lib).wait
        (slow,) = tasks(never())
        assert await wait([slow], timeout=timeout) == (set(), {slow})
        assert await wait([slow], timeout=-1) == (set(), {slow})
        slow.cancel()
        assert await wait([slow], timeout=10) == ({slow}, set())
        assert await wait([slow], timeout=None) == ({slow}, set())

    run(main())


@LIB
def test_it_is_cancelled_and_the_futures_run_on(lib: str, run: Run) -> None:
    async def main() -> None:
        (slow,) = tasks(never())
        (waiter,) = tasks(module(lib).wait([slow], timeout=10))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not slow.done()
        assert not slow._callbacks  # type: ignore[attr-defined]
        slow.cancel()

    run(main())


@LIB
def test_what_is_refused(lib: str, run: Run) -> None:
    async def main() -> None:
        wait = module(lib).wait
        (task,) = tasks(value(1))
        coro = value(2)
        with pytest.raises(TypeError, match="expect a list of futures, not"):
            await wait(task)
        with pytest.raises(TypeError, match="expect a list of futures, not coroutine"):
            await wait(coro)
        with pytest.raises(TypeError, match="Passing coroutines is forbidden, use tasks explicitly"):
            await wait([task, coro])
        with pytest.raises(ValueError, match="Set of Tasks/Futures is empty"):
            await wait([])
        with pytest.raises(ValueError, match="Invalid return_when value: -1"):
            await wait([task], return_when=-1)
        with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
            wait([task], 1)
        with pytest.raises(TypeError):
            await wait(3)
        coro.close()
        await task

    run(main())


@LIB
def test_futures_that_are_not_the_loops_own(lib: str, run: Run) -> None:
    class Foreign(asyncio.Future[Any]):
        """CPython's, of a Python subclass."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        foreign, pending = Foreign(loop=loop), Foreign(loop=loop)
        loop.call_soon(foreign.set_result, 1)
        done = await module(lib).wait([foreign, pending], return_when=asyncio.FIRST_COMPLETED)
        assert done == ({foreign}, {pending})
        assert not pending._callbacks

    run(main())
