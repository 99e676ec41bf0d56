"""`riata.legacy`: what Python took away from asyncio, on asyncio's loop and on riata's, each with one warning."""

import asyncio
import subprocess
import sys
from textwrap import dedent

import pytest

# How `enable` and `install` may come together.
WAYS = {
    "asyncio": "riata.legacy.enable()",
    "riata": "riata.install(); riata.legacy.enable(); riata.legacy.enable()",
    "installed afterwards": "riata.legacy.enable(); riata.install(); riata.install()",
    "reinstalled": "riata.install(); riata.legacy.enable(); riata.uninstall(); riata.install()",
    "the loop alone": "riata.install(primitives=False); riata.legacy.enable()",
}

PRELUDE = """
import riata, riata.legacy
WAY
import asyncio, contextlib, os, subprocess, sys, threading, types, warnings

@contextlib.contextmanager
def warned(*texts):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [w.category for w in caught] == [DeprecationWarning] * len(texts), [str(w.message) for w in caught]
    for warning, text in zip(caught, texts):
        assert text in str(warning.message), warning.message
        assert warning.filename == "<string>", warning.filename

"""


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    return WAYS[request.param]


def run(way: str, program: str, before: str = "") -> None:
    text = before + PRELUDE.replace("WAY", way) + dedent(program)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr


def test_generators_are_coroutines(way: str) -> None:
    run(
        way,
        """
        with warned(*["write async def"] * 3):
            @asyncio.coroutine
            def worker(n):
                yield from asyncio.sleep(0)
                future = asyncio.get_running_loop().create_future()
                future.set_result(n)
                return (yield from future) + (yield from plain())

            @asyncio.coroutine
            def plain():
                return native()  # what it returns is awaited

            @asyncio.coroutine
            async def native():
                return 40

        def undecorated():
            yield
            return 7

        async def main():
            assert await worker(2) == 42
            assert await asyncio.gather(worker(1), worker(2), undecorated()) == [41, 42, 7]
            assert await asyncio.create_task(worker(3)) == 43
            assert await asyncio.ensure_future(worker(4)) == 44
            assert await asyncio.wait_for(worker(5), 10) == 45
            assert await asyncio.shield(worker(6)) == 46
            assert [await each for each in asyncio.as_completed([worker(7)])] == [47]
            assert "worker" in repr(task := asyncio.create_task(worker(8)))
            assert await task == 48
            return await worker(9)

        assert asyncio.run(main()) == 49
        assert asyncio.run(worker(0)) == 40
        assert asyncio.iscoroutine(made := worker(1))
        made.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert asyncio.iscoroutinefunction(worker) and asyncio.iscoroutinefunction(plain)
            assert asyncio.iscoroutinefunction(asyncio.sleep) and asyncio.iscoroutinefunction(asyncio.wait)
        """,
    )


def test_loop_of_functions(way: str) -> None:
    run(
        way,
        """
        gone = "leave it out"

        async def value(n):
            return n

        async def main():
            loop = asyncio.get_running_loop()
            for given in (loop, None):
                with warned(gone):
                    assert await asyncio.sleep(0, 5, loop=given) == 5
                with warned(gone):
                    assert await asyncio.gather(value(1), value(2), loop=given) == [1, 2]
                with warned(gone):
                    assert await asyncio.gather(loop=given) == []
                with warned(gone):
                    assert await asyncio.gather(fail(), loop=given, return_exceptions=True) == [error]
                twice = value(3)
                with warned(gone):
                    assert await asyncio.gather(twice, twice, loop=given) == [3, 3]
                with warned(gone):
                    done, pending = await asyncio.wait([asyncio.ensure_future(value(4))], loop=given, timeout=5)
                assert [each.result() for each in done] == [4] and not pending
                with warned(gone):
                    assert await asyncio.wait_for(value(5), 10, loop=given) == 5
                with warned(gone):
                    assert await asyncio.shield(value(6), loop=given) == 6
                with warned(gone):
                    completed = asyncio.as_completed([value(7), value(8)], loop=given, timeout=10)
                assert {await each for each in completed} == {7, 8}
                with warned(gone):
                    server = await asyncio.start_server(serve, "127.0.0.1", 0, loop=given)
                port = server.sockets[0].getsockname()[1]
                with warned(gone):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, loop=given, limit=100)
                assert await reader.read() == b"hello"
                writer.close()
                await writer.wait_closed()
                server.close()
                with warned(gone):
                    child = await asyncio.create_subprocess_exec("true", loop=given)
                assert await child.wait() == 0
                with warned(gone):
                    child = await asyncio.subprocess.create_subprocess_shell("exit 3", loop=given)
                assert await child.wait() == 3
                assert await asyncio.ensure_future(value(9), loop=given) == 9
            with warned():
                assert await asyncio.gather(asyncio.sleep(0, 1), value(2)) == [1, 2]
                await asyncio.wait([asyncio.ensure_future(value(4))])

        error = ValueError("no")

        async def fail():
            raise error

        async def serve(reader, writer):
            writer.write(b"hello")
            writer.close()

        asyncio.run(main())
        loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
        with warned(gone):
            assert loop.run_until_complete(asyncio.sleep(0, 1, loop=loop)) == 1
        with warned(gone):
            gathered = asyncio.gather(value(1), value(2), loop=loop)
        assert loop.run_until_complete(gathered) == [1, 2]
        with warned(gone):
            sleeping = asyncio.sleep(0, loop=other)
        try:
            loop.run_until_complete(sleeping)
        except RuntimeError as refused:
            assert "another loop" in str(refused)
        else:
            raise AssertionError("ran on the wrong loop")
        loop.close()
        other.close()
        """,
    )


def test_loop_of_locks_and_queues(way: str) -> None:
    run(
        way,
        """
        class Mine(asyncio.Queue):
            def __init__(self, size, loop):
                super().__init__(size, loop=loop)
                self.size = size

        loop = asyncio.new_event_loop()
        made = []
        for given in (loop, None):
            for make in (
                asyncio.Lock, asyncio.Event, asyncio.Condition, asyncio.Semaphore, asyncio.BoundedSemaphore,
                asyncio.Queue, asyncio.PriorityQueue, asyncio.LifoQueue,
            ):
                with warned("leave it out"):
                    made.append(make(loop=given))
                assert isinstance(made[-1], make)
                assert made[-1]._loop is given
            with warned("leave it out"):
                made.append(asyncio.Semaphore(2, loop=given))
            assert not made[-1].locked() and made[-1]._value == 2
            with warned("leave it out"):
                mine = Mine(1, given)
            mine.put_nowait(1)
            assert mine.full()
        with warned():
            for make in (asyncio.Lock, asyncio.Queue, asyncio.BoundedSemaphore):
                make()

        async def main():
            for lock in made:
                if hasattr(lock, "acquire"):
                    async with lock:
                        pass
                if hasattr(lock, "put"):
                    getting = asyncio.ensure_future(lock.get())
                    await asyncio.sleep(0)
                    await lock.put(1)
                    assert await getting == 1
                    lock.task_done()
                    await lock.join()

        loop.run_until_complete(main())
        loop.close()
        """,
    )


def test_a_lock_of_another_loop_is_refused(way: str) -> None:
    run(
        way,
        """
        loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
        with warned("leave it out"):
            event = asyncio.Event(loop=other)
        try:
            loop.run_until_complete(event.wait())
        except RuntimeError as refused:
            assert "is bound to a different event loop" in str(refused)
        else:
            raise AssertionError("waited on the wrong loop")
        loop.close()
        other.close()
        """,
    )


def test_locks_are_acquired_by_yield_from_and_await(way: str) -> None:
    run(
        way,
        """
        async def main():
            for make in (asyncio.Lock, asyncio.Condition, asyncio.Semaphore, asyncio.BoundedSemaphore):
                lock = make()
                with warned("write async with lock"):
                    held = await lock
                with held as nothing:
                    assert nothing is None and lock.locked()
                assert not lock.locked()

                @types.coroutine
                def old():
                    with warned("write async with lock"):
                        held = yield from lock
                    with held:
                        assert lock.locked()

                await old()
                assert not lock.locked()
                try:
                    with lock:
                        pass
                except RuntimeError as error:
                    assert "yield from" in str(error)

        asyncio.run(main())
        """,
    )


def test_wait_takes_coroutines(way: str) -> None:
    run(
        way,
        """
        async def value(n):
            await asyncio.sleep(0)
            return n

        async def main():
            for given in ([value(1), value(2)], {value(1), value(2)}, (value(n) for n in (1, 2))):
                with warned("asyncio.create_task"):
                    done, pending = await asyncio.wait(given)
                assert {each.result() for each in done} == {1, 2} and not pending
            same = value(3)
            with warned("asyncio.create_task"):
                done, _ = await asyncio.wait([same, same, asyncio.ensure_future(value(4))], return_when="ALL_COMPLETED")
            assert {each.result() for each in done} == {3, 4}
            for wrong in (asyncio.ensure_future(value(5)), same):
                try:
                    await asyncio.wait(wrong)
                except TypeError:
                    pass
                else:
                    raise AssertionError(wrong)
            for wrong, error in ((5, TypeError), ([], ValueError)):
                try:
                    await asyncio.wait(wrong)
                except error:
                    pass
                else:
                    raise AssertionError(wrong)

        asyncio.run(main())
        """,
    )


def test_the_main_thread_gets_a_loop(way: str) -> None:
    run(
        way,
        """
        with warned("use asyncio.run"):
            loop = asyncio.get_event_loop()
        with warned():
            assert asyncio.get_event_loop() is loop
            assert isinstance(loop, riata.Loop) is ("install(" in WAY)
            future = asyncio.Future()
            assert future.get_loop() is loop

        async def main():
            return asyncio.get_event_loop()

        task = loop.create_task(main())
        assert loop.run_until_complete(task) is loop
        loop.call_soon(future.set_result, 5)
        assert loop.run_until_complete(future) == 5
        gathered = asyncio.gather(main())
        assert loop.run_until_complete(gathered) == [loop]
        assert loop.run_until_complete(asyncio.ensure_future(main())) is loop
        loop.close()

        def elsewhere():
            try:
                asyncio.get_event_loop()
            except RuntimeError as error:
                assert "There is no current event loop in thread" in str(error)
            else:
                raise AssertionError("a loop in another thread")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        asyncio.run(main())
        elsewhere()  # asyncio.run has left none
        """.replace("WAY", repr(way)),
    )


@pytest.mark.parametrize("make", ["asyncio.Future()", "asyncio.gather()", "asyncio.ensure_future(value())"])
def test_what_is_made_before_any_loop_makes_one(way: str, make: str) -> None:
    run(
        way,
        f"""
        async def value():
            return []

        with warned("use asyncio.run"):
            future = {make}
        loop = asyncio.get_event_loop()
        assert future.get_loop() is loop
        if type(future).__name__ == "Future" and not future.done():
            future.set_result([])
        assert loop.run_until_complete(future) == []
        loop.close()
        """,
    )


def test_methods_of_the_task_class(way: str) -> None:
    run(
        way,
        """
        class Mine(asyncio.Task):
            pass

        async def main():
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            for given in ([], [None], [loop]):
                for owner in (asyncio.Task, asyncio.tasks.Task, type(task), Mine, task):
                    with warned("use asyncio.current_task"):
                        assert owner.current_task(*given) is task
                    with warned("use asyncio.all_tasks"):
                        assert owner.all_tasks(*given) == {task}
            with warned("use asyncio.all_tasks"):
                assert asyncio.Task.all_tasks(loop=loop) == {task}

        asyncio.run(main())
        """,
    )


@pytest.mark.skipif(sys.version_info < (3, 14), reason="this Python has child watchers still")
def test_child_watchers(way: str) -> None:
    run(
        way,
        """
        with warned("watches its own children"):
            watcher = asyncio.get_child_watcher()
        with warned("watches its own children"):
            assert asyncio.get_child_watcher() is watcher
        with warned("watches its own children"):
            mine = asyncio.SafeChildWatcher()
        with warned("watches its own children"):
            asyncio.set_child_watcher(mine)
        assert isinstance(mine, asyncio.AbstractChildWatcher)
        with warned("watches its own children"):
            assert asyncio.get_child_watcher() is mine
        for name in ("Fast", "Threaded", "Pidfd", "MultiLoop"):
            with warned("watches its own children"):
                getattr(asyncio, name + "ChildWatcher")()
        with warned("watches its own children"):
            class Mine(asyncio.AbstractChildWatcher):
                pass

        async def main():
            loop = asyncio.get_running_loop()
            for attached in (None, loop):
                mine.attach_loop(attached)
                ended = loop.create_future()
                with mine:
                    child = subprocess.Popen(["sh", "-c", "exit 7"])
                    mine.add_child_handler(child.pid, lambda *args: ended.set_result(args), "more")
                assert mine.is_active()
                assert await ended == (child.pid, 7, "more")
                child.returncode = 7
            assert not mine.remove_child_handler(child.pid)
            child = await asyncio.create_subprocess_exec("true")
            assert await child.wait() == 0

        asyncio.run(main())
        mine.close()
        """,
    )


# What asyncio is without policies.
WITHOUT_POLICIES = """
import asyncio, asyncio.events, asyncio.unix_events
import riata

for module in (asyncio, asyncio.events, asyncio.unix_events):
    for name in list(vars(module)):
        if "olicy" in name:
            delattr(module, name)
del riata.EventLoopPolicy
asyncio.new_event_loop = asyncio.events.new_event_loop = asyncio.SelectorEventLoop
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="policies are replaced where a later Python has none")
def test_policies(way: str) -> None:
    run(
        way,
        """
        with warned("loop_factory"):
            default = asyncio.get_event_loop_policy()
        with warned("use asyncio.run"):
            first = asyncio.get_event_loop()
        first.close()
        assert isinstance(first, riata.Loop) is ("install(" in WAY)

        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                loop = super().new_event_loop()
                loop.mine = True
                return loop

        with warned("loop_factory"):
            asyncio.set_event_loop_policy(Policy())
        loop = asyncio.new_event_loop()
        assert loop.mine and isinstance(loop, riata.Loop) is ("install(" in WAY)
        asyncio.set_event_loop(loop)
        assert asyncio.get_event_loop() is loop
        loop.close()

        async def main():
            return asyncio.get_event_loop()

        assert asyncio.run(main()).mine
        with warned("loop_factory"):
            asyncio.set_event_loop_policy(None)
        try:
            with warned("loop_factory"):
                asyncio.set_event_loop_policy(5)
        except TypeError:
            pass
        """.replace("WAY", repr(way)),
        before=WITHOUT_POLICIES,
    )


def test_errors_say_what_they_said(way: str) -> None:
    run(
        way,
        """
        class NoIterator:
            def __await__(self):
                return "xxx"

        async def main():
            await NoIterator()

        try:
            asyncio.run(main())
        except TypeError as error:
            assert str(error) == "__await__() returned non-iterator of type 'str'", error
        else:
            raise AssertionError("awaited a string")
        """,
    )


def test_without_it_nothing_changes() -> None:
    import riata

    assert not hasattr(asyncio, "coroutine")
    assert not hasattr(asyncio.Task, "all_tasks")
    assert not hasattr(riata.Task, "all_tasks")
    with pytest.raises(TypeError):
        asyncio.Lock(loop=None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        riata.sleep(0, loop=None)  # type: ignore[call-arg]
