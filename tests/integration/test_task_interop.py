"""Native tasks and futures together with CPython's own, and on loops that are not ours."""

import asyncio
import asyncio.futures
import asyncio.tasks
import sys
from collections.abc import Callable
from typing import Any

import pytest

import riata

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

FUTURES: dict[str, Any] = {
    "native": riata.Future,
    "c": asyncio.Future,
    "python": asyncio.futures._PyFuture,  # type: ignore[attr-defined]
}
TASKS: dict[str, Any] = {
    "native": riata.Task,
    "c": asyncio.Task,
    "python": asyncio.tasks._PyTask,  # type: ignore[attr-defined]
}
for_each_future = pytest.mark.parametrize("future", list(FUTURES))
for_each_task = pytest.mark.parametrize("task", list(TASKS))
for_each_other = pytest.mark.parametrize("other", list(TASKS))


@for_each_future
@for_each_task
def test_a_task_awaits_any_future(run: Callable[..., Any], task: str, future: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        awaited = FUTURES[future](loop=loop)

        async def wait() -> Any:
            return await awaited

        waiting = [TASKS[task](wait(), loop=loop) for _ in range(3)]
        await asyncio.sleep(0)
        assert all(one._fut_waiter is awaited for one in waiting)
        awaited.set_result("result")
        assert [await one for one in waiting] == ["result"] * 3

    run(main())


@for_each_future
@for_each_task
def test_an_exception_keeps_its_traceback(run: Callable[..., Any], task: str, future: str) -> None:
    def deep() -> None:
        raise ValueError("message")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        awaited = FUTURES[future](loop=loop)

        async def wait() -> None:
            await awaited

        waiting = TASKS[task](wait(), loop=loop)
        await asyncio.sleep(0)
        try:
            deep()
        except ValueError as error:
            awaited.set_exception(error)
        with pytest.raises(ValueError, match="message") as caught:
            await waiting
        names = [entry.name for entry in caught.traceback]
        assert names[-1] == "deep"
        assert "wait" in names
        # Looked at again: the frames do not pile up.
        count = len(names)
        for _ in range(3):
            with pytest.raises(ValueError, match="message") as again:
                await waiting
            assert len(again.traceback) <= count + 1

    run(main())


@for_each_future
@for_each_task
def test_cancelling_a_task_cancels_what_it_awaits(run: Callable[..., Any], task: str, future: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        awaited = FUTURES[future](loop=loop)

        async def wait() -> None:
            await awaited

        waiting = TASKS[task](wait(), loop=loop)
        await asyncio.sleep(0)
        assert waiting.cancel("message") is True
        assert awaited.cancelled()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        assert caught.value.args == ("message",)
        assert waiting.cancelled()
        assert waiting.cancel() is False

    run(main())


@for_each_other
@for_each_task
def test_a_task_awaits_any_task(run: Callable[..., Any], task: str, other: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def inner(fails: bool) -> str:
            await asyncio.sleep(0)
            if fails:
                raise LookupError("inner")
            return "inner"

        async def outer(fails: bool) -> Any:
            return await TASKS[other](inner(fails), loop=loop)

        assert await TASKS[task](outer(False), loop=loop) == "inner"
        with pytest.raises(LookupError, match="inner"):
            await TASKS[task](outer(True), loop=loop)

        async def forever() -> None:
            await asyncio.Event().wait()

        innermost = TASKS[other](forever(), loop=loop)

        async def wait() -> None:
            await innermost

        waiting = TASKS[task](wait(), loop=loop)
        await asyncio.sleep(0)
        waiting.cancel("deep")
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        assert caught.value.args == ("deep",)
        assert innermost.cancelled()

    run(main())


@for_each_task
def test_a_future_of_another_loop(loop_factory: LoopFactory, task: str) -> None:
    loop, another = loop_factory(), loop_factory()
    for future in FUTURES.values():
        foreign = future(loop=another)

        async def wait(foreign: Any = foreign) -> None:
            await foreign

        waiting = TASKS[task](wait(), loop=loop)
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            loop.run_until_complete(waiting)
        assert not foreign.done()
    loop.close()
    another.close()


@for_each_task
def test_bad_yields(run: Callable[..., Any], task: str) -> None:
    class Awaitable:
        def __init__(self, *yielded: Any) -> None:
            self.yielded = yielded

        def __await__(self) -> Any:
            yield from self.yielded

    async def wait(awaitable: Any) -> None:
        await awaitable

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        texts = []
        future = loop.create_future()
        for yielded in (1, "text", object, future, [future]):
            with pytest.raises(RuntimeError) as caught:
                await TASKS[task](wait(Awaitable(yielded)), loop=loop)
            texts.append(str(caught.value)[:24])
        itself_task: list[Any] = []

        async def itself() -> None:
            await itself_task[0]

        itself_task.append(TASKS[task](itself(), loop=loop))
        with pytest.raises(RuntimeError, match="Task cannot await on itself"):
            await itself_task[0]
        return texts

    assert run(main()) == [
        "Task got bad yield: 1",
        "Task got bad yield: 'tex",
        "Task got bad yield: <cla",
        "yield was used instead o",
        "Task got bad yield: [<Fu",
    ]


@for_each_task
def test_current_task_and_all_tasks(run: Callable[..., Any], task: str) -> None:
    if task == "python" and sys.version_info >= (3, 14):
        pytest.skip("its C functions do not read the registers of its Python tasks from 3.14 on")
    current_c = asyncio.current_task
    # 3.11 has no twin in C: there the Python function is the only one.
    current_python = getattr(asyncio.tasks, "_py_current_task", current_c)
    python_sees_c_tasks = sys.version_info < (3, 14)  # from then on the two keep their own

    async def main() -> None:
        loop = asyncio.get_running_loop()
        seen: list[Any] = []
        end = loop.create_future()

        async def look() -> None:
            seen.append(current_c())
            seen.append(current_python() if python_sees_c_tasks else current_c())
            await asyncio.sleep(0)
            seen.append(current_c())
            seen.append(current_c(loop))
            loop.call_soon(lambda: seen.append(current_c()))
            end.add_done_callback(lambda _: seen.append(current_c()))
            await end
            seen.append(current_c())

        one = TASKS[task](look(), loop=loop)
        await asyncio.sleep(0)
        assert one in asyncio.all_tasks()
        assert one in asyncio.all_tasks(loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        end.set_result(None)
        await one
        assert seen == [one] * 4 + [None, None, one]
        assert one not in asyncio.all_tasks()
        assert asyncio.current_task() in asyncio.all_tasks()

    run(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.current_task()


def test_native_classes_on_a_loop_that_is_not_ours() -> None:
    loop = asyncio.SelectorEventLoop()

    async def main() -> str:
        future = riata.Future(loop=loop)
        loop.call_later(0.001, future.set_result, "result")
        group = [riata.Task(asyncio.sleep(0, number), loop=loop) for number in range(5)]
        assert await asyncio.gather(*group) == list(range(5))
        async with asyncio.timeout(10):
            return str(await future)

    task = riata.Task(main(), loop=loop, name="foreign")
    assert loop.run_until_complete(task) == "result"
    assert task.get_loop() is loop

    async def forever() -> None:
        await riata.Future(loop=loop)

    task = riata.Task(forever(), loop=loop)
    loop.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.set_task_factory(lambda loop, coro, **options: riata.Task(coro, loop=loop, **options))
    assert isinstance(loop.run_until_complete(which_task()), riata.Task)
    loop.close()


async def which_task() -> Any:
    return asyncio.current_task()


def test_isinstance_both_ways() -> None:
    loop = riata.new_event_loop()
    future = loop.create_future()
    task = loop.create_task(asyncio.sleep(0))
    handle, timer = loop.call_soon(print), loop.call_later(1, print)
    for one, classes in (
        (future, (asyncio.Future, riata.Future)),
        (task, (asyncio.Future, asyncio.Task, riata.Future, riata.Task)),
        (handle, (asyncio.Handle, riata.Handle)),
        (timer, (asyncio.Handle, asyncio.TimerHandle, riata.Handle, riata.TimerHandle)),
        (loop, (asyncio.AbstractEventLoop, riata.Loop)),
    ):
        for cls in classes:
            assert isinstance(one, cls)
    assert not isinstance(future, asyncio.Task)
    assert asyncio.isfuture(future)
    assert asyncio.isfuture(task)
    handle.cancel()
    timer.cancel()
    loop.run_until_complete(task)
    loop.close()


def test_eager_task_factory(run: Callable[..., Any]) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("eager tasks came with 3.12")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        order: list[Any] = []

        async def at_once() -> str:
            order.append("ran")
            order.append(asyncio.current_task())
            return "result"

        outer = asyncio.current_task()
        task = asyncio.create_task(at_once(), name="eager")
        assert task.done()
        assert task.result() == "result"
        assert order == ["ran", task]
        assert asyncio.current_task() is outer

        async def later() -> None:
            await asyncio.sleep(0)

        task = asyncio.create_task(later())
        assert not task.done()
        assert task in asyncio.all_tasks()
        await task

        async def fails() -> None:
            raise ValueError("eager")

        task = asyncio.create_task(fails())
        assert task.done()
        with pytest.raises(ValueError, match="eager"):
            await task

    run(main())


@pytest.mark.parametrize("cls", ["native", "c"])
def test_eager_start_of_a_task(run: Callable[..., Any], cls: str) -> None:
    if cls == "c" and sys.version_info < (3, 12):
        pytest.skip("eager tasks came with 3.12")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        order: list[str] = []

        async def body(name: str, awaited: Any) -> None:
            order.append(f"{name} begins")
            await awaited
            order.append(f"{name} ends")

        future = loop.create_future()
        first = TASKS[cls](body("first", future), loop=loop, eager_start=True)
        second = TASKS[cls](body("second", first), loop=loop, eager_start=True)
        assert order == ["first begins", "second begins"]
        future.set_result(None)
        await second
        assert order[2:] == ["first ends", "second ends"]

        async def exits() -> None:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            TASKS[cls](exits(), loop=loop, eager_start=True)
        assert asyncio.current_task() is not None

    run(main())


def test_uncancel_and_cancelling(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async def stubborn() -> str:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == 2
                assert task.uncancel() == 1
                assert task.uncancel() == 0
                assert task.uncancel() == 0
            await asyncio.sleep(0)
            return "survived"

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        assert task.cancelling() == 0
        assert task.cancel("one")
        assert task.cancel("two")
        assert task.cancelling() == 2
        assert await task == "survived"
        assert task.cancelling() == 0
        assert task.cancel() is False
        assert task.cancelling() == 0

    run(main())


def test_uncancel_before_the_step(run: Callable[..., Any], request: pytest.FixtureRequest) -> None:
    """Taking the last request back keeps the coroutine from seeing CancelledError: asyncio's own since 3.13."""
    forgets = sys.version_info >= (3, 13) or request.node.callspec.params["loop_factory"] == "riata"

    async def main() -> bool:
        async def body() -> str:
            return "ran"

        task = asyncio.create_task(body())
        task.cancel()
        task.uncancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main()) is not forgets


def test_get_stack_and_print_stack(run: Callable[..., Any]) -> None:
    import io

    async def inner() -> None:
        await asyncio.sleep(1000)

    async def outer() -> None:
        await inner()

    async def fails() -> None:
        raise ValueError("failed")

    async def main() -> None:
        task = asyncio.create_task(outer())
        await asyncio.sleep(0)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer"]
        assert len(task.get_stack(limit=1)) == 1
        text = io.StringIO()
        task.print_stack(file=text)
        assert "Stack for <Task pending" in text.getvalue()
        assert "await inner()" in text.getvalue()
        task.cancel()
        failed = asyncio.create_task(fails())
        await asyncio.wait([task, failed])
        assert [frame.f_code.co_name for frame in failed.get_stack()] == ["fails"]
        text = io.StringIO()
        failed.print_stack(file=text)
        assert "Traceback for <Task finished" in text.getvalue()
        assert "ValueError: failed" in text.getvalue()
        assert task.get_stack() == []

    run(main())


def test_subclasses_from_python(run: Callable[..., Any]) -> None:
    class Task(riata.Task):
        def __init__(self, *args: Any, **options: Any) -> None:
            self.extra = "extra"
            super().__init__(*args, **options)

        def set_name(self, value: object) -> None:
            super().set_name(f"<{value}>")

    class Future(riata.Future):
        def __init__(self, *, loop: Any) -> None:
            super().__init__(loop=loop)
            self.results: list[Any] = []

        def set_result(self, result: Any) -> None:
            self.results.append(result)
            super().set_result(result)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = Future(loop=loop)

        async def wait() -> Any:
            return await future

        task = Task(wait(), loop=loop)
        task.set_name("name")
        assert task.get_name() == "<name>"
        assert isinstance(task, asyncio.Task)
        assert isinstance(task, Task)
        assert task in asyncio.all_tasks()
        await asyncio.sleep(0)
        future.set_result(1)
        assert await task == 1
        assert future.results == [1]
        assert task.extra == "extra"

    run(main())


def test_objects_that_were_never_initialized_do_what_asyncios_do() -> None:
    uses: list[Callable[[Any], Any]] = [
        lambda one: one.get_loop(),
        lambda one: one.add_done_callback(print),
        lambda one: one.remove_done_callback(print),
        lambda one: one.cancel(),
        lambda one: one.done(),
        lambda one: one.cancelled(),
        lambda one: one.__await__(),
        lambda one: one.result(),
        lambda one: one.exception(),
        lambda one: one.set_result(1),
        lambda one: one.set_exception(ValueError()),
    ]

    def outcome(cls: Any, use: Callable[[Any], Any]) -> str:
        try:
            return repr(use(cls.__new__(cls)))
        except Exception as error:
            return type(error).__name__

    for mine, theirs in ((riata.Future, asyncio.Future), (riata.Task, asyncio.Task)):
        assert [outcome(mine, use) for use in uses] == [outcome(theirs, use) for use in uses]


def test_classes_put_at_asyncio_s_names_are_what_a_loop_makes(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    python_task, python_future = TASKS["python"], FUTURES["python"]
    monkeypatch.setattr(asyncio.tasks, "Task", python_task)
    monkeypatch.setattr(asyncio.futures, "Future", python_future)

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def answer() -> int:
            return 42

        assert type(loop.create_future()) is python_future
        task = asyncio.create_task(answer())
        assert type(task) is python_task
        assert await task == 42

    run(main())
