"""`cancel()` walked a chain of awaiting tasks by recursion: 7,000 of them overflowed the C stack.

asyncio raises RecursionError where its own recursion gets too deep, or cancels the whole chain. Never may the process
end. A subprocess runs each case, so that a crash is a failure and not the end of the test run.
"""

import subprocess
import sys

import pytest

CHAIN = """
import asyncio, sys
import riata

kinds, loop_kind, length = sys.argv[1].split("+"), sys.argv[2], int(sys.argv[3])

class Subclass(riata.Task):
    pass

class Overriding(riata.Task):
    def cancel(self, msg=None):
        return super().cancel(msg)

CLASSES = {"native": riata.Task, "c": asyncio.Task, "python": asyncio.tasks._PyTask, "sub": Subclass,
           "overriding": Overriding}

async def wait(awaited):
    await awaited

async def main():
    loop = asyncio.get_running_loop()
    awaited = end = loop.create_future()
    tasks = []
    for number in range(length):
        awaited = CLASSES[kinds[number % len(kinds)]](wait(awaited), loop=loop)
        tasks.append(awaited)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        answer = awaited.cancel("message")
    except RecursionError:
        answer = "RecursionError"
        end.cancel("message")
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    try:
        await awaited
    except asyncio.CancelledError as error:
        print(answer, *error.args)

factory = riata.new_event_loop if loop_kind == "riata" else asyncio.SelectorEventLoop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""

CIRCLE = """
import asyncio, riata

async def main():
    tasks = []
    async def wait(number):
        await tasks[number]
    tasks += [asyncio.create_task(wait((number + 1) % 7)) for number in range(7)]
    await asyncio.sleep(0)
    try:
        tasks[0].cancel()
    except RecursionError as error:
        print(type(error).__name__)
    for task in tasks:
        task._log_destroy_pending = False

loop = riata.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""


def python(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, (ended.returncode, ended.stderr[-2000:])
    return ended.stdout.strip()


@pytest.mark.parametrize("loop", ["asyncio", "riata"])
@pytest.mark.parametrize("kinds", ["native", "sub"])
def test_native_tasks_are_all_cancelled(kinds: str, loop: str) -> None:
    assert python(CHAIN, kinds, loop, "100000") == "True message"


@pytest.mark.parametrize("kinds", ["c", "native+c", "native+python", "overriding", "overriding+native"])
def test_chains_that_need_recursion_end_in_recursion_error(kinds: str) -> None:
    assert python(CHAIN, kinds, "riata", "20000") in ("RecursionError message", "True message")


def test_tasks_that_await_each_other_in_a_circle() -> None:
    # asyncio recurses until RecursionError; a walk has to notice.
    assert python(CIRCLE) == "RecursionError"
