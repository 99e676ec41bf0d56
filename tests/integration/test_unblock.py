"""`riata.unblock` and `riata run --unblock`: each case is a program of its own."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

pytest.importorskip("gevent")

BLOCKING = """
import asyncio, queue, select, socket, subprocess, sys, threading, time

async def sleeps(other):
    while not other:
        time.sleep(0.001)

async def receives(sockets):
    return sockets[0].recv(1)

async def main():
    here = []
    async def goes_on():
        await asyncio.sleep(0)
        here.append(1)
    await asyncio.gather(sleeps(here), goes_on())

    sockets = socket.socketpair()
    async def sends():
        await asyncio.sleep(0.001)
        sockets[1].send(b"x")
    assert await asyncio.gather(receives(sockets), sends()) == [b"x", None]
    async def selects():
        return select.select([sockets[0]], [], [], 30)[0]
    assert await asyncio.gather(selects(), sends()) == [[sockets[0]], None]
    for one in sockets:
        one.close()

    lock, event, items = threading.Lock(), threading.Event(), queue.Queue()
    lock.acquire()
    async def locks():
        with lock:
            return event.wait(30), items.get(timeout=30)
    async def frees():
        await asyncio.sleep(0.001)
        lock.release()
        await asyncio.sleep(0.001)
        event.set()
        await asyncio.sleep(0.001)
        items.put(5)
    assert (await asyncio.gather(locks(), frees()))[0] == (True, 5)

    async def runs(child):
        return subprocess.run(child, input="x", text=True, capture_output=True).stdout
    async def counts():
        count = 0
        while not ran.done():
            count += 1
            await asyncio.sleep(0.001)
        return count
    ran = asyncio.create_task(runs([sys.executable, "-S", "-c", "print(input())"]))
    assert await counts() > 1
    assert await ran == "x\\n"

    caller = []
    def job(number):
        caller.append(REAL())
        return 1 / number
    assert await asyncio.to_thread(job, 1) == 1
    assert caller[0] != REAL()
    try:
        await asyncio.to_thread(job, 0)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError
    assert await asyncio.gather(*[asyncio.to_thread(job, 1) for _ in range(100)]) == [1] * 100
"""


def ends_well(*arguments: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_blocking_calls_suspend_their_task_alone() -> None:
    program = BLOCKING + dedent(
        """
        from gevent import monkey
        REAL = monkey.get_original("threading", "get_ident")
        asyncio.run(main())
        """
    )
    ends_well("-m", "riata", "run", "--unblock", "-c", program)


def test_it_is_undone() -> None:
    program = BLOCKING + dedent(
        """
        import riata
        REAL = threading.get_ident
        before = time.sleep, socket.socket, threading.Lock, subprocess.Popen, select.select, threading.get_ident
        riata.install()
        with riata.unblock():
            asyncio.run(main())
            assert time.sleep is not before[0]
        after = time.sleep, socket.socket, threading.Lock, subprocess.Popen, select.select, threading.get_ident
        assert after == before, after
        assert threading.current_thread() is threading.main_thread()
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(threading.get_ident())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 3 and threading.get_ident() not in seen
        assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
        assert asyncio.run(asyncio.to_thread(lambda: 5)) == 5
        """
    )
    ends_well("-c", program)


def test_a_running_loop_is_not_unblocked() -> None:
    program = """
        import asyncio, riata
        async def main():
            try:
                riata.unblock()
            except RuntimeError as error:
                assert "before the event loop runs" in str(error)
            else:
                raise AssertionError
        asyncio.run(main())
        """
    ends_well("-c", dedent(program))
