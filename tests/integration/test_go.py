"""`riata.go`, on asyncio's loop and on riata's."""

import asyncio
import contextvars
import functools
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import riata

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def double(number: int, *, plus: int = 0) -> int:
    await asyncio.sleep(0)
    return 2 * number + plus


class Doubler:
    async def __call__(self, number: int) -> int:
        return await double(number)

    async def method(self, number: int) -> int:
        return await double(number)

    def plain(self, number: int) -> int:
        return 2 * number


@pytest.mark.parametrize(
    "fn", [double, functools.partial(double, plus=0), Doubler(), Doubler().method, functools.partial(Doubler())]
)
def test_a_coroutine_function_runs_as_a_task(run: Run, fn: Callable[[int], Coroutine[Any, Any, int]]) -> None:
    async def main() -> None:
        task = riata.go(fn, 4)
        assert isinstance(task, asyncio.Task)
        assert not task.done()
        assert await task == 8

    run(main())


def test_names_are_passed_on(run: Run) -> None:
    async def main() -> None:
        assert await riata.go(double, 4, plus=1) == 9
        assert await riata.go(int, "ff", base=16) == 255

    run(main())


@pytest.mark.parametrize("fn", [Doubler().plain, lambda number: 2 * number])
def test_a_plain_function_runs_on_a_thread(run: Run, fn: Callable[[int], int]) -> None:
    async def main() -> None:
        assert await riata.go(fn, 4) == 8
        assert await riata.go(threading.get_ident) != threading.get_ident()

    run(main())


def test_a_thread_begins_while_the_loop_is_busy(run: Run) -> None:
    async def main() -> None:
        began = threading.Event()
        task = riata.go(began.set)
        assert began.wait(60)
        await task

    run(main())


def test_a_coroutine_that_a_plain_function_returns_runs_on_the_loop(run: Run) -> None:
    async def where() -> int:
        return threading.get_ident()

    async def main() -> None:
        assert await riata.go(lambda: where()) == threading.get_ident()

    run(main())


def test_both_see_the_context_of_the_caller(run: Run) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    async def read() -> int:
        return variable.get()

    async def main() -> None:
        variable.set(1)
        task, thread = riata.go(read), riata.go(variable.get)
        variable.set(2)
        assert await task == await thread == 1

    run(main())


def test_nobody_else_has_to_hold_the_task(run: Run) -> None:
    """A task that waits for a future that only itself knows would be collected."""

    async def wait(about: list[weakref.ref[Any]]) -> None:
        future = asyncio.get_running_loop().create_future()
        about.append(weakref.ref(future))
        await future

    async def main() -> None:
        about: list[weakref.ref[Any]] = []
        riata.go(wait, about)
        await asyncio.sleep(0)
        gc.collect()
        future = about[0]()
        assert future is not None
        future.set_result(None)
        del future
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        assert about[0]() is None

    run(main())


def test_nothing_is_held_once_its_loop_is_closed(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    class Marker:
        pass

    async def wait(marker: Marker) -> None:
        await asyncio.get_running_loop().create_future()

    async def start(marker: Marker) -> None:
        task = riata.go(wait, marker)
        await asyncio.sleep(0)
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    async def nothing() -> None:
        await riata.go(double, 1)

    loop = loop_factory()
    marker = Marker()
    alive = weakref.ref(marker)
    loop.run_until_complete(start(marker))
    loop.close()
    del loop, marker
    other = loop_factory()
    other.run_until_complete(nothing())
    other.close()
    gc.collect()
    assert alive() is None


def test_what_nobody_retrieves_is_reported(run: Run) -> None:
    async def fail() -> None:
        raise ValueError("mine")

    async def main() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
        riata.go(fail)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()
        assert [str(report["exception"]) for report in reports] == ["mine"]
        with pytest.raises(ValueError, match="mine"):
            await riata.go(fail)

    run(main())


def test_wrong_arguments_are_the_callers(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            riata.go(double)  # type: ignore[call-arg]

    run(main())


def test_without_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        riata.go(double, 1)


def test_a_factory_whose_tasks_are_done_at_once(run: Run) -> None:
    async def now() -> int:
        return 3

    async def main() -> None:
        if hasattr(asyncio, "eager_task_factory"):
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        assert await riata.go(now) == 3

    run(main())
