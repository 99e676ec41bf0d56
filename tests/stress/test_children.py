"""A thousand children at once, from any thread's loop."""

import asyncio
import os
import resource
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

COUNT = 1000
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def thousand() -> tuple[int, list[int]]:
    async def one(number: int) -> int:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", f"echo {number}; exit {number % 100}", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert int(output) == number
        assert process.returncode is not None
        return process.returncode

    return COUNT, await asyncio.gather(*map(one, range(COUNT)))


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_thousand_children_all_come_back(where: str, loop_factory: LoopFactory, many_files: None) -> None:
    results: list[Any] = []

    def work() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            results.append(runner.run(thousand()))

    if where == "main":
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert results == [(COUNT, [number % 100 for number in range(COUNT)])]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # none is left
