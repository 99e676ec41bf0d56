"""`multiprocessing` and `concurrent.futures` in programs that gevent has patched."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import concurrent.futures, multiprocessing, sys
import gevent

def square(number):
    return number * number

def several(context, times):
    ticks = []
    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.001)
    ticker = gevent.spawn(tick)
    for _ in range(times):
        with context.Pool(2) as pool:
            assert pool.map(square, range(1000)) == [number * number for number in range(1000)]
            assert list(pool.imap(square, range(10), 3)) == [number * number for number in range(10)]
            assert pool.apply(square, (3,)) == 9
    pool = context.Pool(2)
    assert pool.apply_async(square, (4,)).get(30) == 16
    pool.close()
    pool.join()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(executor.map(square, range(100), chunksize=9)) == [number * number for number in range(100)]
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        assert list(executor.map(square, range(100))) == [number * number for number in range(100)]
    assert len(ticks) > 2
    ticker.kill()

def questions(queue):
    greenlets = [gevent.spawn(queue.get) for _ in range(3)]
    gevent.sleep(0.01)
    for number in range(3):
        queue.put(number)
    gevent.joinall(greenlets, timeout=30, raise_error=True)
    assert sorted(greenlet.value for greenlet in greenlets) == [0, 1, 2]

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    several(context, int(sys.argv[2]))
    questions(context.Queue())
"""


@pytest.mark.parametrize(("method", "times"), [("fork", 20), ("spawn", 1), ("forkserver", 1)])
def test_pools_under_monkey_patching(method: str, times: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "ignore", program, method, str(times)],
        env=environment | {"GEVENT_LOOP": "riata.gevent.Loop", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "")


BEFORE_ANY_HUB = """
from gevent import monkey
monkey.patch_all()
import multiprocessing, sys

def square(number):
    return number * number

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        assert pool.map(square, range(1000)) == [number * number for number in range(1000)]
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_that_is_made_before_the_first_hub(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(BEFORE_ANY_HUB)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    with subprocess.Popen(
        [sys.executable, "-m", "riata", "run", program, method],
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"},
        start_new_session=True,
    ) as process:
        try:
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


WHICH_LOOP = """
import gevent, multiprocessing, os

def which(where):
    where.send(type(gevent.get_hub().loop).__module__)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    worker = context.Process(target=which, args=(there,))
    worker.start()
    assert "GEVENT_LOOP" not in os.environ
    print(here.recv())
    worker.join()
"""


def test_workers_of_the_fork_server_are_on_the_loop_of_their_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(WHICH_LOOP)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    command = [sys.executable, "-m", "riata", "run", program]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    assert done.stdout == "riata.gevent.core\n"
