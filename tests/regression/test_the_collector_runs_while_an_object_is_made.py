"""Python 3.11 makes an object's dictionary before a native class has written its fields, and may start the collector
there: it must find nothing to follow. Each in a process of its own, since what fails is a crash.
"""

import subprocess
import sys

import pytest

OBJECTS = """
import asyncio, gc, riata, socket
from riata import _native

async def nothing():
    await asyncio.sleep(0)

def sub(*classes):
    return [type("Sub", (one,), {}) for one in classes] + list(classes)

async def make():
    loop = asyncio.get_running_loop()
    for one in sub(riata.Future):
        one(loop=loop)
    await asyncio.gather(*[one(nothing(), loop=loop) for one in sub(riata.Task)])
    for one in sub(riata.Lock, riata.Event, riata.Condition, riata.Queue, riata.PriorityQueue, riata.LifoQueue):
        one()
    for one in sub(riata.Semaphore, riata.BoundedSemaphore, riata.Barrier):
        one(2)
    for one in sub(riata.Timeout):
        async with one(None):
            pass
    for one in sub(riata.TaskGroup):
        async with one() as group:
            group.create_task(nothing())
    for one in sub(riata.StreamReader):
        reader = one(loop=loop)
        for other in sub(riata.StreamReaderProtocol):
            other(reader, loop=loop)
    await riata.gather(nothing(), nothing())
    reader, writer = await riata.open_connection(sock=sock)
    for one in sub(riata.StreamWriter):
        one(writer.transport, writer.transport.get_protocol(), reader, loop)
    writer.close()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    transport.close()
    await loop.subprocess_shell(asyncio.SubprocessProtocol, "true")

for threshold in range(1, 12):
    sock, other = socket.socketpair()
    with asyncio.Runner(loop_factory=riata.new_event_loop) as runner:
        runner.get_loop()
        gc.set_threshold(threshold, 1000, 1000)
        runner.run(make())
        gc.set_threshold(700, 10, 10)
    other.close()
    for one in sub(riata.Loop):
        gc.set_threshold(threshold, 1000, 1000)
        one().close()
        gc.set_threshold(700, 10, 10)
print("done")
"""

IMPORT = """
import gc
import asyncio
gc.set_threshold(THRESHOLD, 1000, 1000)
import riata._native
print("done")
"""


@pytest.mark.parametrize(
    "program",
    [OBJECTS, *(IMPORT.replace("THRESHOLD", str(threshold)) for threshold in range(1, 12))],
    ids=["objects", *(f"import at {threshold}" for threshold in range(1, 12))],
)
def test_the_collector_runs_while_an_object_is_made(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
