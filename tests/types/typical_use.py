"""What programs write with riata, and what type each thing has: checked by mypy --strict and pyright, and run."""

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator
from typing import assert_type

import riata
import riata.legacy
import riata.watchdog


async def number() -> int:
    return 1


async def text() -> str:
    return "x"


async def building_blocks() -> None:
    task = asyncio.create_task(number())
    assert_type(await task, int)
    native: riata.Task[int] = riata.Task(number(), loop=asyncio.get_running_loop())
    assert_type(await native, int)
    future: riata.Future[str] = riata.Future()
    future.set_result("done")
    assert_type(await future, str)
    assert_type(future.result(), str)

    assert_type(await riata.gather(number(), text()), tuple[int, str])
    one, two, three = await riata.gather(number(), text(), native)
    assert_type(one, int)
    assert_type(two, str)
    assert_type(three, int)
    assert_type(await riata.gather(*[number() for _ in range(3)]), list[int])
    mixed = await riata.gather(number(), text(), return_exceptions=True)
    assert_type(mixed, tuple[int | BaseException, str | BaseException])

    assert_type(await riata.sleep(0), None)
    assert_type(await riata.sleep(0, "result"), str)
    assert_type(await riata.wait_for(number(), timeout=1), int)
    assert_type(await riata.shield(text()), str)
    assert_type(await riata.ensure_future(number()), int)
    done, pending = await riata.wait([asyncio.create_task(number())])
    assert_type(done, set[asyncio.Task[int]])
    assert_type(pending, set[asyncio.Task[int]])
    for each in riata.as_completed([number(), number()]):
        assert_type(await each, int)


async def groups_and_timeouts() -> None:
    async with riata.timeout(1) as scope:
        assert_type(scope, riata.Timeout)
        scope.reschedule(None)
    async with riata.TaskGroup() as group:
        assert_type(group, riata.TaskGroup)
        task = group.create_task(text(), name="a name")
    assert_type(task.result(), str)


async def locks_and_queues() -> None:
    lock = riata.Lock()
    async with lock:
        assert_type(lock.locked(), bool)
    semaphore = riata.Semaphore(2)
    async with semaphore:
        pass
    event = riata.Event()
    event.set()
    assert await event.wait()
    condition = riata.Condition(lock)
    async with condition:
        condition.notify_all()

    queue: riata.Queue[int] = riata.Queue(maxsize=3)
    await queue.put(1)
    assert_type(await queue.get(), int)
    queue.put_nowait(2)
    assert_type(queue.get_nowait(), int)
    by_priority: riata.PriorityQueue[tuple[int, str]] = riata.PriorityQueue()
    await by_priority.put((1, "x"))
    assert_type(await by_priority.get(), tuple[int, str])
    last_first: riata.LifoQueue[str] = riata.LifoQueue()
    last_first.put_nowait("x")
    last_first.shutdown()
    async for item in last_first:
        assert_type(item, str)


async def streams() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await riata.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await riata.open_connection(*server.sockets[0].getsockname())
        assert_type(reader, riata.StreamReader)
        assert_type(writer, riata.StreamWriter)
        writer.write(b"hello\n")
        assert_type(await reader.readline(), bytes)
        writer.close()
        await writer.wait_closed()


def length(words: str) -> int:
    return len(words)


async def doubled(one: int) -> int:
    return 2 * one


async def beyond_asyncio() -> None:
    assert_type(await riata.go(doubled, 1), int)
    assert_type(await riata.go(length, "a word"), int)
    chosen = await riata.select(number(), text())
    if chosen[0] == 0:
        assert_type(chosen[1], int)
    else:
        assert_type(chosen[1], str)
    match await riata.select(text(), number(), text()):
        case 1, one:
            assert_type(one, int)
        case _, word:
            print(word)
    index, either = await riata.select(*[number() for _ in range(5)])
    assert_type(index, int)
    assert_type(either, int)
    assert_type(await riata.gather(*[number() for _ in range(3)], limit=2), list[int])
    async for each in riata.as_completed([number(), number()], limit=1):
        assert_type(await each, int)
    assert_type([one async for one in riata.map(doubled, range(3), limit=2)], list[int])
    assert_type([one async for one in riata.map(length, ["a"], limit=2)], list[int])
    async for result in riata.map(doubled, range(3), limit=2, return_exceptions=True):
        if isinstance(result, riata.Failure):
            assert_type(result, riata.Failure[int])
        else:
            assert_type(result, int)


async def threads_and_handles() -> None:
    loop = asyncio.get_running_loop()
    elsewhere: concurrent.futures.Future[str] = concurrent.futures.Future()
    elsewhere.set_result("x")
    assert_type(await riata.wrap_future(elsewhere), str)
    waiting = riata.run_coroutine_threadsafe(number(), loop)
    assert_type(waiting, concurrent.futures.Future[int])
    assert_type(await riata.wrap_future(waiting), int)
    barrier = riata.Barrier(1)
    assert_type(await barrier.wait(), int)
    assert_type(await loop.run_in_executor(None, length, "x"), int)


async def generated() -> AsyncIterator[int]:
    yield await number()


async def main() -> int:
    await building_blocks()
    await groups_and_timeouts()
    await locks_and_queues()
    await streams()
    await beyond_asyncio()
    await threads_and_handles()
    assert_type([item async for item in generated()], list[int])
    loop = asyncio.get_running_loop()
    assert isinstance(loop, riata.Loop)
    loop.call_soon(print, "soon")
    assert_type(loop.stats()["turns"], int)
    return 42


def report(freeze: riata.watchdog.Freeze) -> None:
    print(freeze.seconds, freeze.stack)


def ways_in() -> None:
    assert_type(riata.run(main()), int)
    with asyncio.Runner(loop_factory=riata.new_event_loop) as runner:
        assert_type(runner.run(main()), int)
    loop = riata.new_event_loop()
    assert_type(loop, riata.Loop)
    assert_type(loop.run_until_complete(number()), int)
    loop.close()
    riata.watchdog.start(10.0, report)
    riata.watchdog.stop()
    riata.install()
    riata.uninstall()
    riata.legacy.enable()


if __name__ == "__main__":
    ways_in()
