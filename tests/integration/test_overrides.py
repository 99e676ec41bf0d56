"""A subclass of the loop, or one loop object, that has a method of its own is asked it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

KINDS = ["subclass", "instance"]
LOOPS = ["asyncio", "riata"]


def base_class(kind: str) -> Any:
    if kind == "asyncio":
        return asyncio.SelectorEventLoop
    import riata

    return riata.Loop


def overriding(loop: str, kind: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Any:
    """A loop whose `name` is `make(original)`, by a subclass or on the instance."""
    base = base_class(loop)
    if kind == "instance":
        made = base()
        setattr(made, name, make(getattr(made, name)))
        return made

    def method(self: Any, *args: Any, **options: Any) -> Any:
        return make(lambda *a, **o: getattr(base, name)(self, *a, **o))(*args, **options)

    return type("Overriding", (base,), {name: method})()


def noting(calls: list[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def method(*args: Any, **options: Any) -> Any:
            calls.append(args)
            return original(*args, **options)

        return method

    return make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop_kind", LOOPS)
def test_call_soon_by_task_steps_and_done_callbacks(loop_kind: str, kind: str) -> None:
    calls: list[Any] = []
    loop = overriding(loop_kind, kind, "call_soon", noting(calls))

    def done(_: Any) -> None:
        pass

    async def main() -> None:
        future = loop.create_future()
        future.add_done_callback(done)
        for _ in range(3):
            await asyncio.sleep(0)
        loop.call_later(0, future.set_result, None)
        await future

    loop.run_until_complete(main())
    # The first step, three after sleep(0), the callback and the wake-up, run_until_complete's own callback.
    assert len(calls) == 7
    assert done in [call[0] for call in calls]
    loop.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop_kind", LOOPS)
def test_call_at_by_call_later(loop_kind: str, kind: str) -> None:
    calls: list[Any] = []
    loop = overriding(loop_kind, kind, "call_at", noting(calls))
    loop.run_until_complete(asyncio.sleep(0.001))
    assert len(calls) == 1
    loop.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop_kind", LOOPS)
def test_call_later_by_sleep(loop_kind: str, kind: str) -> None:
    calls: list[Any] = []
    loop = overriding(loop_kind, kind, "call_later", noting(calls))
    loop.run_until_complete(asyncio.sleep(0.001))
    assert [call[0] for call in calls] == [0.001]
    loop.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop_kind", LOOPS)
def test_time_by_timers(loop_kind: str, kind: str) -> None:
    now = 1000.0
    loop = overriding(loop_kind, kind, "time", lambda _: lambda: now)
    fired: list[str] = []
    assert loop.call_later(5, fired.append, "later").when() == 1005
    loop.call_at(1006, fired.append, "at")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert not fired
    now = 1005.5
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert fired == ["later"]
    now = 1007
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert fired == ["later", "at"]
    loop.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop_kind", LOOPS)
def test_call_exception_handler(loop_kind: str, kind: str) -> None:
    reports: list[Any] = []
    loop = overriding(loop_kind, kind, "call_exception_handler", lambda _: reports.append)

    def fail() -> None:
        raise ValueError("callback")

    async def failing() -> None:
        raise ValueError("task")

    async def main() -> None:
        future = loop.create_future()
        future.add_done_callback(lambda _: fail())
        future.set_result(None)
        loop.call_soon(fail)
        loop.call_later(0, fail)
        await asyncio.sleep(0.001)
        task = asyncio.create_task(failing())
        await asyncio.wait([task])

    loop.run_until_complete(main())
    words = [report["message"].split(" ")[0] for report in reports]
    assert words == ["Exception"] * 3 + ["Task"]
    loop.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop_kind", LOOPS)
def test_create_task_and_create_future(loop_kind: str, kind: str) -> None:
    tasks: list[Any] = []
    futures: list[Any] = []
    loop = overriding(loop_kind, kind, "create_task", noting(tasks))
    original = loop.create_future
    loop.create_future = lambda: futures.append(None) or original()

    async def main() -> None:
        await asyncio.create_task(asyncio.sleep(0.001))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))

    loop.run_until_complete(main())
    assert len(tasks) == 3
    assert futures
    loop.close()


@pytest.mark.parametrize("loop_kind", LOOPS)
def test_an_override_can_be_taken_back(loop_kind: str) -> None:
    calls: list[Any] = []
    loop = overriding(loop_kind, "instance", "call_soon", noting(calls))
    loop.run_until_complete(asyncio.sleep(0))
    count = len(calls)
    assert count
    del loop.call_soon
    loop.run_until_complete(asyncio.sleep(0))
    assert len(calls) == count
    loop.close()


@pytest.mark.parametrize("loop_kind", LOOPS)
def test_an_override_that_comes_while_the_loop_runs(loop_kind: str) -> None:
    loop = base_class(loop_kind)()
    calls: list[Any] = []

    async def main() -> None:
        loop.call_soon = noting(calls)(loop.call_soon)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del loop.call_soon

    loop.run_until_complete(main())
    assert len(calls) == 2
    loop.close()


@pytest.mark.parametrize("loop_kind", LOOPS)
def test_a_method_of_the_class_patched_between_two_runs(loop_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = base_class(loop_kind)
    loop = base()
    calls: list[Any] = []
    original = base.call_soon

    def call_soon(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(args)
        return original(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(base, "call_soon", call_soon)
        loop.run_until_complete(asyncio.sleep(0))
    assert calls
    loop.close()


@pytest.mark.parametrize("loop_kind", LOOPS)
def test_an_override_that_raises(loop_kind: str) -> None:
    loop = base_class(loop_kind)()

    async def main() -> str:
        future = loop.create_future()
        future.add_done_callback(print)

        def refuse(*_: Any, **__: Any) -> None:
            raise LookupError("refused")

        loop.call_soon = refuse
        try:
            future.set_result(None)
        except LookupError as error:
            return str(error)
        finally:
            del loop.call_soon
        return "not raised"

    assert loop.run_until_complete(main()) == "refused"
    loop.close()
