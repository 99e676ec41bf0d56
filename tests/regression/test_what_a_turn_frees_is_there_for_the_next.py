"""A server gave the memory of each turn back to the kernel, and took it again page by page.

glibc does so with free memory at the end of its heap from 128 KiB on, unless a large block has been freed before:
64 echoes of 10 KiB took a third longer for it than where something else happened to end the heap.
"""

import platform

import pytest

from ..integration.processes import output

PROGRAM = """
import resource

def turns(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        parts = [bytes(10_000) for _ in range(150)]
        loop.run_until_complete(asyncio.sleep(0))
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

loop = new_event_loop()
turns(10)
print(turns(100) < 3_000)
loop.close()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have rules of their own")
def test_the_next_turn_takes_no_pages() -> None:
    assert output("riata", PROGRAM) == ["True"]
