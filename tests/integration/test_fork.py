"""`os.fork` while a loop runs: the child may run loops, the parent notices nothing."""

import sys

import pytest

from .processes import output

both = pytest.mark.parametrize("kind", ["asyncio", "riata"])
QUIET = ("-W", "ignore::DeprecationWarning")  # 3.12 warns of forking with threads

CHILD_RUNS_ITS_OWN = """
import socket

async def child():
    got = []
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, lambda: got.append(ours.recv(1)))
    theirs.send(b"x")
    await asyncio.sleep(0.001)
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(10)))
    assert await loop.run_in_executor(None, lambda: 1) == 1
    loop.remove_reader(ours)
    ours.close()
    theirs.close()
    return got

async def main():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    told = []
    ours.setblocking(False)
    loop.add_reader(ours, lambda: told.append(ours.recv(1)))
    await asyncio.sleep(0)
    process = os.fork()
    if not process:
        status = 1
        try:
            asyncio._set_running_loop(None)
            assert run(child()) == [b"x"]
            status = 0
        finally:
            os._exit(status)
    _, status = await loop.run_in_executor(None, os.waitpid, process, 0)
    print("child", os.waitstatus_to_exitcode(status))
    theirs.send(b"y")
    while not told:
        await asyncio.sleep(0)
    print(told)
    loop.remove_reader(ours)
    ours.close()
    theirs.close()

run(main())
"""

CHILD_CLOSES_THE_PARENTS = """
import socket

loop = new_event_loop()
ours, theirs = socket.socketpair()
ours.setblocking(False)
told = []
loop.add_reader(ours, lambda: told.append(ours.recv(1)))
loop.run_until_complete(asyncio.sleep(0))
process = os.fork()
if not process:
    loop.close()
    os._exit(0)
print("child", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
theirs.send(b"y")
loop.call_later(0.001, loop.stop)
loop.run_forever()
print(told)
loop.call_soon_threadsafe(loop.stop)
loop.run_forever()
loop.remove_reader(ours)
loop.close()
ours.close()
theirs.close()
"""

CHILD_RUNS_THE_PARENTS = """
import socket

loop = new_event_loop()
ours, theirs = socket.socketpair()
ours.setblocking(False)
told = []
loop.add_reader(ours, lambda: told.append(ours.recv(1)))
loop.call_later(0.001, told.append, "timer")
loop.call_soon(told.append, "soon")
process = os.fork()
if not process:
    status = 1
    try:
        loop.remove_reader(ours)
        mine, other = socket.socketpair()
        loop.add_reader(mine, lambda: told.append(mine.recv(1)))
        other.send(b"c")
        threading.Timer(0.01, loop.call_soon_threadsafe, (loop.stop,)).start()
        loop.run_forever()
        assert sorted(map(str, told)) == ["b'c'", "soon", "timer"], told
        loop.close()
        status = 0
    finally:
        os._exit(status)
print("child", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
theirs.send(b"y")
threading.Timer(0.01, loop.call_soon_threadsafe, (loop.stop,)).start()
loop.run_forever()
print(sorted(map(str, told)))
loop.remove_reader(ours)
loop.close()
ours.close()
theirs.close()
"""

CHILD_CLOSES_A_TRANSPORT = """
async def echo(reader, writer):
    writer.write(await reader.readexactly(6))
    writer.write(await reader.readexactly(5))
    writer.close()

async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"before")
    print(await reader.readexactly(6))
    process = os.fork()
    if not process:
        status = 1
        try:
            writer.transport.pause_reading()
            writer.transport.resume_reading()
            writer.transport._call_connection_lost(None)
            status = 0
        finally:
            os._exit(status)
    print("child", os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    writer.write(b"after")
    print(await reader.readexactly(5))
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()

run(main())
"""

CHILD_LEAVES_AT_ONCE = """
async def main():
    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(asyncio.sleep(0.001)) for _ in range(100)]
    for _ in range(10):
        process = os.fork()
        if not process:
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), end=" ")
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    print("parent")

run(main())
"""


@both
def test_the_child_runs_a_loop_of_its_own(kind: str) -> None:
    assert output(kind, CHILD_RUNS_ITS_OWN, *QUIET) == ["child 0", "[b'y']"]


def test_the_child_closes_the_parents_loop() -> None:
    # asyncio's child shares the parent's epoll instance, but only closes its descriptor.
    for kind in ("asyncio", "riata"):
        assert output(kind, CHILD_CLOSES_THE_PARENTS, *QUIET) == ["child 0", "[b'y']"]


def test_the_child_runs_the_parents_loop() -> None:
    # asyncio's child takes the parent's registrations out of the epoll instance that both share: riata alone.
    assert output("riata", CHILD_RUNS_THE_PARENTS, *QUIET) == ["child 0", "[\"b'y'\", 'soon', 'timer']"]


def test_what_the_child_closes_stays_open_in_its_parent() -> None:
    # asyncio's child takes its parent's registration away.
    assert output("riata", CHILD_CLOSES_A_TRANSPORT, *QUIET) == ["b'before'", "child 0", "b'after'"]


@both
def test_the_child_leaves_at_once(kind: str) -> None:
    assert output(kind, CHILD_LEAVES_AT_ONCE, *QUIET) == ["7 " * 10 + "parent"]


@both
def test_multiprocessing_by_fork(kind: str) -> None:
    program = """
import multiprocessing

def child(connection):
    async def main():
        await asyncio.sleep(0.001)
        return "from the child"
    connection.send(run(main()))

async def main():
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    print(await asyncio.to_thread(mine.recv))
    await asyncio.to_thread(process.join)
    print(process.exitcode)

run(main())
"""
    if sys.version_info < (3, 12):
        program = program.replace("    async def main", "    asyncio._set_running_loop(None)\n    async def main")
    assert output(kind, program, *QUIET) == ["from the child", "0"]
