"""`timeout`, `timeout_at`, `Timeout` and `wait_for`: asyncio's and riata's, on the loops of both."""

import abc
import asyncio
import gc
import sys
import typing
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.combine import MODULES, module, never

LIB = pytest.mark.parametrize("lib", MODULES)
Run = Callable[[Any], Any]


async def value(of: Any) -> Any:
    return of


@LIB
@pytest.mark.parametrize("debug", [False, True])
def test_the_states_of_a_timeout(lib: str, debug: bool, run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        timeout = module(lib).timeout(10)
        assert repr(timeout) == "<Timeout [created]>"
        assert not timeout.expired()
        with pytest.raises(RuntimeError, match="Timeout has not been entered"):
            timeout.reschedule(None)
        async with timeout as entered:
            assert entered is timeout
            assert loop.time() < timeout.when() <= loop.time() + 10
            assert repr(timeout) == f"<Timeout [active] when={round(timeout.when(), 3)}>"
            timeout.reschedule(None)
            assert repr(timeout) == "<Timeout [active] when=None>"
            timeout.reschedule(later := loop.time() + 5)
            assert timeout.when() == later
            with pytest.raises(RuntimeError, match="already been entered"):
                await timeout.__aenter__()
        assert repr(timeout) == "<Timeout [finished]>"
        with pytest.raises(RuntimeError, match="Cannot change state of finished Timeout"):
            timeout.reschedule(None)
        with pytest.raises(AssertionError):
            await timeout.__aexit__(None, None, None)

    run(main())


@LIB
@pytest.mark.parametrize("delay", [0, -1, 0.001, True])
def test_it_expires(lib: str, delay: float, run: Run) -> None:
    async def main() -> None:
        if delay is True:
            return
        with pytest.raises(TimeoutError) as raised:
            async with module(lib).timeout(delay) as timeout:
                await never()
        assert timeout.expired()
        assert repr(timeout) == "<Timeout [expired]>"
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        assert raised.value.__context__ is raised.value.__cause__
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())


@LIB
def test_expiring_and_being_cancelled_at_once(lib: str, run: Run) -> None:
    async def body(timeout: Any) -> None:
        async with timeout:
            await never()

    async def main() -> None:
        timeout = module(lib).timeout(None)
        task = asyncio.create_task(body(timeout))
        await asyncio.sleep(0)
        timeout.reschedule(0)
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


@LIB
def test_nested_timeouts(lib: str, run: Run) -> None:
    async def main() -> None:
        lib_timeout = module(lib).timeout
        with pytest.raises(TimeoutError):
            async with lib_timeout(None) as outer, asyncio.timeout(0.001) as inner:
                await never()
        assert not outer.expired()
        assert inner.expired()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0) as first, lib_timeout(0) as second:
                await never()
        assert first.expired()
        assert second.expired()

    run(main())


@LIB
def test_an_exception_of_its_own_stays(lib: str, run: Run) -> None:
    async def main() -> None:
        async def clumsy() -> None:
            try:
                await never()
            except asyncio.CancelledError:
                raise ZeroDivisionError  # noqa: B904 (the context is what is tested)

        with pytest.raises(ZeroDivisionError) as raised:
            async with module(lib).timeout(0.001):
                await clumsy()
        expected = TimeoutError if sys.version_info >= (3, 13) else asyncio.CancelledError
        assert type(raised.value.__context__) is expected

    run(main())


@LIB
def test_without_a_task_or_a_loop(lib: str, loop_factory: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        module(lib).timeout(1)
    timeout = module(lib).timeout_at(None)
    loop = loop_factory()
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            timeout.__aenter__().send(None)
        except RuntimeError as error:
            failures.append(error)
        loop.stop()

    loop.call_soon(enter)
    loop.run_forever()
    loop.close()
    assert str(failures[0]) == "Timeout should be used inside a task"


@LIB
def test_timeout_at(lib: str, run: Run) -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with module(lib).timeout_at(now):
                await never()
        with pytest.raises(TimeoutError):
            async with module(lib).timeout_at(now + 0.001) as timeout:
                await never()
        assert timeout.when() == now + 0.001

    run(main())


@LIB
def test_overridden_call_at_and_time_are_asked(lib: str, loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    calls: list[float] = []
    original = loop.call_at

    def call_at(when: float, callback: Any, *args: Any, **options: Any) -> Any:
        calls.append(when)
        return original(when, callback, *args, **options)

    async def main() -> None:
        async with module(lib).timeout_at(loop.time() + 50) as timeout:
            pass
        assert calls == [timeout.when()]
        loop.time = lambda: 1000.0
        assert module(lib).timeout(5).when() == 1005.0
        del loop.time

    loop.call_at = call_at
    loop.run_until_complete(main())
    del loop.call_at
    loop.close()


@pytest.mark.parametrize("made_by", MODULES)
@pytest.mark.parametrize("known_as", MODULES)
def test_isinstance_holds_both_ways(made_by: str, known_as: str) -> None:
    timeout = module(made_by).Timeout(None)
    assert isinstance(timeout, module(known_as).Timeout)
    assert not isinstance(3, module(known_as).Timeout)
    assert issubclass(type(timeout), module("riata").Timeout)


def test_subclasses() -> None:
    import riata

    calls: list[Any] = []

    class Mine(riata.Timeout):
        def reschedule(self, when: float | None) -> None:
            calls.append(when)
            super().reschedule(when)

    class Abstract(riata.Timeout, abc.ABC):
        pass

    class Named(typing.Protocol):
        name: str

    class Structural(riata.Timeout, Named):
        name = "structural"

    async def main() -> None:
        async with Mine(None) as timeout:
            pass
        assert isinstance(timeout, asyncio.Timeout)
        assert isinstance(timeout, Mine)
        assert calls == [None]
        async with Abstract(None), Structural(None):
            pass

    asyncio.run(main())


def test_cycles_are_collected() -> None:
    import riata

    class Marked:
        pass

    timeout: Any = riata.Timeout(None)
    timeout.marked = Marked()
    timeout.marked.timeout = timeout
    reference = weakref.ref(timeout.marked)
    del timeout
    gc.collect()
    assert reference() is None


@LIB
@pytest.mark.parametrize("timeout", [None, 10, 10.5])
def test_wait_for_in_time(lib: str, timeout: float | None, run: Run) -> None:
    async def main() -> None:
        wait_for = module(lib).wait_for
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, 2)
        assert await wait_for(value(1), timeout) == 1
        assert await wait_for(future, timeout) == 2
        assert await wait_for(asyncio.create_task(value(3)), timeout=timeout) == 3
        assert await wait_for(fut=module(lib).sleep(0, 4), timeout=timeout) == 4
        assert await asyncio.create_task(wait_for(value(5), timeout)) == 5
        with pytest.raises(ZeroDivisionError):
            await wait_for(fail(), timeout)
        with pytest.raises(TypeError):
            await wait_for("text", timeout)

    run(main())


async def fail() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


@LIB
@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_wait_for_too_long(lib: str, timeout: float, run: Run) -> None:
    async def main() -> None:
        wait_for = module(lib).wait_for
        with pytest.raises(TimeoutError) as raised:
            await wait_for(never(), timeout)
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        task = asyncio.create_task(never())
        with pytest.raises(TimeoutError):
            await wait_for(task, timeout)
        assert task.cancelled()
        done = asyncio.get_running_loop().create_future()
        done.set_result("done")
        assert await wait_for(done, timeout) == "done"
        shielded = asyncio.create_task(never())
        with pytest.raises(TimeoutError):
            await wait_for(module(lib).shield(shielded), timeout)
        assert not shielded.done()
        shielded.cancel()

    run(main())


@LIB
@pytest.mark.parametrize("timeout", [None, 0, 10])
def test_wait_for_is_cancelled(lib: str, timeout: float | None, run: Run) -> None:
    async def stubborn() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "stubborn"
        return ""

    async def main() -> None:
        inner = asyncio.create_task(stubborn() if timeout == 0 else never())
        await asyncio.sleep(0)
        outer = asyncio.create_task(module(lib).wait_for(inner, timeout))
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        await asyncio.wait([inner])

    run(main())


@LIB
def test_what_catches_the_cancellation_has_the_last_word(lib: str, run: Run) -> None:
    async def stubborn() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            return "stubborn"
        return ""

    async def main() -> None:
        assert await module(lib).wait_for(stubborn(), 0.001) == "stubborn"
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        assert await module(lib).wait_for(task, 0) == "stubborn"

    run(main())


@LIB
def test_a_coroutine_that_somebody_awaits(lib: str, run: Run) -> None:
    async def main() -> None:
        coro = never()
        task = asyncio.create_task(coro)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await module(lib).wait_for(coro, 10)
        task.cancel()

    if sys.version_info >= (3, 12):  # 3.11 makes a task of it, which fails otherwise
        run(main())
