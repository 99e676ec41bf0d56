"""`as_completed`, `wrap_future`, `run_coroutine_threadsafe`: asyncio's and riata's, on the loops of both."""

import asyncio
import concurrent.futures
import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.combine import MODULES, module, never

LIB = pytest.mark.parametrize("lib", MODULES)
Run = Callable[[Any], Any]
# asyncio's own iterator is asynchronous since 3.13; riata's always.
ASYNC_FOR = pytest.mark.parametrize("lib", MODULES if sys.version_info >= (3, 13) else ["riata"])


async def value(of: Any, after: int = 0) -> Any:
    for _ in range(after):
        await asyncio.sleep(0)
    return of


async def fail() -> None:
    raise ZeroDivisionError


@LIB
@pytest.mark.parametrize("debug", [False, True])
def test_in_the_order_of_completion(lib: str, debug: bool, run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(debug)
        found = []
        for coro in module(lib).as_completed([value("c", 9), value("a", 1), value("b", 5)]):
            found.append(await coro)
        assert found == ["a", "b", "c"]
        assert list(module(lib).as_completed([])) == []
        task = asyncio.create_task(value("task"))
        (coro,) = module(lib).as_completed({task, task}, timeout=10)
        assert asyncio.iscoroutine(coro)
        assert await coro == "task"

    run(main())


@LIB
def test_exceptions_and_time(lib: str, run: Run) -> None:
    async def main() -> None:
        first, second, third = module(lib).as_completed([fail(), never(), value(3, 2)], timeout=0.01)
        with pytest.raises(ZeroDivisionError):
            await first
        assert await second == 3
        with pytest.raises(TimeoutError):
            await third

    run(main())
    gc.collect()


@LIB
def test_awaited_all_at_once_and_some_cancelled(lib: str, run: Run) -> None:
    async def main() -> None:
        coros = list(module(lib).as_completed([value(1, 5), value(2, 7), value(3, 3)]))
        tasks = [asyncio.create_task(coro) for coro in coros]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()
        assert [task.result() for task in tasks[1:]] == [3, 1]

    run(main())


@ASYNC_FOR
def test_async_for_gives_the_tasks_themselves(lib: str, run: Run) -> None:
    async def main() -> None:
        slow, quick = asyncio.create_task(value("slow", 5)), asyncio.create_task(value("quick", 1))
        found = [task async for task in module(lib).as_completed([slow, quick])]
        assert found == [quick, slow]
        async for task in module(lib).as_completed([value("coro")]):
            assert isinstance(task, asyncio.Task)
            assert await task == "coro"
        pending = asyncio.create_task(never())
        with pytest.raises(TimeoutError):
            async for _ in module(lib).as_completed([pending], timeout=0.001):
                pass
        pending.cancel()

    run(main())


@LIB
def test_a_single_awaitable_is_refused(lib: str, run: Run) -> None:
    async def main() -> None:
        coro = value(1)
        with pytest.raises(TypeError, match="expect"):
            next(iter(module(lib).as_completed(coro)))
        coro.close()
        with pytest.raises(TypeError, match="expect"):
            next(iter(module(lib).as_completed(asyncio.get_running_loop().create_future())))
        with pytest.raises(TypeError):
            next(iter(module(lib).as_completed(3)))

    run(main())


@LIB
def test_wrapped_futures(lib: str, run: Run) -> None:
    async def main() -> None:
        wrap = module(lib).wrap_future
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            assert await wrap(executor.submit(lambda: 5)) == 5
            with pytest.raises(ZeroDivisionError):
                await wrap(executor.submit(lambda: 1 / 0), loop=loop)
            begin, done = threading.Event(), concurrent.futures.Future[int]()
            executor.submit(begin.wait)
            waiting = executor.submit(lambda: 6)
            wrapped = wrap(waiting)
            wrapped.cancel()
            await asyncio.sleep(0)
            assert waiting.cancelled()
            begin.set()
        done.set_result(7)
        assert await wrap(done) == 7
        cancelled = concurrent.futures.Future[int]()
        cancelled.cancel()
        cancelled.set_running_or_notify_cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrap(cancelled)
        odd = concurrent.futures.Future[int]()
        odd.set_exception(concurrent.futures.InvalidStateError("odd"))
        with pytest.raises(asyncio.InvalidStateError, match="odd"):
            await wrap(odd)
        future = loop.create_future()
        assert wrap(future) is future
        future.cancel()
        with pytest.raises(AssertionError, match=r"concurrent.futures.Future is expected, got 3"):
            wrap(3)

    run(main())


@LIB
def test_a_wrapped_future_of_a_closed_loop(lib: str, loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    source = concurrent.futures.Future[int]()
    module(lib).wrap_future(source, loop=loop)
    loop.close()
    source.set_result(1)


@LIB
def test_a_coroutine_for_another_thread(lib: str, loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    submit = module(lib).run_coroutine_threadsafe
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert submit(value("result", 3), loop).result() == "result"
    assert submit(module(lib).sleep(0, "native"), loop).result() == "native"
    with pytest.raises(ZeroDivisionError):
        submit(fail(), loop).result()
    waiting = submit(never(), loop)
    assert waiting.cancel()
    with pytest.raises(TypeError, match="A coroutine object is required"):
        submit(3, loop)
    assert submit(value("last", 3), loop).result() == "last"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    coro = value(1)
    with pytest.raises(RuntimeError, match="closed"):
        submit(coro, loop)
    coro.close()


@LIB
def test_a_coroutine_that_no_task_is_made_of(lib: str, loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    reported: list[Any] = []

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        coro.close()
        raise NameError("no tasks today")

    loop.set_task_factory(factory)
    loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
    future = module(lib).run_coroutine_threadsafe(value(1), loop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    with pytest.raises(NameError, match="no tasks today"):
        future.result()
    assert [type(error) for error in reported] == [NameError]
    loop.close()


def test_run_in_executor_with_building_blocks_installed() -> None:
    import riata

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await asyncio.gather(*[loop.run_in_executor(None, pow, n, 2) for n in range(5)]) == [0, 1, 4, 9, 16]
        assert await asyncio.to_thread(pow, 2, 5) == 32

    riata.install()
    try:
        asyncio.run(main())
    finally:
        riata.uninstall()
