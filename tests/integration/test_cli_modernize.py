"""`riata modernize`: what changes, what is told of, and that everything else stays as it stands."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from riata.cli.modernize import modernize_text

CHANGES = {
    "a generator": (
        """
        import asyncio

        # About this one.
        @asyncio.coroutine
        def fetch(n):  # and this
            x = yield from asyncio.sleep(1,   n)
            return (yield from other(x)) + (yield from futures[0])
        """,
        """
        import asyncio

        # About this one.
        async def fetch(n):  # and this
            x = await asyncio.sleep(1,   n)
            return (await other(x)) + (await futures[0])
        """,
    ),
    "a method with other decorators, and functions within": (
        """
        from asyncio import coroutine

        class C:
            @first
            @coroutine
            @last
            def method(self):
                def inner():
                    yield from [1]
                yield from (a or b)
        """,
        """

        class C:
            @first
            @last
            async def method(self):
                def inner():
                    yield from [1]
                await (a or b)
        """,
    ),
    "an import of the decorator, beside another": (
        "from asyncio import coroutine as co, sleep\n@co\ndef f():\n    yield from sleep(1)\n",
        "from asyncio import sleep\nasync def f():\n    await sleep(1)\n",
    ),
    "a loop that was looked for in an argument": (
        "import asyncio\nlock = asyncio.Lock(loop=asyncio.get_event_loop())\n",
        "import asyncio\nlock = asyncio.Lock()\n",
    ),
    "an async function": (
        "import asyncio\n@asyncio.coroutine\nasync def f(): pass\n",
        "import asyncio\nasync def f(): pass\n",
    ),
    "loop=": (
        """
        import asyncio as aio
        from asyncio import Queue

        q = Queue(3, loop=loop)
        lock = aio.Lock(loop=loop)
        aio.gather(a, b, loop=loop, return_exceptions=True)
        aio.sleep(1, loop=loop)
        aio.subprocess.create_subprocess_exec("x", loop=loop)
        aio.Task(f(), loop=loop)
        other.sleep(1, loop=loop)
        """,
        """
        import asyncio as aio
        from asyncio import Queue

        q = Queue(3)
        lock = aio.Lock()
        aio.gather(a, b, return_exceptions=True)
        aio.sleep(1)
        aio.subprocess.create_subprocess_exec("x")
        aio.Task(f(), loop=loop)
        other.sleep(1, loop=loop)
        """,
    ),
    "wait": (
        """
        import asyncio

        async def main():
            await asyncio.wait([f(), asyncio.create_task(g()), loop.create_task(h())], timeout=1)
            await asyncio.wait({f(n) for n in range(3)}, loop=loop)
            await asyncio.wait(some + [f()])
        """,
        """
        import asyncio

        async def main():
            await asyncio.wait([asyncio.create_task(f()), asyncio.create_task(g()), loop.create_task(h())], timeout=1)
            await asyncio.wait({asyncio.create_task(f(n)) for n in range(3)})
            await asyncio.wait([asyncio.ensure_future(each) for each in some + [f()]])
        """,
    ),
    "locks": (
        """
        import asyncio

        @asyncio.coroutine
        def f():
            with (yield from lock):
                pass

        async def g():
            with await lock, await other:
                pass
            with open("x"):
                pass
        """,
        """
        import asyncio

        async def f():
            async with lock:
                pass

        async def g():
            async with lock, other:
                pass
            with open("x"):
                pass
        """,
    ),
    "the loop": (
        """
        import asyncio

        async def f():
            return asyncio.get_event_loop()

        if __name__ == "__main__":
            loop = asyncio.get_event_loop()  # the loop
            loop.run_until_complete(f())
        """,
        """
        import asyncio

        async def f():
            return asyncio.get_running_loop()

        if __name__ == "__main__":
            loop = asyncio.new_event_loop()  # the loop
            asyncio.set_event_loop(loop)
            loop.run_until_complete(f())
        """,
    ),
    "methods of tasks": (
        "import asyncio\nasyncio.Task.all_tasks(loop); asyncio.Task.current_task()\n",
        "import asyncio\nasyncio.all_tasks(loop); asyncio.current_task()\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), list(CHANGES.values()), ids=list(CHANGES))
def test_what_changes(before: str, after: str) -> None:
    changed, notes = modernize_text(dedent(before))
    assert changed == dedent(after)
    assert not notes
    assert modernize_text(changed) == (changed, [])


NOTES = {
    "a bare yield": ("@asyncio.coroutine\ndef f():\n    yield", 4),
    "a result that may be awaitable": ("@asyncio.coroutine\ndef f():\n    return g()", 3),
    "a decorator that is called": ("f = asyncio.coroutine(g)", 2),
    "wait by its name": ("from asyncio import wait\nasync def f():\n    await wait([g()])", 4),
    "coroutines or not": ("async def f(xs):\n    await asyncio.wait(xs)", 3),
    "a loop in a function": ("def f():\n    loop = asyncio.get_event_loop()", 3),
    "a loop that is not kept": ("asyncio.get_event_loop().run_forever()", 2),
    "a queue by its name": ("from asyncio import JoinableQueue\nJoinableQueue()", 3),
    "child watchers": ("asyncio.get_child_watcher()", 2),
    "policies": ("asyncio.set_event_loop_policy(None)", 2),
    "process pool": ("from concurrent import futures\nloop.set_default_executor(futures.ProcessPoolExecutor())", 3),
}


@pytest.mark.parametrize(("text", "line"), list(NOTES.values()), ids=list(NOTES))
def test_what_is_told_of(text: str, line: int) -> None:
    _, notes = modernize_text(f"import asyncio\n{text}\n")
    assert [note.line for note in notes] == [line]


def test_nothing_else_is_touched() -> None:
    text = "x = ( 1,\n 2 )   # odd\n\n\n\nclass   A :  pass\n\tdef_ = lambda  : (yield)\n".replace("\tdef_", "def_")
    assert modernize_text(text) == (text, [])
    this = Path(asyncio.__file__).with_name("queues.py").read_text(encoding="utf-8")
    assert modernize_text(this)[0] == this


def riata(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "riata", "modernize", *arguments],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
        check=False,
    )


OLD = """\
import asyncio

@asyncio.coroutine
def main():
    lock = asyncio.Lock(loop=loop)
    with (yield from lock):
        done, _ = yield from asyncio.wait([asyncio.sleep(0, n) for n in (1, 2)])
    print(sorted(each.result() for each in done))

loop = asyncio.get_event_loop()
loop.run_until_complete(main())
loop.close()
"""


def test_a_program_is_changed_and_runs(tmp_path: Path) -> None:
    program = tmp_path / "old.py"
    program.write_text(OLD)
    shown = riata("old.py", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert program.read_text() == OLD
    assert "-@asyncio.coroutine\n-def main():\n" in shown.stdout
    assert "+async def main():\n" in shown.stdout
    written = riata("--write", "old.py", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (0, "old.py: changed\n")
    assert riata("--write", "old.py", cwd=tmp_path).stdout == ""
    ended = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("[1, 2]\n", "")


def test_a_decorator_that_is_needed_is_imported_still() -> None:
    text = "from asyncio import coroutine\n@coroutine\ndef f():\n    yield\n"
    assert modernize_text(text)[0] == text


def test_what_is_told_of_a_file_that_is_written_has_its_new_lines(tmp_path: Path) -> None:
    program = tmp_path / "old.py"
    program.write_text("import asyncio\nloop = asyncio.get_event_loop()\nasyncio.get_child_watcher()\n")
    assert riata("old.py", cwd=tmp_path).stderr.startswith("old.py:3: ")
    assert riata("--write", "old.py", cwd=tmp_path).stderr.startswith("old.py:4: ")
    assert program.read_text().splitlines()[3] == "asyncio.get_child_watcher()"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "fine.py").write_text("import asyncio\nasyncio.sleep(1, loop=None)\n")
    ended = riata("--write", "broken.py", "missing.py", "fine.py", cwd=tmp_path)
    assert ended.returncode == 1
    assert "broken.py:1" in ended.stderr
    assert "missing.py" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == "fine.py: changed\n"
    assert riata(cwd=tmp_path).returncode == 2


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "libcst.py").write_text("raise ImportError")
    ended = subprocess.run(
        [sys.executable, "-m", "riata", "modernize", "x.py"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "riata[modernize]" in ended.stderr
