"""multiprocessing beside a running loop, by each way to start a process; the children run loops of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

both = pytest.mark.parametrize("kind", ["asyncio", "riata"])
ways = pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])

# A file, as a spawned child imports it.
PROGRAM = """
import asyncio
import concurrent.futures
import multiprocessing
import os
import sys
import threading

KIND, WAY = sys.argv[1:3]


def new_event_loop():
    if KIND == "riata":
        import riata

        return riata.new_event_loop()
    return asyncio.SelectorEventLoop()


def run(main):
    # Up to 3.11 a forked child believes that its parent's loop runs in it.
    asyncio._set_running_loop(None)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


async def work(number):
    loop = asyncio.get_running_loop()
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {number}")
    code, _, square = await asyncio.gather(
        process.wait(), asyncio.sleep(0.001), loop.run_in_executor(None, pow, number, 2)
    )
    return code, square


def child(number):
    return os.getpid(), run(work(number))


def tell(connection):
    connection.send(run(work(7)))
    connection.close()


async def main():
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context(WAY)
    mine, theirs = context.Pipe()
    process = context.Process(target=tell, args=(theirs,))
    process.start()
    theirs.close()
    arrived = asyncio.Event()
    loop.add_reader(mine.fileno(), arrived.set)
    await arrived.wait()
    loop.remove_reader(mine.fileno())
    print(mine.recv())
    ended = asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    await ended.wait()
    loop.remove_reader(process.sentinel)
    process.join()
    print(process.exitcode)
    process.close()
    mine.close()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        results = await asyncio.gather(*(loop.run_in_executor(pool, child, number) for number in range(6)))
        print([result for _, result in results])
        print(os.getpid() in {pid for pid, _ in results})
        stuck = loop.run_in_executor(pool, os._exit, 3)
        try:
            await stuck
        except concurrent.futures.process.BrokenProcessPool:
            print("broken")
    print(await work(5))


if __name__ == "__main__":
    run(main())
"""


@both
@ways
def test_processes_and_pools(kind: str, way: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(path), kind, way]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "(7, 49)",
        "0",
        str([(number, number**2) for number in range(6)]),
        "False",
        "broken",
        "(5, 25)",
    ]
