"""What `sleep` returns is a coroutine, wherever one is asked for."""

import asyncio
import collections.abc
import gc
import inspect
import pickle
import sys
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.combine import MODULES, module

LIB = pytest.mark.parametrize("lib", MODULES)
Run = Callable[[Any], Any]


@LIB
def test_it_is_a_coroutine_function(lib: str) -> None:
    sleep = module(lib).sleep
    assert inspect.iscoroutinefunction(sleep)
    assert str(inspect.signature(sleep)) == "(delay, result=None)"
    assert sleep.__name__ == sleep.__qualname__ == "sleep"
    assert sleep.__doc__ == asyncio.sleep.__doc__
    assert pickle.loads(pickle.dumps(sleep)) is sleep
    assert weakref.ref(sleep)() is sleep


@LIB
def test_what_it_returns_is_a_coroutine(lib: str) -> None:
    coro = module(lib).sleep(0)
    assert inspect.iscoroutine(coro)
    assert inspect.isawaitable(coro)
    assert asyncio.iscoroutine(coro)
    assert isinstance(coro, collections.abc.Coroutine)
    assert isinstance(coro, types.CoroutineType)
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CREATED
    assert coro.cr_await is None
    assert coro.cr_code.co_name == "sleep"
    assert coro.cr_frame.f_code is coro.cr_code
    assert repr(coro).startswith("<coroutine object sleep at 0x")
    coro.close()
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
    assert coro.cr_frame is None


@LIB
def test_driven_by_hand(lib: str) -> None:
    coro = module(lib).sleep(0, "result")
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coro.send(1)
    assert coro.send(None) is None
    assert inspect.getcoroutinestate(coro) == inspect.CORO_SUSPENDED
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    assert stop.value.value == "result"
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.throw(ValueError())
    coro.close()


@LIB
@pytest.mark.parametrize("result", [(), (1, 2), ValueError("a value"), StopIteration(3), None])
def test_results_that_stop_iteration_could_take_apart(lib: str, result: Any, run: Run) -> None:
    async def main() -> None:
        assert await module(lib).sleep(0, result) is result
        assert await module(lib).sleep(0.001, result) is result
        assert await asyncio.create_task(module(lib).sleep(0, result)) is result

    run(main())


@LIB
def test_thrown_into_before_it_began(lib: str) -> None:
    coro = module(lib).sleep(1)
    with pytest.raises(ZeroDivisionError):
        coro.throw(ZeroDivisionError)
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coro.send(None)


@LIB
def test_thrown_into_while_it_waits(lib: str, run: Run) -> None:
    async def main() -> None:
        coro = module(lib).sleep(3600)
        future = coro.send(None)
        assert isinstance(future, asyncio.Future)
        with pytest.raises(KeyError):
            coro.throw(KeyError("key"))
        assert not future.done()

    run(main())


@LIB
def test_never_awaited_warns(lib: str) -> None:
    with pytest.warns(RuntimeWarning, match="coroutine 'sleep' was never awaited"):
        module(lib).sleep(0)


@LIB
def test_debug_mode_keeps_where_it_was_made(lib: str) -> None:
    async def main() -> None:
        coro = module(lib).sleep(0)
        assert coro.cr_origin[0][0] == __file__
        assert coro.cr_origin[0][2] == "main"
        assert len(coro.cr_origin) > 1
        await coro

    loop = module(lib).new_event_loop()
    loop.set_debug(True)
    loop.run_until_complete(main())
    loop.close()


@LIB
def test_closed_or_awaited_does_not_warn(lib: str, run: Run) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(lib).sleep(0).close()
        run(module(lib).sleep(0))
        gc.collect()


@LIB
def test_one_that_waits_is_closed_when_it_dies(lib: str, run: Run) -> None:
    async def main() -> None:
        coro = module(lib).sleep(3600)
        future = coro.send(None)
        del coro
        gc.collect()
        assert not future.done()

    run(main())


@LIB
def test_wrong_arguments_are_refused_in_the_same_words(lib: str) -> None:
    sleep = module(lib).sleep
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: sleep(), "missing 1 required positional argument: 'delay'"),
        (lambda: sleep(1, 2, 3), "takes from 1 to 2 positional arguments but 3 were given"),
        (lambda: sleep(1, delay=2), "got multiple values for argument 'delay'"),
        (lambda: sleep(1, what=2), "got an unexpected keyword argument 'what'"),
    ]
    for call, text in cases:
        with pytest.raises(TypeError, match=text):
            call()


@LIB
def test_arguments_by_name_and_unpacked(lib: str, run: Run) -> None:
    async def main() -> None:
        sleep = module(lib).sleep
        assert await sleep(delay=0, result=1) == 1
        assert await sleep(*(0,), **{"res" + "ult": 2}) == 2
        assert await sleep.__call__(0, result=3) == 3

    run(main())


@LIB
def test_a_task_of_one_looks_like_any_other(lib: str, run: Run) -> None:
    async def main() -> None:
        task = asyncio.create_task(module(lib).sleep(0.001))
        assert "coro=<sleep() running at " in repr(task)
        await asyncio.sleep(0)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["sleep"]
        await task
        assert "coro=<sleep() done, defined at " in repr(task)

    run(main())


@LIB
def test_a_function_in_a_class_is_a_method(lib: str, run: Run) -> None:
    class Delay(float):
        sleep = module(lib).sleep

    async def main() -> None:
        assert await Delay(0.0).sleep("result") == "result"
        assert Delay.sleep is module(lib).sleep

    run(main())


@LIB
def test_awaited_in_chains(lib: str, run: Run) -> None:
    async def outer() -> str:
        result: str = await module(lib).sleep(0.001, "deep")
        return result

    async def main() -> None:
        coro = outer()
        task = asyncio.create_task(coro)
        await asyncio.sleep(0)
        inner = coro.cr_await
        assert inner is not None
        assert inner.cr_code.co_name == "sleep"  # type: ignore[attr-defined]
        assert await task == "deep"

    run(main())


@LIB
def test_awaited_twice_at_once(lib: str, run: Run) -> None:
    async def main() -> None:
        coro = module(lib).sleep(0)

        async def use() -> None:
            await coro

        first, second = asyncio.create_task(use()), asyncio.create_task(use())
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "RuntimeError"]

    run(main())


def test_cycles_are_collected() -> None:
    import riata

    class Marked:
        pass

    marked: Any = Marked()
    marked.coro = riata.sleep(0, marked)
    reference = weakref.ref(marked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del marked
        gc.collect()
    assert reference() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the mark is of 3.12")
def test_it_may_be_marked() -> None:
    import riata

    assert inspect.markcoroutinefunction(riata.sleep) is riata.sleep
    assert inspect.iscoroutinefunction(riata.sleep)
