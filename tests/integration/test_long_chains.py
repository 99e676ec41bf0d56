"""100,000 tasks, each awaiting the next: finished, failed, cancelled at either end, dropped. No stack is as long."""

import pytest

from .processes import output

PROGRAM = """
LENGTH, WHAT = 100_000, {what!r}

async def wait(awaited):
    return await awaited

async def main():
    loop = asyncio.get_running_loop()
    awaited = end = loop.create_future()
    tasks = []
    for _ in range(LENGTH):
        awaited = loop.create_task(wait(awaited))
        tasks.append(awaited)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if WHAT == "finished":
        end.set_result("result")
        print(await awaited)
    elif WHAT == "failed":
        end.set_exception(ValueError("failed"))
        try:
            await awaited
        except ValueError as error:
            print(error)
    elif WHAT == "cancelled at the bottom":
        end.cancel()
        try:
            await awaited
        except asyncio.CancelledError:
            print(all(task.cancelled() for task in tasks))
    else:
        for task in tasks:
            task._log_destroy_pending = False
        return
    print(sum(task.done() for task in tasks))

loop = new_event_loop()
loop.run_until_complete(main())
loop.call_soon(loop.stop)
loop.run_forever()
gc.collect()
print(len(asyncio.all_tasks(loop)))
loop.close()
"""


@pytest.mark.parametrize("kind", ["asyncio", "riata"])
@pytest.mark.parametrize("what", ["finished", "failed", "cancelled at the bottom", "dropped"])
def test_a_chain_of_100_000_tasks(kind: str, what: str) -> None:
    first = {"finished": ["result"], "failed": ["failed"], "cancelled at the bottom": ["True"], "dropped": []}[what]
    expected = [*first, "100000", "0"] if first else ["0"]
    assert output(kind, PROGRAM.format(what=what)) == expected
