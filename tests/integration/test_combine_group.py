"""`TaskGroup`: asyncio's and riata's, on the loops of both."""

import asyncio
import contextvars
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.combine import MODULES, module, never

LIB = pytest.mark.parametrize("lib", MODULES)
Run = Callable[[Any], Any]


async def value(of: Any) -> Any:
    return of


async def fail(error: BaseException, after: int = 0) -> None:
    for _ in range(after):
        await asyncio.sleep(0)
    raise error


def leaves(group: BaseExceptionGroup[Any]) -> list[type]:
    return [type(error) for error in group.exceptions]


@LIB
@pytest.mark.parametrize("debug", [False, True])
def test_it_waits_for_all(lib: str, debug: bool, run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(debug)
        group = module(lib).TaskGroup()
        assert repr(group) == "<TaskGroup>"
        async with group as entered:
            assert entered is group
            assert repr(group) == "<TaskGroup entered>"
            tasks = [group.create_task(value(n)) for n in range(3)]
            late = group.create_task(asyncio.sleep(0.001, "late"))
            assert repr(group) == "<TaskGroup tasks=4 entered>"
            tasks.append(group.create_task(module(lib).sleep(0, "native")))
        assert [task.result() for task in tasks] == [0, 1, 2, "native"]
        assert late.result() == "late"
        async with module(lib).TaskGroup():
            pass

    run(main())


@LIB
def test_tasks_may_make_tasks(lib: str, run: Run) -> None:
    done: list[int] = []

    async def grow(group: Any, depth: int) -> None:
        await asyncio.sleep(0)
        done.append(depth)
        if depth:
            group.create_task(grow(group, depth - 1))

    async def main() -> None:
        async with module(lib).TaskGroup() as group:
            group.create_task(grow(group, 5))

    run(main())
    assert done == [5, 4, 3, 2, 1, 0]


@LIB
def test_one_fails_and_all_are_cancelled(lib: str, run: Run) -> None:
    async def main() -> None:
        current = asyncio.current_task()
        assert current is not None
        with pytest.raises(BaseExceptionGroup, match="unhandled errors in a TaskGroup") as raised:  # noqa: PT012 (leaving the group raises)
            async with module(lib).TaskGroup() as group:
                group.create_task(fail(ValueError()))
                group.create_task(fail(KeyError(), after=1))
                other = group.create_task(never())
                await never()
        assert leaves(raised.value)[0] is ValueError
        assert other.cancelled()
        assert current.cancelling() == 0
        await asyncio.sleep(0)  # nothing of the cancellation is left

    run(main())


@LIB
def test_the_body_fails(lib: str, run: Run) -> None:
    async def body(raising: BaseException) -> asyncio.Task[Any]:
        async with module(lib).TaskGroup() as group:
            task = group.create_task(never())
            await asyncio.sleep(0)
            raise raising
        return task

    async def main() -> None:
        with pytest.raises(BaseExceptionGroup) as raised:
            await body(ZeroDivisionError())
        assert leaves(raised.value) == [ZeroDivisionError]
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__
        with pytest.raises(asyncio.CancelledError):
            await body(asyncio.CancelledError())

    run(main())


@LIB
@pytest.mark.parametrize("where", ["body", "exit"])
def test_the_parent_is_cancelled(lib: str, where: str, run: Run) -> None:
    children: list[asyncio.Task[Any]] = []

    async def parent() -> None:
        async with module(lib).TaskGroup() as group:
            children.append(group.create_task(never()))
            if where == "body":
                await never()

    async def main() -> None:
        task = asyncio.create_task(parent())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert children[0].cancelled()

    run(main())


@LIB
def test_errors_go_before_the_cancellation_of_the_parent(lib: str, run: Run) -> None:
    async def stubborn() -> None:
        try:
            await never()
        finally:
            raise ZeroDivisionError

    async def parent() -> None:
        async with module(lib).TaskGroup() as group:
            group.create_task(stubborn())
            await never()

    async def main() -> None:
        task = asyncio.create_task(parent())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(BaseExceptionGroup) as raised:
            await task
        assert leaves(raised.value) == [ZeroDivisionError]

    run(main())


@LIB
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_is_not_grouped(
    lib: str, error: type[BaseException], loop_factory: Callable[[], Any]
) -> None:
    loop = loop_factory()

    async def body() -> None:
        async with module(lib).TaskGroup() as group:
            group.create_task(value(1))
            raise error

    with pytest.raises(error):
        loop.run_until_complete(body())
    loop.close()


@LIB
def test_when_no_task_may_be_made(lib: str, run: Run) -> None:
    async def main() -> None:
        group = module(lib).TaskGroup()
        coros = [value(n) for n in range(4)]
        with pytest.raises(RuntimeError, match="<TaskGroup> has not been entered"):
            group.create_task(coros[0])
        async with group:
            with pytest.raises(RuntimeError, match="<TaskGroup entered> has already been entered"):
                await group.__aenter__()
        with pytest.raises(RuntimeError, match="<TaskGroup entered> is finished"):
            group.create_task(coros[1])
        with pytest.raises(BaseExceptionGroup):  # noqa: PT012 (leaving the group raises)
            async with module(lib).TaskGroup() as failing:
                failing.create_task(fail(ValueError()))
                try:
                    await never()
                finally:
                    with pytest.raises(RuntimeError, match="is shutting down"):
                        failing.create_task(coros[2])
        for coro in coros:
            coro.close()

    run(main())


@LIB
def test_keywords_of_create_task(lib: str, run: Run) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

    async def read() -> str:
        return variable.get()

    async def main() -> None:
        context = contextvars.copy_context()
        context.run(variable.set, "inside")
        async with module(lib).TaskGroup() as group:
            named = group.create_task(value(1), name="a name")
            nameless = group.create_task(coro=value(2), name=None)
            inside = group.create_task(read(), context=context)
            outside = group.create_task(read(), context=None, name=3)
            assert named.get_name() == "a name"
            assert outside.get_name() == "3"
            assert nameless.get_name().startswith("Task-")
            coro = value(3)
            with pytest.raises(TypeError):
                group.create_task(coro, what=1)
            with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'coro'"):
                group.create_task()
            with pytest.raises(TypeError):
                group.create_task(coro, 1)
            coro.close()
        assert inside.result() == "inside"
        assert outside.result() == "outside"

    run(main())


@LIB
@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of 3.12")
def test_eager_tasks(lib: str, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        async with module(lib).TaskGroup() as group:
            done = group.create_task(value(1))
            assert done.done()
            waiting = group.create_task(asyncio.sleep(0, 2))
            assert not waiting.done()
        assert waiting.result() == 2
        with pytest.raises(BaseExceptionGroup) as raised:  # noqa: PT012 (leaving the group raises)
            async with module(lib).TaskGroup() as group:
                group.create_task(fail(ValueError()))
                await never()
        assert leaves(raised.value) == [ValueError]
        loop.set_task_factory(None)

    run(main())


@LIB
def test_a_loop_that_makes_other_tasks(lib: str, loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    made: list[Any] = []
    original = loop.create_task

    def create_task(coro: Any, **options: Any) -> Any:
        made.append(options)
        return original(coro, **options)

    async def main() -> None:
        async with module(lib).TaskGroup() as group:
            task = group.create_task(value(1), name="name")
        assert task.get_name() == "name"

    loop.create_task = create_task
    loop.run_until_complete(main())
    del loop.create_task
    assert len(made) == 2
    loop.close()


@LIB
def test_without_a_task(lib: str, loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            module(lib).TaskGroup().__aenter__().send(None)
        except RuntimeError as error:
            failures.append(error)
        loop.stop()

    loop.call_soon(enter)
    loop.run_forever()
    loop.close()
    assert str(failures[0]) == "TaskGroup <TaskGroup> cannot determine the parent task"


@pytest.mark.parametrize("where", ["body", "task", "before", "twice", "after", "without await"])
def test_cancelling_a_group(where: str, run: Run, request: pytest.FixtureRequest) -> None:
    """asyncio's `TaskGroup.cancel` of Python 3.15, on all of them."""
    import riata

    if (
        where == "without await"
        and sys.version_info < (3, 13)
        and request.node.callspec.params["loop_factory"] != "riata"
    ):
        pytest.skip("CPython's own task of this version cannot be told to forget a cancellation")

    async def main() -> str:
        current = asyncio.current_task()
        assert current is not None
        group = riata.TaskGroup()
        if where == "before":
            group.cancel()
        async with group:
            if where == "without await":
                group.cancel()
                assert current.cancelling() == 1
            else:
                other = group.create_task(never()) if where != "before" else None
                if where == "task":
                    asyncio.get_running_loop().call_soon(group.cancel)
                elif where != "after":
                    group.cancel()
                if where == "twice":
                    group.cancel()
                if where == "after":
                    assert other is not None
                    other.cancel()
                elif where != "task":
                    await never()
        assert current.cancelling() == 0
        group.cancel()
        assert current.cancelling() == 0
        await asyncio.sleep(0)
        return "through"

    assert run(main()) == "through"


@pytest.mark.parametrize("made_by", MODULES)
@pytest.mark.parametrize("known_as", MODULES)
def test_isinstance_holds_both_ways(made_by: str, known_as: str) -> None:
    assert isinstance(module(made_by).TaskGroup(), module(known_as).TaskGroup)


def test_subclasses(run: Run) -> None:
    import riata

    class Naming(riata.TaskGroup):
        def __init__(self, prefix: str) -> None:
            super().__init__()
            self.prefix = prefix

        def create_task(self, coro: Any, **options: Any) -> Any:
            return super().create_task(coro, name=f"{self.prefix}", **options)

        async def __aexit__(self, *raised: Any) -> bool | None:
            await asyncio.sleep(0)
            return await super().__aexit__(*raised)

    async def main() -> None:
        async with Naming("prefix") as group:
            task = group.create_task(value(1))
        assert task.get_name() == "prefix"
        assert isinstance(group, asyncio.TaskGroup)

    run(main())


def test_what_is_over_is_not_kept_alive(run: Run) -> None:
    import riata

    class Marked:
        pass

    async def main() -> None:
        marked = Marked()
        reference = weakref.ref(marked)
        try:
            async with riata.TaskGroup() as group:
                group.create_task(fail(ValueError(marked)))
        except BaseExceptionGroup:
            pass
        del marked, group
        gc.collect()
        assert reference() is None

    run(main())
