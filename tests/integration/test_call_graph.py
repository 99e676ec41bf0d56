"""Python 3.14's call graph: who awaits whom, for native tasks and futures as for asyncio's own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Run = Callable[[Any], Any]

if sys.version_info < (3, 14):
    pytest.skip("asyncio draws no call graph before Python 3.14", allow_module_level=True)


def names_of_those_awaiting(future: asyncio.Future[Any]) -> list[str]:
    """The names of the tasks that await `future`, as the call graph has them."""
    graph = asyncio.capture_call_graph(future)
    assert graph is not None
    awaiting = [parent.future for parent in graph.awaited_by]
    return sorted(task.get_name() for task in awaiting if isinstance(task, asyncio.Task))


async def seen_while_awaited(wait: Callable[[asyncio.Task[Any]], Awaitable[Any]]) -> list[str]:
    """Who awaits a task while another one, named "parent", waits for it by `wait`."""
    seen: list[str] = []

    async def child() -> None:
        await asyncio.sleep(0)
        this = asyncio.current_task()
        assert this is not None
        seen.extend(names_of_those_awaiting(this))

    async def parent() -> None:
        await wait(asyncio.create_task(child()))

    await asyncio.create_task(parent(), name="parent")
    return seen


async def in_a_group(task: asyncio.Task[Any]) -> None:
    """Wait for `task` in a task of a group's."""

    async def member() -> None:
        await task

    async with asyncio.TaskGroup() as group:
        group.create_task(member(), name="member")


@pytest.mark.parametrize(
    "wait",
    [
        lambda task: task,
        lambda task: asyncio.gather(task, asyncio.sleep(0)),
        lambda task: asyncio.wait([task]),
        lambda task: asyncio.wait_for(task, 10),
        lambda task: asyncio.shield(task),
    ],
    ids=["await", "gather", "wait", "wait_for", "shield"],
)
def test_whoever_waits_for_a_task_is_in_its_graph(run: Run, wait: Callable[[Any], Awaitable[Any]]) -> None:
    assert run(seen_while_awaited(wait)) == ["parent"]


def test_a_member_of_a_group_is_in_the_graph_of_what_it_awaits(run: Run) -> None:
    assert run(seen_while_awaited(in_a_group)) == ["member"]


def test_nobody_is_left_in_the_graph_when_the_wait_is_over(run: Run) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(asyncio.wait_for(future, 10), name=f"waiter {n}") for n in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert names_of_those_awaiting(future) == ["waiter 0", "waiter 1"]
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        # wait_for cancelled the future on the way out, and so its other waiter.
        await asyncio.wait(tasks)
        assert names_of_those_awaiting(future) == []

    run(main())


def test_a_cancelled_wait_that_goes_on_elsewhere_is_over(run: Run) -> None:
    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()

        async def stubborn() -> None:
            try:
                await first.wait()
            except asyncio.CancelledError:
                await second.wait()

        task = asyncio.create_task(stubborn(), name="stubborn")
        await asyncio.sleep(0)
        waiting_for: Any = task._fut_waiter  # type: ignore[attr-defined]
        assert names_of_those_awaiting(waiting_for) == ["stubborn"]
        task.cancel()
        await asyncio.sleep(0)
        assert names_of_those_awaiting(waiting_for) == []
        second.set()
        await task

    run(main())


def test_asyncio_s_own_task_is_in_the_graph_of_a_native_future(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def waiter() -> None:
            await future

        task = asyncio.Task(waiter(), loop=loop, name="asyncio's")
        await asyncio.sleep(0)
        assert names_of_those_awaiting(future) == ["asyncio's"]
        future.set_result(None)
        await task

    run(main())


def test_what_is_no_future_is_passed_over(run: Run) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        strangers: list[tuple[Any, Any]] = [(future, object()), (object(), future), (1, 2)]
        for awaited, waiter in strangers:
            asyncio.future_add_to_awaited_by(awaited, waiter)
            asyncio.future_discard_from_awaited_by(awaited, waiter)
        assert names_of_those_awaiting(future) == []

    run(main())
