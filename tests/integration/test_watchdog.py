"""`riata.watchdog`: what freezes a loop is reported while it is frozen, once, and with where it came from."""

import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

import pytest

# Each program freezes its loop in a function called `freeze`, until the report has come.
PRELUDE = """
import asyncio, ctypes, logging, os, socket, sys, threading, time
import riata, riata.watchdog

reports, told = [], threading.Event()

def report(freeze):
    reports.append(freeze)
    told.set()

async def parent():
    return await asyncio.create_task(freeze(), name="the cold one")

def run(main, limit=0.05):
    riata.watchdog.start(limit, report)
    result = riata.run(main)
    riata.watchdog.stop()
    return result

def check(line):
    (freeze,) = reports
    assert not freeze.over and freeze.seconds >= 0.05, freeze
    assert freeze.task.get_name() == "the cold one"
    assert isinstance(freeze.loop, riata.Loop) and freeze.thread == threading.get_ident()
    assert any(line in frame.line for frame in freeze.stack if frame.name == "freeze"), str(freeze)
    assert any("create_task(freeze()" in frame.line for frame in freeze.created if frame.name == "parent"), str(freeze)
    for part in ("the cold one", line, "create_task(freeze()"):
        assert part in str(freeze), str(freeze)
"""


def run(program: str, *, before: tuple[str, ...] = ()) -> str:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.py")  # reports quote its lines
        script.write_text(PRELUDE + dedent(program))
        ended = subprocess.run(
            [*before, sys.executable, "-W", "error", script], capture_output=True, text=True, check=False, timeout=60
        )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


FREEZES = {
    "sleep": "while not told.is_set(): time.sleep(0.01)",
    "one long sleep": "time.sleep(0.5)",
    "computation": "while not told.is_set(): sum(range(1000))",
    "waiting for another thread": "told.wait()",
}


@pytest.mark.parametrize("blocking", list(FREEZES.values()), ids=list(FREEZES))
def test_what_blocks_is_reported_with_its_task(blocking: str) -> None:
    errors = run(
        f"""
        async def freeze():
            {blocking}

        run(parent())
        told.wait()
        check({blocking.partition(": ")[2] or blocking!r})
        """
    )
    assert "the task 'the cold one' holds the loop for" in errors
    assert "created at" in errors


ASKING = {
    "http.client": """
            connection = http.client.HTTPConnection(*server.getsockname())
            connection.request("GET", "/")
            response = connection.getresponse()
            return response.read()""",
    "requests": """
            host, port = server.getsockname()
            return requests.get(f"http://{host}:{port}/").content""",
}


@pytest.mark.parametrize("library", list(ASKING))
def test_reading_from_a_server_that_does_not_answer(library: str) -> None:
    line = {"http.client": "connection.getresponse()", "requests": "requests.get("}[library]
    run(
        f"""
        import {library}

        server = socket.create_server(("127.0.0.1", 0))

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                told.wait()
                connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nhello")

        async def freeze():{ASKING[library]}

        thread = threading.Thread(target=answer)
        thread.start()
        assert run(parent()) == b"hello"
        thread.join()
        server.close()
        check({line!r})
        assert any("recv" in frame.line for frame in reports[0].stack)
        """
    )


def _own_network() -> bool:
    return not subprocess.run(["unshare", "-rmn", "true"], capture_output=True, check=False).returncode


@pytest.mark.skipif(not _own_network(), reason="needs a network of its own, for a name server that does not answer")
def test_looking_up_a_name() -> None:
    # In a network of its own, where the name server is ours.
    run(
        """
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 53))

        def answer():
            while True:
                question, address = server.recvfrom(1000)
                told.wait()
                # The question again, as an answer that there is no such name.
                server.sendto(question[:2] + b"\\x81\\x83" + question[4:12].ljust(8, b"\\0") + question[12:], address)

        async def freeze():
            try:
                socket.getaddrinfo("a-name.example", 80)
            except socket.gaierror:
                return "no such name"

        threading.Thread(target=answer, daemon=True).start()
        assert run(parent()) == "no such name"
        check("socket.getaddrinfo")
        """,
        before=(
            "unshare",
            "-rmn",
            "sh",
            "-c",
            "echo nameserver 127.0.0.1 > /tmp/resolv.conf.$$ && mount --bind /tmp/resolv.conf.$$ /etc/resolv.conf"
            ' && rm /tmp/resolv.conf.$$ && ip link set lo up && exec "$@"',
            "sh",
        ),
    )


def test_what_holds_the_gil_is_reported_when_it_lets_go() -> None:
    run(
        """
        sleep = ctypes.PyDLL(None).usleep  # keeps the GIL

        async def freeze():
            global early
            early = told.is_set()  # a machine that stalls is a freeze, too
            sleep(300_000)
            told.wait()  # the report needs the GIL, and gets it here at the latest

        run(parent())
        (freeze,) = reports
        assert early or freeze.seconds > 0.2, freeze
        assert freeze.task.get_name() == "the cold one"
        """
    )


def test_a_freeze_is_reported_once_and_the_next_one_too() -> None:
    run(
        """
        async def freeze():
            told.wait()
            time.sleep(0.3)

        async def main():
            for _ in range(3):
                await parent()
                told.clear()

        run(main())
        assert len(reports) == 3, reports
        """
    )


def test_a_callback_has_no_task() -> None:
    errors = run(
        """
        async def main():
            loop = asyncio.get_running_loop()
            loop.call_soon(told.wait)
            reading, writing = socket.socketpair()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            told.clear()
            loop.add_reader(reading, told.wait)
            writing.send(b"x")
            await asyncio.sleep(0.01)
            loop.remove_reader(reading)
            reading.close()
            writing.close()

        run(main())
        first, second = reports
        assert first.task is second.task is None
        """
    )
    assert "a callback holds the loop" in errors


def test_what_does_not_block_is_not_reported() -> None:
    errors = run(
        """
        async def main():
            await asyncio.sleep(0.3)
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.3)

        run(main(), limit=0.1)
        assert not reports, reports
        """
    )
    assert errors == ""


def test_loops_in_other_threads_and_loops_that_run_already() -> None:
    run(
        """
        async def freeze():
            told.wait()

        async def begin():
            riata.watchdog.start(0.05, report)
            await parent()

        def elsewhere():
            riata.run(begin())

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        riata.watchdog.stop()
        assert reports[0].thread != threading.get_ident()
        assert any(frame.name == "freeze" for frame in reports[0].stack)
        """
    )


def test_a_guest_of_a_gevent_hub_holds_nobody_while_it_waits() -> None:
    pytest.importorskip("gevent")
    run(
        """
        import riata.gevent
        riata.gevent.install()
        import gevent

        async def freeze():
            gevent.sleep(0.3)  # the hub goes on
            await asyncio.sleep(0.3)

        async def blocks():
            told.wait()

        riata.watchdog.start(0.1, report)
        gevent.spawn(riata.run, parent()).get()
        assert not reports, str(reports[0])
        gevent.spawn(riata.run, blocks()).get()
        riata.watchdog.stop()
        assert [freeze.stack[-1].name for freeze in reports] == ["wait"], str(reports[0])
        assert any(frame.name == "blocks" for frame in reports[0].stack)
        """
    )


def test_starting_and_stopping() -> None:
    run(
        """
        for wrong in (0, -1, float("nan"), float("inf")):
            try:
                riata.watchdog.start(wrong)
            except ValueError:
                continue
            raise AssertionError(wrong)
        riata.watchdog.stop()
        for _ in range(3):
            riata.watchdog.start(1e-9)
            try:
                riata.watchdog.start(1)
            except RuntimeError:
                pass
            else:
                raise AssertionError("two watchdogs")
            riata.watchdog.stop()
        assert threading.active_count() == 1

        def stopping(freeze):
            riata.watchdog.stop()
            told.set()

        async def freeze():
            told.wait()

        riata.watchdog.start(0.05, stopping)
        riata.run(parent())
        told.clear()
        riata.watchdog.start(0.05, report)
        riata.run(parent())
        # It is left running: the interpreter stops it.
        """
    )


def test_a_report_that_raises_does_not_end_the_watch() -> None:
    errors = run(
        """
        sys.unraisablehook = lambda unraisable: reports.append(unraisable.exc_value)

        def failing(freeze):
            told.set()
            raise ValueError("no report today")

        async def freeze():
            told.wait()

        riata.watchdog.start(0.05, failing)
        for _ in range(2):
            told.clear()
            riata.run(parent())
        riata.watchdog.stop()
        assert [str(error) for error in reports] == ["no report today"] * 2
        """
    )
    assert "the cold one" in errors


def test_a_forked_child_is_not_watched_and_may_be() -> None:
    run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads

        async def freeze():
            told.wait()

        riata.watchdog.start(0.05, report)
        child = os.fork()
        if not child:
            riata.run(asyncio.sleep(0.01))
            riata.watchdog.start(0.05, report)
            riata.run(parent())
            riata.watchdog.stop()
            os._exit(10 + len(reports))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 11
        riata.run(parent())
        riata.watchdog.stop()
        assert len(reports) == 1
        """
    )


def test_debug_mode_tells_more_of_where_a_task_was_made() -> None:
    run(
        """
        async def freeze():
            told.wait()

        async def main():
            asyncio.get_running_loop().set_debug(True)
            asyncio.get_running_loop().slow_callback_duration = 100
            await parent()

        run(main())
        assert reports[0].created is reports[0].task._source_traceback
        """
    )


def test_riata_run_with_a_watchdog() -> None:
    program = "import asyncio, time\nasync def main(): time.sleep(0.5)\nasyncio.run(main())"
    ended = subprocess.run(
        [sys.executable, "-m", "riata", "run", "--watchdog", "0.1", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0
    assert "the task 'Task-1' holds the loop for" in ended.stderr
    for wrong in ("0", "x", "-1"):
        ended = subprocess.run(
            [sys.executable, "-m", "riata", "run", "--watchdog", wrong, "-c", program],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2
