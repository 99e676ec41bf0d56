"""`riata.legacy`: what Python took away from asyncio, on asyncio's loop and on riata's, each with one warning."""

import asyncio
import sys

import pytest
from tests.integration.legacy import in_each_way, run


@in_each_way
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

        ended = []

        def endless():
            try:
                while True:
                    yield
            except BaseException as error:
                ended.append(type(error))
                raise

        async def main():
            assert await worker(2) == 42
            assert await asyncio.gather(worker(1), worker(2), undecorated()) == [41, 42, 7]
            assert await asyncio.create_task(worker(3)) == 43
            assert await asyncio.ensure_future(worker(4)) == 44
            assert await asyncio.wait_for(worker(5), 10) == 45
            assert await asyncio.wait_for(undecorated(), 10) == 7
            try:
                await asyncio.wait_for(endless(), 0.01)
            except TimeoutError:
                assert ended == [asyncio.CancelledError]
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


@in_each_way
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
@in_each_way
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


@in_each_way
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


@in_each_way
def test_joinable_queues(way: str) -> None:
    run(
        way,
        """
        async def main():
            with warned("use asyncio.Queue"):
                queue = asyncio.JoinableQueue(maxsize=1)
            assert isinstance(queue, asyncio.Queue) and isinstance(queue, asyncio.queues.JoinableQueue)
            queue.put_nowait(1)
            assert queue.full() and await queue.get() == 1
            queue.task_done()
            await queue.join()
            with warned("use asyncio.Queue", "leave it out"):
                asyncio.JoinableQueue(loop=asyncio.get_running_loop())

        asyncio.run(main())
        """,
    )


@pytest.mark.skipif(sys.version_info < (3, 14), reason="this Python has child watchers still")
@in_each_way
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
@in_each_way
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


@in_each_way
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


@in_each_way
def test_a_process_pool_as_the_default_executor(way: str) -> None:
    run(
        way,
        """
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        import multiprocessing

        async def main():
            loop = asyncio.get_running_loop()
            pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            with warned("loop.run_in_executor"):
                loop.set_default_executor(pool)
            assert await loop.run_in_executor(None, os.getpid) not in (os.getpid(), None)
            assert (await loop.getaddrinfo("127.0.0.1", 80))[0][4] == ("127.0.0.1", 80)
            await loop.shutdown_default_executor()

        asyncio.run(main())

        async def threads():
            with warned():
                asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
            assert await asyncio.to_thread(os.getpid) == os.getpid()

        asyncio.run(threads())
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
