"""Batches of tasks leave nothing behind: memory has no slope from batch to batch."""

import os
from typing import Any

import pytest

from ..integration.processes import output

pytestmark = pytest.mark.stress

TASKS = int(os.environ.get("RIATA_STRESS_TASKS", "100000"))

PROGRAM = """
import resource

TASKS = {tasks}

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

async def work(number):
    await asyncio.sleep(0)
    return number

async def main():
    for batch in range(10):
        for part in range(10):
            results = await asyncio.gather(*(asyncio.create_task(work(number)) for number in range(TASKS // 10)))
            assert results == list(range(TASKS // 10))
            del results
        gc.collect()
        print(resident())

run(main())
"""


def test_ten_batches_of_tasks_have_no_slope(capsys: pytest.CaptureFixture[Any]) -> None:
    growth = {}
    for kind in ("asyncio", "riata"):
        sizes = [int(line) for line in output(kind, PROGRAM.format(tasks=TASKS))]
        growth[kind] = sizes[9] - sizes[2]
        with capsys.disabled():
            text = " ".join(f"{size / 2**20:.1f}" for size in sizes)
            print(f"\n  {kind}: MiB after each batch of {TASKS:,}: {text}")
    # The first batches bring the allocator's arenas to their size. From the third to the tenth a leak of one byte a
    # task would be 700,000 bytes, one of the smallest object 11 MB; an arena of Python's (1 MiB) or two may come or go.
    assert growth["riata"] < 3 * 2**20, growth
