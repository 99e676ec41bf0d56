"""A program that ended while native coroutines waited panicked, and with a task group or `gather` it was aborted.

The interpreter closes such coroutines at its end, by throwing GeneratorExit into them. PyO3 made that exception when it
was first looked at, for which it attaches to the interpreter, and refuses to where that is ending.
"""

import pytest

from ..integration.processes import run_program

PROGRAM = """
import riata
if KIND == "riata":
    riata.install()

async def main():
    reader, queue, lock, event = asyncio.StreamReader(), asyncio.Queue(), asyncio.Lock(), asyncio.Event()
    condition, semaphore, full = asyncio.Condition(), asyncio.Semaphore(0), asyncio.Queue(1)
    full.put_nowait(1)
    await lock.acquire()

    async def wait(): await event.wait()
    async def read(): await reader.read(10)
    async def line(): await asyncio.StreamReader().readline()
    async def sleep(): await asyncio.sleep(1000)
    async def get(): await queue.get()
    async def put(): await full.put(2)
    async def join(): await full.join()
    async def locked():
        async with lock: pass
    async def conditions():
        async with condition: await condition.wait()
    async def semaphores():
        async with semaphore: pass
    async def wait_for(): await asyncio.wait_for(event.wait(), 1000)
    async def timeout():
        async with asyncio.timeout(1000): await event.wait()
    async def group():
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            await event.wait()
    async def group_left():
        async with asyncio.TaskGroup() as group: group.create_task(wait())
    async def gather(): await asyncio.gather(wait(), wait())
    async def several(): await asyncio.wait([asyncio.ensure_future(wait())])
    async def completed():
        for each in asyncio.as_completed([wait(), wait()]): await each
    async def shield(): await asyncio.shield(wait())
    async def raises():
        try:
            await event.wait()
        finally:
            raise StopIteration

    global tasks
    functions = [wait, read, line, sleep, get, put, join, locked, conditions, semaphores, wait_for, timeout, group,
        group_left, gather, several, completed, shield, raises]
    tasks = [loop.create_task(function()) for function in functions]
    for _ in range(5):
        await asyncio.sleep(0)
    print(*[task.get_coro().__name__ for task in tasks if task.done()])

loop = new_event_loop()
loop.run_until_complete(main())
"""


@pytest.mark.parametrize("kind", ["asyncio", "riata"])
def test_they_are_closed(kind: str) -> None:
    ended = run_program(kind, PROGRAM)
    assert (ended.status, ended.stdout.split()) == (0, [])
    assert "panick" not in ended.stderr
    assert "Panic" not in ended.stderr
