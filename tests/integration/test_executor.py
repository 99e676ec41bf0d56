"""Executors, names and asynchronous generators: what the loop does beside running."""

import asyncio
import concurrent.futures
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from .processes import output

both = pytest.mark.parametrize("kind", ["asyncio", "riata"])


def test_jobs_of_the_default_executor(run: Callable[..., Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        here = threading.get_ident()
        there = await loop.run_in_executor(None, threading.get_ident)
        assert there != here
        assert await asyncio.to_thread(sum, [1, 2, 3]) == 6
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 // 0)
        assert await asyncio.gather(*(loop.run_in_executor(None, pow, 2, n) for n in range(50))) == [
            2**n for n in range(50)
        ]
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="shutdown"):
            loop.run_in_executor(None, print)

    run(main())


def test_a_cancelled_job_that_has_not_begun_never_does(run: Callable[..., Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun, may_end = threading.Event(), threading.Event()
        ran: list[int] = []

        def hold() -> None:
            begun.set()
            may_end.wait()

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            holding = loop.run_in_executor(pool, hold)
            queued = loop.run_in_executor(pool, ran.append, 1)
            await loop.run_in_executor(None, begun.wait)
            queued.cancel()
            with pytest.raises(asyncio.CancelledError):
                await queued
            await asyncio.sleep(0)  # the job hears of it through a done callback
            may_end.set()
            await holding
            await loop.run_in_executor(pool, ran.append, 2)
        assert ran == [2]

    run(main())


def test_coroutines_run_from_other_threads(run: Callable[..., Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def work(fails: bool) -> str:
            await asyncio.sleep(0)
            if fails:
                raise LookupError("work")
            return "result"

        def elsewhere() -> str:
            with pytest.raises(LookupError):
                asyncio.run_coroutine_threadsafe(work(True), loop).result()
            waiting = asyncio.run_coroutine_threadsafe(asyncio.sleep(1000), loop)
            waiting.cancel()
            return asyncio.run_coroutine_threadsafe(work(False), loop).result()

        assert await asyncio.to_thread(elsewhere) == "result"

    run(main())


def test_the_default_executor_must_be_a_thread_pool(loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    with pytest.raises(TypeError):
        loop.set_default_executor(object())
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(pool)
    name = loop.run_until_complete(loop.run_in_executor(None, lambda: threading.current_thread().name))
    assert name.startswith("mine")
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_shutdown_with_a_limit_warns(run: Callable[..., Any]) -> None:
    if sys.version_info < (3, 12, 3):
        pytest.skip("no timeout before 3.12, and up to 3.12.2 asyncio's waits for the jobs all the same")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        may_end = threading.Event()
        job = loop.run_in_executor(None, may_end.wait)
        with pytest.warns(RuntimeWarning, match="did not finish"):
            await loop.shutdown_default_executor(timeout=0.01)
        may_end.set()
        await job

    run(main())


@both
def test_process_pools(kind: str) -> None:
    program = """
import concurrent.futures, multiprocessing

async def main():
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        loop = asyncio.get_running_loop()
        print(await asyncio.gather(*(loop.run_in_executor(pool, pow, 2, n) for n in range(5))))
        print(await loop.run_in_executor(pool, os.getpid) != os.getpid())

run(main())
"""
    assert output(kind, program, "-W", "ignore::DeprecationWarning") == ["[1, 2, 4, 8, 16]", "True"]


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_numeric_names_are_what_socket_says(run: Callable[..., Any], host: str, family: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for port in (80, "80", None, "http"):
            for wanted in (0, family):
                options = {"family": wanted, "type": socket.SOCK_STREAM}
                expected = socket.getaddrinfo(host, port, **options)
                assert await loop.getaddrinfo(host, port, **options) == expected
        assert await loop.getaddrinfo(host.encode(), 80) == socket.getaddrinfo(host, 80)
        assert await loop.getnameinfo((host, 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV) == (host, "80")

    run(main())


def test_names_that_need_no_look_up_need_no_thread() -> None:
    import riata

    loop = riata.new_event_loop()
    loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80))
    assert loop._default_executor is None
    loop.close()


def test_a_replaced_getaddrinfo_is_asked(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def getaddrinfo(*arguments: Any, **options: Any) -> list[Any]:
        asked.append(arguments[:2])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for host in ("example.invalid", "127.0.0.1"):
            assert (await loop.getaddrinfo(host, 80))[0][4] == ("10.0.0.1", 80)

    run(main())
    assert asked == [("example.invalid", 80), ("127.0.0.1", 80)]


def test_names_that_are_wrong(run: Callable[..., Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET6, flags=socket.AI_NUMERICHOST)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("not numeric", 80, flags=socket.AI_NUMERICHOST)
        with pytest.raises((OSError, OverflowError)):
            await loop.getaddrinfo("127.0.0.1", -1, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV, family=99)

    run(main())


def test_asynchronous_generators_are_closed(loop_factory: Callable[[], Any]) -> None:
    loop = loop_factory()
    closed: list[str] = []

    async def numbers(name: str) -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(name)

    kept = numbers("kept")

    async def main() -> None:
        async for _ in kept:
            break
        async for _ in numbers("dropped"):
            break
        for _ in range(5):  # the dropped one is closed by a task that its finalizer makes
            await asyncio.sleep(0)

    hooks = sys.get_asyncgen_hooks()
    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == hooks
    assert closed == ["dropped"]
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert closed == ["dropped", "kept"]

    late = numbers("late")

    async def begin() -> int:
        return await anext(late)

    with pytest.warns(ResourceWarning, match="was scheduled after"):
        loop.run_until_complete(begin())
    loop.run_until_complete(late.aclose())
    loop.close()


CREATE_TASK = """
import contextvars, inspect
variable = contextvars.ContextVar("variable", default="none")
context = contextvars.copy_context()
context.run(variable.set, "given")

class Name:
    def __str__(self):
        return "a name"

async def look():
    return variable.get(), asyncio.current_task().get_name()[:5]

async def main():
    loop = asyncio.get_running_loop()
    def factory(loop, coro, *args, **options):
        print("factory", args, {name: type(value).__name__ for name, value in sorted(options.items())})
        return asyncio.Task(coro, loop=loop, **options)
    for chosen in (None, factory):
        loop.set_task_factory(chosen)
        print(loop.get_task_factory() is chosen)
        for options in ({}, {"name": "mine"}, {"name": None}, {"name": 5}, {"name": Name()}, {"context": context},
                        {"context": None}, {"context": context, "name": "both"}, {"eager_start": True},
                        {"eager_start": False}, {"eager_start": None}, {"unknown": 1}, {"coro": 1}, {"loop": loop}):
            coroutine = look()
            try:
                task = loop.create_task(coroutine, **options)
                print(list(options), task.done(), await task)
            except Exception as error:
                print(list(options), type(error).__name__)
                coroutine.close()

run(main())
"""


def test_keywords_of_create_task_are_this_pythons() -> None:
    expected = output("asyncio", CREATE_TASK)
    assert output("riata", CREATE_TASK) == expected
