"""Child processes: every way to begin, feed, signal and end them, and the order of what the protocol is told."""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import riata

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MEGABYTE = 1 << 20


class Recorder(asyncio.SubprocessProtocol):
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.output: dict[int, bytes] = {1: b"", 2: b""}
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.exited = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if not self.output[fd]:
            self.events.append(("data", fd))
        self.output[fd] += data

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.events.append(("pipe lost", fd))

    def process_exited(self) -> None:
        self.events.append("exited")
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.lost.set_result(exc)


async def shell(script: str, **options: Any) -> tuple[int | None, bytes]:
    """Runs a script and gives its return code and what it wrote."""
    process = await asyncio.create_subprocess_shell(script, stdout=PIPE, stderr=STDOUT, **options)
    output, _ = await process.communicate()
    return process.returncode, output


async def begin(script: str, **options: Any) -> tuple[Any, Recorder]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(Recorder, "/bin/sh", "-c", script, **options)
    return transport, protocol


def test_output_and_return_codes(run: Run) -> None:
    async def main() -> None:
        assert await shell("echo out; echo err >&2; exit 3") == (3, b"out\nerr\n")
        assert await shell("kill -9 $$") == (-9, b"")
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert process.stdin is process.stdout is process.stderr is None
        assert await process.wait() == 0
        assert await process.wait() == process.returncode == 0
        process = await asyncio.create_subprocess_exec("sh", "-c", "echo e >&2", stdout=DEVNULL, stderr=PIPE)
        assert await process.communicate() == (None, b"e\n")

    run(main())


def test_much_in_both_directions(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        data = os.urandom(5 * MEGABYTE)
        output, _ = await process.communicate(data)
        assert output == data
        assert process.returncode == 0

    run(main())


def test_a_conversation_by_lines(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(100):
            process.stdin.write(b"%d\n" % number)
            await process.stdin.drain()
            assert await process.stdout.readline() == b"%d\n" % number
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    run(main())


def test_a_child_that_does_not_want_its_input(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE)
        assert await process.communicate(b"x" * MEGABYTE) == (None, None)
        assert process.returncode == 0

    run(main())


def test_what_the_protocol_is_told(run: Run) -> None:
    async def main() -> None:
        transport, protocol = await begin("cat; echo err >&2")
        assert protocol.events == ["made"]
        stdin, stdout = transport.get_pipe_transport(0), transport.get_pipe_transport(1)
        assert isinstance(stdin, asyncio.WriteTransport)
        assert isinstance(stdout, asyncio.ReadTransport)
        assert transport.get_pipe_transport(7) is None
        assert transport.get_pid() == transport.get_extra_info("subprocess").pid > 0
        assert transport.get_returncode() is None
        stdin.write(b"hello")
        stdin.write_eof()
        assert await protocol.lost is None
        assert protocol.output == {1: b"hello", 2: b"err\n"}
        assert transport.get_returncode() == 0
        events = protocol.events
        assert (events[0], events[-1]) == ("made", "lost")
        assert sorted(map(str, events[1:-1])) == sorted(
            map(str, [("data", 1), ("data", 2), ("pipe lost", 0), ("pipe lost", 1), ("pipe lost", 2), "exited"])
        )
        for fd in (1, 2):
            assert events.index(("data", fd)) < events.index(("pipe lost", fd))
        with pytest.raises(ProcessLookupError):
            transport.kill()
        with pytest.raises(ProcessLookupError):
            transport.terminate()
        with pytest.raises(ProcessLookupError):
            transport.send_signal(signal.SIGHUP)
        assert not transport.is_closing()
        transport.close()
        assert transport.is_closing()

    run(main())


def test_a_child_that_leaves_its_pipes_to_another(run: Run) -> None:
    async def main() -> None:
        # The grandchild keeps standard output open until its own standard input ends.
        script = "exec 3<&0; cat <&3 & exit 5"
        transport, protocol = await begin(script, stderr=None)
        await protocol.exited.wait()
        assert transport.get_returncode() == 5
        assert "lost" not in protocol.events
        # It has ended and was reaped: nobody is signalled.
        transport.send_signal(signal.SIGKILL)
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"still here")
        stdin.close()
        assert await protocol.lost is None
        assert protocol.output[1] == b"still here"
        assert protocol.events[-1] == "lost"
        transport.close()

    run(main())


@pytest.mark.parametrize("how", ["terminate", "kill", "SIGHUP", "SIGRTMIN"])
def test_signals_to_a_child(run: Run, how: str) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
        if how in ("terminate", "kill"):
            getattr(process, how)()
        else:
            process.send_signal(signal.Signals[how])
        number = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}.get(how) or signal.Signals[how]
        assert await process.wait() == -number
        # asyncio's own says nothing from late 3.14 on, until it has let go of the process some turns later.
        says = sys.version_info < (3, 14) or isinstance(asyncio.get_running_loop(), riata.Loop)
        for call in (process.terminate, process.kill, lambda: process.send_signal(number)):
            with pytest.raises(ProcessLookupError) if says else contextlib.suppress(ProcessLookupError):
                call()

    run(main())


def test_what_is_no_signal(run: Run) -> None:
    async def main() -> None:
        transport, protocol = await begin("cat")
        with pytest.raises(OSError, match="Invalid argument"):
            transport.send_signal(9999)
        with pytest.raises(TypeError):
            transport.send_signal("SIGTERM")
        transport.send_signal(0)
        transport.close()
        await protocol.lost

    run(main())


def test_closing_ends_the_child(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        transport, protocol = await begin("cat")
        assert repr(transport).startswith(f"<_UnixSubprocessTransport pid={transport.get_pid()} running stdin=<")
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert await protocol.lost is None
        assert transport.get_returncode() == -signal.SIGKILL
        assert "exited" in protocol.events
        assert repr(transport).startswith(f"<_UnixSubprocessTransport closed pid={transport.get_pid()} returncode=-9")

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        run(main())
    assert any(record.getMessage().startswith("Close running child process: kill ") for record in caplog.records)


def test_closing_leaves_a_child_alone_that_has_ended(run: Run) -> None:
    async def main() -> None:
        transport, protocol = await begin("exit 4")
        await protocol.exited.wait()
        transport.close()
        await protocol.lost
        assert transport.get_returncode() == 4

    run(main())


def test_a_child_that_ended_unnoticed_keeps_its_return_code() -> None:
    # asyncio's `close` lets Popen reap it, and then knows no better than 255: riata alone.
    import riata

    async def main() -> None:
        transport, protocol = await begin("read line; exit 4")
        transport.get_pipe_transport(0).write(b"\n")
        # Known to have ended, while the loop did not look.
        os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
        assert transport.get_returncode() is None
        transport.kill()
        transport.close()
        await protocol.lost
        assert transport.get_returncode() == 4
        transport, protocol = await begin("read line; exit 5")
        transport.get_pipe_transport(0).write(b"\n")
        assert transport.get_extra_info("subprocess").wait() == 5
        await protocol.lost
        assert transport.get_returncode() == 5
        transport.close()

    riata.run(main())


def test_a_child_that_somebody_else_has_reaped(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        transport, protocol = await begin("read line; exit 4", stdout=None, stderr=None)
        # It ends in the same step in which it is reaped: a thread that waits for it can hardly be first.
        with contextlib.suppress(ChildProcessError):
            os.kill(transport.get_pid(), signal.SIGKILL)
            os.waitpid(transport.get_pid(), 0)
        await protocol.lost
        assert transport.get_returncode() in (255, -9)
        transport.close()

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        run(main())


def test_a_child_that_somebody_else_has_reaped_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    # As before, without a thread of asyncio's that may be quicker (Python 3.11): riata alone.
    import riata

    async def main() -> None:
        transport, protocol = await begin("read line")
        os.kill(transport.get_pid(), signal.SIGKILL)
        _, status = os.waitpid(transport.get_pid(), 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        await protocol.lost
        assert transport.get_returncode() == 255
        assert protocol.events[-1] == "lost"
        transport.close()

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        riata.run(main())
    (record,) = caplog.records
    assert "will report returncode 255" in record.getMessage()


def test_a_preexec_function_that_fails(run: Run) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
            await asyncio.create_subprocess_exec("/bin/true", preexec_fn=fail, stdin=PIPE, stdout=PIPE)

    run(main())


def test_what_cannot_be_begun(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        with pytest.raises(PermissionError):
            await asyncio.create_subprocess_exec("/etc/passwd", stdout=PIPE)
        with pytest.raises(NotADirectoryError):
            await asyncio.create_subprocess_exec("/bin/true", cwd="/etc/passwd")
        with pytest.raises(ValueError, match="shell must be True"):
            await loop.subprocess_shell(Recorder, "true", shell=False)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="cmd must be a string"):
            await loop.subprocess_shell(Recorder, 123)  # type: ignore[arg-type]

    run(main())


def test_no_descriptor_is_left() -> None:
    # asyncio, up to 3.13, leaves pipes open, or never comes back, when only some of them can be made: riata alone.
    import resource

    import riata

    async def main() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        top = max(map(int, os.listdir("/proc/self/fd")))
        fillers = [os.dup(0)]
        while fillers[-1] < top:  # until no number is free below
            fillers.append(os.dup(0))
        outcomes = []
        for spare in range(14):
            resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + spare, hard))
            try:
                process = await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE, stdout=PIPE, stderr=PIPE)
            except OSError as error:
                outcomes.append(error.errno)
                continue
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await process.communicate()
            outcomes.append(process.returncode)
        for filler in fillers:
            os.close(filler)
        assert outcomes == sorted(outcomes, reverse=True)
        assert set(outcomes) == {0, errno.EMFILE}

    before = len(os.listdir("/proc/self/fd"))
    riata.run(main())
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # none is left


def test_cancelled_while_it_begins(run: Run) -> None:
    async def main() -> None:
        for _ in range(3):
            beginning = asyncio.create_task(asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE))
            await asyncio.sleep(0)
            beginning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await beginning
        for _ in range(10):
            await asyncio.sleep(0)

    run(main())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_waiting_is_cancelled_and_goes_on(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.01)
        waiters = [asyncio.create_task(process.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.gather(*waiters[1:]) == [0, 0]

    run(main())


def test_children_of_a_loop_in_a_thread(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*(shell(f"echo {number}; exit {number}") for number in range(10)))

    results: dict[str, Any] = {}

    def work(name: str) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            results[name] = runner.run(main())

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [(number, b"%d\n" % number) for number in range(10)]
    assert results == {"0": expected, "1": expected, "2": expected}


def test_the_context_of_the_protocol(run: Run) -> None:
    import contextvars

    variable = contextvars.ContextVar("variable", default="")
    seen: list[str] = []

    class Looking(Recorder):
        def process_exited(self) -> None:
            super().process_exited()
            seen.append(variable.get())

    async def main() -> None:
        variable.set("of the caller")
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Looking, "/bin/true")
        variable.set("changed")
        await protocol.lost
        transport.close()

    run(main())
    if sys.version_info >= (3, 12):  # in 3.11 asyncio's thread tells
        assert seen == ["of the caller"]


def test_a_transport_that_was_forgotten() -> None:
    # asyncio leaves the pidfd open: riata alone.
    import riata

    async def main() -> list[Any]:
        transport, _ = await begin("exec sleep 1000", stdin=DEVNULL, stdout=None, stderr=None)
        return [transport]

    before = len(os.listdir("/proc/self/fd"))
    loop = riata.new_event_loop()
    held = loop.run_until_complete(main())
    pid = held[0].get_pid()
    held[0].get_extra_info("subprocess").kill()  # the loop, which runs no more, is not told
    held[0].get_extra_info("subprocess").wait()
    loop.close()
    with pytest.warns(ResourceWarning, match=f"unclosed transport <_UnixSubprocessTransport pid={pid} running"):
        held.clear()
    assert len(os.listdir("/proc/self/fd")) == before
