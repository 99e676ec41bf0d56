"""`riata.unblock` and `riata run --unblock`: each case is a program of its own."""

from textwrap import dedent

import pytest

from .green.programs import ends_well

pytest.importorskip("gevent")

BLOCKING = """
import asyncio, io, queue, select, socket, sqlite3, subprocess, sys, tempfile, threading, time

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

    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/base"
        one, two = sqlite3.connect(path, isolation_level=None), sqlite3.connect(path, timeout=30)
        one.execute("create table t (x)")
        one.execute("begin exclusive")
        async def waits_for_the_lock():
            two.execute("insert into t values (1)")
            with two:
                pass
            return two.cursor().execute("select x from t").fetchall()
        async def unlocks():
            await asyncio.sleep(0.001)
            one.execute("commit")
        assert (await asyncio.gather(waits_for_the_lock(), unlocks()))[0] == [(1,)]
        one.close()
        two.close()

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
        def known():
            yield from (time.sleep, socket.socket, threading.Lock, subprocess.Popen, select.select, threading.get_ident)
            yield from (open, io.open, sqlite3.connect, sqlite3.dbapi2.connect)
        before = [*known()]
        riata.install()
        with riata.unblock():
            asyncio.run(main())
            assert time.sleep is not before[0]
        assert [*known()] == before
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


def test_files_are_read_and_written_in_threads() -> None:
    program = """
        import asyncio, builtins, io, os, sys, tempfile
        from pathlib import Path
        from riata.gevent import _files
        from riata.gevent._files import File, _open

        jobs = []
        def observe(open):  # what the files that it gives do and say
            for mode, options in [
                ("w", {}), ("a", {}), ("r", {}), ("r+", {}), ("w+", {"newline": ""}), ("x", {}), ("rb", {}), ("wb", {}),
                ("ab", {}), ("rb+", {}), ("wb+", {"buffering": 20}), ("rb", {"buffering": 0}), ("rt", {"buffering": 1}),
                ("r", {"encoding": "latin-1", "errors": "replace"}), ("rw", {}), ("rbt", {}), ("q", {}), (5, {}),
                ("r", {"buffering": 0}), ("rb", {"encoding": "utf-8"}), ("r", {"closefd": False}), ("rr", {}),
            ]:
                Path("file").write_bytes("ä\\r\\nb\\n".encode() * 5000)
                try:
                    with open("new" if mode == "x" else "file", mode, **options) as file:
                        yield type(file), file.mode, file.name, file.readable(), file.writable(), file.tell()
                        if isinstance(file, io.TextIOBase):
                            yield file.encoding, file.errors, file.line_buffering
                        if file.readable():
                            yield file.read(3), file.readline(), file.tell(), file.read(40000), next(file), file.read()
                        if file.writable():
                            text = "ö\\n" * 9000
                            yield file.write(text if isinstance(file, io.TextIOBase) else text.encode()), file.tell()
                    yield file.closed
                except Exception as error:
                    yield type(error), str(error)
                yield Path("file").read_bytes()
                Path("new").unlink(missing_ok=True)

        async def main():
            assert open is not _open and io.open is open
            plain = [*observe(_open)]
            in_thread = _files.in_thread
            def counted(*arguments):
                jobs.append(arguments)
                return in_thread(*arguments)
            _files.in_thread = counted
            ours = [*observe(open)]
            assert len(jobs) > 20, len(jobs)
            assert len(plain) == len(ours)
            for one, other in zip(plain, ours):
                if isinstance(one, tuple) and one[0] is io.FileIO:
                    one = (File, *one[1:])
                assert one == other, (one, other)
            assert [*Path(".").iterdir()] == [Path("file")]

            # What cannot wait in a thread is as it was.
            out, into = os.pipe()
            with open(out, "rb") as reader, open(into, "wb", buffering=0) as writer:
                before = len(jobs)
                writer.write(b"x")
                assert reader.read(1) == b"x" and len(jobs) == before

        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            asyncio.run(main())
        """
    ends_well("-m", "riata", "run", "--unblock", "-c", dedent(program))


def test_sqlite_is_asked_in_threads() -> None:
    program = """
        import asyncio, sqlite3, threading
        from gevent import monkey
        ident = monkey.get_original("threading", "get_ident")

        class Mine(sqlite3.Connection):
            pass

        class Cursor(sqlite3.Cursor):
            pass

        async def main():
            here, seen = ident(), []
            base = sqlite3.connect(":memory:", factory=Mine)
            assert isinstance(base, Mine)
            base.create_function("who", 0, lambda: seen.append(ident()))
            base.execute("select who()").fetchall()
            base.cursor(Cursor).execute("select who()")
            assert isinstance(base.cursor(Cursor), Cursor)
            assert isinstance(base.execute("select 1"), sqlite3.Cursor)
            assert len(seen) == 2 and here not in seen
            base.executescript("create table t (x); insert into t values (1)")
            base.executemany("insert into t values (?)", [(2,), (3,)])
            base.commit()
            base.row_factory = sqlite3.Row
            rows = base.execute("select x from t order by x")
            assert [row["x"] for row in rows] == [1, 2, 3]
            assert rows.fetchone() is None
            assert len(rows.execute("select x from t").fetchmany(2)) == 2
            try:
                with base:
                    base.execute("delete from t")
                    raise KeyError
            except KeyError:
                pass
            assert base.execute("select count(*) from t").fetchone()[0] == 3
            try:
                base.execute("nonsense")
            except sqlite3.OperationalError as error:
                assert "syntax error" in str(error)

            # Calls of one connection, one after the other.
            async def adds(number):
                base.execute("insert into t values (?)", (number,))
                base.commit()
                return base.execute("select count(*) from t").fetchall()
            await asyncio.gather(*[adds(number) for number in range(50)])
            assert base.execute("select count(*) from t").fetchone()[0] == 53

            try:
                await asyncio.to_thread(base.execute, "select 1")
            except sqlite3.ProgrammingError as error:
                assert "created in a thread can only be used in that same thread" in str(error)
            else:
                raise AssertionError
            shared = sqlite3.connect(":memory:", check_same_thread=False)
            assert (await asyncio.to_thread(shared.execute, "select 1")).fetchall() == [(1,)]
            base.close()
            shared.close()

        asyncio.run(main())
        """
    ends_well("-m", "riata", "run", "--unblock", "-c", dedent(program))


def test_children_begin_as_they_do_in_cpython() -> None:
    program = """
        import asyncio, os, signal, subprocess, sys

        async def main():
            run = subprocess.run
            assert run(["cat"], input=b"x", capture_output=True).stdout == b"x"
            assert run("exit 3", shell=True).returncode == 3
            assert run(["sh", "-c", "echo $A; pwd"], env={"A": "b"}, cwd="/", stdout=-1, text=True).stdout == "b\\n/\\n"
            assert run(["sh", "-c", "kill -9 $$"]).returncode == -9
            for wrong, error, name in [(["/nowhere"], FileNotFoundError, "/nowhere"), (["/"], PermissionError, "/")]:
                try:
                    run(wrong)
                except error as told:
                    assert told.filename == name, told.filename
                else:
                    raise AssertionError
            try:
                run(["cat"], cwd="/nowhere")
            except FileNotFoundError as told:
                assert told.filename == "/nowhere"
            try:
                run(["sleep", "100"], timeout=0.01)
            except subprocess.TimeoutExpired:
                pass
            out, into = os.pipe()
            write = [sys.executable, "-c", f"import os; os.write({into}, b'y')"]
            with subprocess.Popen(write, pass_fds=[into], start_new_session=True) as child:
                os.close(into)
                assert child.wait() == 0
            assert os.read(out, 10) == b"y"
            os.close(out)
            with subprocess.Popen(["cat"], stdin=-1, stdout=-1, process_group=0, preexec_fn=lambda: None) as child:
                assert os.getpgid(child.pid) == child.pid
                child.send_signal(signal.SIGTERM)
                assert child.wait() == -signal.SIGTERM
            # Many at once, of each of which the rest of the program waits for nothing.
            ended = await asyncio.gather(*[sleeps() for _ in range(20)])
            assert ended == [0] * 20

        async def sleeps():
            return subprocess.run(["sleep", "0.01"]).returncode

        asyncio.run(main())
        """
    ends_well("-m", "riata", "run", "--unblock", "-c", dedent(program))
