"""Futures, each the result of the next, died by recursion: 40,000 of them overflowed the C stack.

asyncio's own stand more than 80,000 and fewer than 200,000, so riata's loop is tried alone.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys, weakref
import riata

loop = riata.new_event_loop()

async def give(value):
    return value

class Subclass(riata.Future):
    pass

async def main(kind):
    last = first = loop.create_future()
    first.set_result(None)
    for number in range(300_000):
        if kind == "tasks":
            task = loop.create_task(give(last))
            if number % 1000 == 0:
                await task
            last = task
        elif kind == "futures" or number % 2:
            future = loop.create_future()
            future.set_result(last)
            last = future
        else:
            future = Subclass(loop=loop)
            future.set_result(last)
            last = future
    await asyncio.sleep(0)
    return last, weakref.ref(first)

last, first = loop.run_until_complete(main(sys.argv[1]))
assert first() is not None
del last
assert first() is None
loop.close()
print("alive")
"""


@pytest.mark.parametrize("kind", ["futures", "tasks", "subclasses"])
def test_a_long_chain_is_freed_at_once(kind: str) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr[-2000:]
