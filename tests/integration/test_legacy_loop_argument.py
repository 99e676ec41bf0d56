"""`riata.legacy`: what functions, locks and queues of asyncio took once, on both loops, with one warning each."""

from tests.integration.legacy import in_each_way, run


@in_each_way
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


@in_each_way
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


@in_each_way
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


@in_each_way
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


@in_each_way
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


# What a program may have imported by name before it calls `enable`.
BY_NAME = """
import sys, types
other = types.ModuleType("other")
sys.modules["other"] = other
exec("from asyncio import sleep as pause, gather", vars(other))
from asyncio import gather, open_connection, sleep, wait
from asyncio.locks import Lock
from asyncio.subprocess import create_subprocess_exec
from asyncio.tasks import Task, wait_for
"""


@in_each_way
def test_names_that_were_imported_before(way: str) -> None:
    run(
        way,
        """
        async def value(n):
            return n

        async def main():
            loop = asyncio.get_running_loop()
            with warned("leave it out"):
                assert await sleep(0, 5, loop=loop) == 5
            with warned("leave it out"):
                assert await other.pause(0, 6, loop=loop) == 6
            with warned("leave it out"):
                assert await other.gather(value(1), value(2), loop=loop) == [1, 2]
            with warned("leave it out"):
                assert await wait_for(value(3), 10, loop=loop) == 3
            with warned("asyncio.create_task"):
                done, _ = await wait([value(4), value(5)])
            assert {each.result() for each in done} == {4, 5}
            with warned("leave it out"):
                lock = Lock(loop=loop)
            async with lock:
                pass
            with warned("leave it out"):
                child = await create_subprocess_exec("true", loop=loop)
            assert await child.wait() == 0
            with warned("use asyncio.all_tasks"):
                assert Task.all_tasks() == {asyncio.current_task()}
            with warned():
                assert await gather(sleep(0, 7), value(8)) == [7, 8]
                await wait([asyncio.ensure_future(value(9))])

        asyncio.run(main())
        """,
        before=BY_NAME,
    )
    run(
        way,
        """
        async def main():
            with warned("leave it out"):
                assert await sleep(0, 5, loop=None) == 5

        asyncio.run(main())
        """,
        before="import riata; riata.install()" + BY_NAME,
    )


KEPT = """
import asyncio, functools

class Keeps:
    pause = staticmethod(asyncio.sleep)
    all = staticmethod(asyncio.gather)

    async def default(self, first, pause=asyncio.sleep, *, all=asyncio.gather):
        return await all(pause(0, first, loop=None), loop=None)

def both(function, *args, use):
    return use(function(*args, loop=None), loop=None)

nap = functools.partial(asyncio.sleep, 0, result=5)
nap.name = "nap"
call = functools.partial(both, asyncio.sleep, 0, use=asyncio.gather)
"""


@in_each_way
def test_functions_that_were_kept_before(way: str) -> None:
    program = """
        async def main():
            with warned("leave it out"):
                assert await Keeps.pause(0, 6, loop=None) == 6
            with warned("leave it out"):
                assert await Keeps().pause(0, 6, loop=None) == 6
            with warned("leave it out"):
                assert await Keeps().all(nap(), loop=None) == [5]
            with warned("leave it out", "leave it out"):
                assert await Keeps().default(7) == [7]
            with warned("leave it out"):
                assert await nap(loop=None) == 5
            assert nap.name == "nap"
            with warned("leave it out", "leave it out"):
                assert await call() == [None]

        asyncio.run(main())
        """
    run(way, program, before=KEPT)
    run(way, program, before="import riata; riata.install()" + KEPT)


@in_each_way
def test_a_builtin_that_a_class_has_kept_does_not_become_a_method(way: str) -> None:
    run(
        way,
        """
        async def main():
            with warned("leave it out"):
                assert await Keeps().all(asyncio.sleep(0, 1), loop=None) == [1]
            assert await Keeps.pause(0, 2) == 2

        asyncio.run(main())
        """,
        before="""
import riata; riata.install()
import asyncio

class Keeps:
    all = asyncio.gather
    pause = asyncio.sleep
""",
    )
