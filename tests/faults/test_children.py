"""Children that die by signals and pipes that are full, whoever has hold of their other end."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ..integration.streams import MEGABYTE, failures

Run = Callable[[Coroutine[Any, Any, Any]], Any]
PIPE = asyncio.subprocess.PIPE

SLEEPER = "import signal; print('ready', flush=True); signal.pause()"


async def sleeper() -> asyncio.subprocess.Process:
    """A child that waits for a signal, with its pipes."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SLEEPER, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1])
@pytest.mark.parametrize("sender", ["transport", "somebody else"])
def test_a_child_killed_by_a_signal(run: Run, number: signal.Signals, sender: str) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        process = await sleeper()
        if sender == "transport":
            process.send_signal(number)
        else:
            os.kill(process.pid, number)
        assert await process.wait() == -number == process.returncode
        assert process.stdout is not None
        assert await process.stdout.read() == b""
        with pytest.raises(ProcessLookupError):
            process.send_signal(number)
        assert not told

    run(main())


def test_many_children_killed_at_once_are_all_told_of(run: Run) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        processes = [await sleeper() for _ in range(20)]
        waiting = [asyncio.ensure_future(process.communicate()) for process in processes]
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
        assert await asyncio.gather(*waiting) == [(b"", None)] * len(processes)
        assert {process.returncode for process in processes} == {-signal.SIGKILL}
        assert not told

    run(main())


def test_a_child_that_is_killed_while_its_pipe_is_full(run: Run) -> None:
    """Who waits in `drain` is told, and what was not read is dropped with the pipe."""

    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        process = await sleeper()
        assert process.stdin is not None
        process.stdin.write(b"x" * MEGABYTE)
        waiting = asyncio.ensure_future(process.stdin.drain())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        process.kill()
        with pytest.raises(ConnectionError):
            await waiting
        assert await process.wait() == -signal.SIGKILL
        assert not told

    run(main())


def test_communicate_with_a_child_that_reads_nothing_and_is_killed(run: Run) -> None:
    async def main() -> None:
        told = failures(asyncio.get_running_loop())
        process = await sleeper()
        waiting = asyncio.ensure_future(process.communicate(b"x" * MEGABYTE))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        process.kill()
        assert await waiting == (b"", None)
        assert process.returncode == -signal.SIGKILL
        assert not told

    run(main())


def test_a_full_pipe_waits_for_its_reader_and_loses_nothing(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = failures(loop)
        source, sink = os.pipe()
        os.set_blocking(source, False)
        paused = asyncio.Event()
        lost = loop.create_future()

        class Writer(asyncio.BaseProtocol):
            def pause_writing(self) -> None:
                paused.set()

            def resume_writing(self) -> None:
                paused.clear()

            def connection_lost(self, error: Exception | None) -> None:
                lost.set_result(error)

        transport, _ = await loop.connect_write_pipe(Writer, open(sink, "wb", buffering=0))  # noqa: SIM115
        sent = bytes(range(256)) * 4096
        transport.write(sent)
        assert paused.is_set()
        assert transport.get_write_buffer_size() > 0
        transport.close()
        readable = asyncio.Event()
        loop.add_reader(source, readable.set)
        received = bytearray()
        while True:
            readable.clear()
            await readable.wait()
            with contextlib.suppress(BlockingIOError):
                part = os.read(source, 1000)
                if not part:
                    break
                received += part
        loop.remove_reader(source)
        os.close(source)
        assert received == sent
        assert await lost is None
        assert not told

    run(main())
