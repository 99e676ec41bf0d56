"""`riata run` against `python` itself: the same program under both, compared byte for byte."""

import os
import py_compile
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

PYTHON = [sys.executable]
RIATA = [sys.executable, "-m", "riata", "run"]

# Everything about its surroundings that a program can see, on one line each.
WHERE_AM_I = """
import inspect, os, sys
x: int = 1
for name, value in sorted(globals().items()):
    if name.startswith("__"):
        print(name, type(value) if name in ("__loader__", "__builtins__") else value)
print(sys.argv, sys.path, sys.flags, sys.orig_argv, sys.warnoptions, sys._xoptions, sep="\\n")
print(sys.modules["__main__"].__dict__ is globals(), "sitecustomize" in sys.modules)
print([path for path in sys.path_importer_cache if "/riata/" in path and path.endswith("boot")])
print([(frame.filename, frame.function) for frame in inspect.stack()])
print(sorted(os.environ.items()), sys.stdin.isatty(), sys.stdout.line_buffering)
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str


class Place:
    """A folder for programs, and an environment for them with nothing of Python's in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        # Both run at the same time: neither may find what the other has compiled.
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def start(self, command: list[str]) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def both(self, *arguments: str, stdin: str = "") -> tuple[Ended, Ended]:
        """How `arguments` end under `python` and under `riata run`."""
        with self.start([*PYTHON, *arguments]) as python, self.start([*RIATA, *arguments]) as riata:
            expected, got = (end(process, stdin) for process in (python, riata))
        return expected, got

    def same(self, *arguments: str, stdin: str = "") -> Ended:
        """How `arguments` end, having seen that `python` and `riata run` agree."""
        expected, got = self.both(*arguments, stdin=stdin)
        assert got == expected
        return got


def end(process: "subprocess.Popen[str]", stdin: str = "") -> Ended:
    """Wait for `process`; object addresses, which differ between any two runs, are taken out of what it wrote."""
    stdout, stderr = (re.sub(r"0x[0-9a-f]+", "0x…", text) for text in process.communicate(stdin))
    return Ended(process.returncode, stdout, stderr)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- the program's surroundings


def test_script(place: Place) -> None:
    place.file("folder/script.py", WHERE_AM_I)
    ended = place.same("folder/script.py", "--help", "-m", "--", "x")
    assert "['folder/script.py', '--help', '-m', '--', 'x']" in ended.stdout


def test_code(place: Place) -> None:
    assert "['-c', 'a', '-c']" in place.same("-c", WHERE_AM_I, "a", "-c").stdout
    place.same("-c" + WHERE_AM_I, "--version")


def test_module(place: Place) -> None:
    place.file("program.py", WHERE_AM_I)
    assert "ModuleSpec(name='program'" in place.same("-m", "program", "--help").stdout
    place.same("-mprogram", "-h")


def test_package(place: Place) -> None:
    place.file("package/__init__.py", "print('package', __name__)")
    place.file("package/__main__.py", WHERE_AM_I + "from . import sibling\n")
    place.file("package/sibling.py", "print(__name__)")
    ended = place.same("-m", "package", "x")
    assert ended.stdout.endswith("package.sibling\n")


def test_folder_with_main(place: Place) -> None:
    place.file("app/__main__.py", WHERE_AM_I + "import beside\n")
    place.file("app/beside.py", "print(__file__)")
    assert place.same("app", "x").status == 0


def test_zip_with_main(place: Place) -> None:
    with zipfile.ZipFile(place.folder / "app.zip", "w") as archive:
        archive.writestr("__main__.py", WHERE_AM_I)
    assert place.same("app.zip", "x").status == 0


def test_compiled_file(place: Place) -> None:
    py_compile.compile(str(place.file("script.py", WHERE_AM_I)), str(place.folder / "script.pyc"), doraise=True)
    assert place.same("script.pyc").status == 0


def test_program_on_standard_input(place: Place) -> None:
    assert "['-', 'x']" in place.same("-", "x", stdin=WHERE_AM_I).stdout


def test_file_named_like_an_option(place: Place) -> None:
    place.file("-m.py", WHERE_AM_I)
    assert place.same("--", "-m.py", "--", "x").status == 0


@pytest.mark.parametrize(
    "options", [["-P"], ["-s"], ["-O"], ["-u"], ["-bb"], ["-X", "dev"], ["-Xutf8=0"], ["-W", "error"]]
)
def test_options_of_python(place: Place, options: list[str]) -> None:
    place.file("script.py", WHERE_AM_I)
    assert place.same(*options, "script.py", "x").status == 0


def test_options_of_the_running_interpreter_hold_for_the_program(place: Place) -> None:
    place.file("script.py", WHERE_AM_I)
    options = ["-uB", "-X", "dev", "-Werror", "-P"]
    with (
        place.start([*PYTHON, *options, "script.py"]) as python,
        place.start([*PYTHON, *options, *RIATA[1:], "script.py"]) as riata,
    ):
        expected, got = end(python), end(riata)
    assert got == expected
    assert got.status == 0


def test_interactive_after_the_program(place: Place) -> None:
    place.file("script.py", "x = 42\n1/0\n")
    assert "42" in place.same("-i", "script.py", stdin="print(x)\n").stdout


@pytest.mark.parametrize("path", [None, "", "elsewhere", "elsewhere:other", ":elsewhere"])
def test_pythonpath(place: Place, path: str | None) -> None:
    place.file("elsewhere/module.py", "")
    place.file("script.py", WHERE_AM_I)
    if path is not None:
        place.environment["PYTHONPATH"] = path
    assert place.same("script.py").status == 0
    assert place.same("-c", WHERE_AM_I).status == 0


@pytest.mark.parametrize("variable", ["PYTHONSAFEPATH", "PYTHONUNBUFFERED", "PYTHONWARNINGS", "PYTHONNOUSERSITE"])
def test_variables_of_python(place: Place, variable: str) -> None:
    place.environment[variable] = "error" if variable == "PYTHONWARNINGS" else "1"
    place.file("script.py", WHERE_AM_I)
    assert place.same("script.py").status == 0


@pytest.mark.parametrize("body", ["print('customized', __name__, __file__)", "import nowhere", "1/0"])
def test_sitecustomize_of_the_users(place: Place, body: str) -> None:
    place.file("custom/sitecustomize.py", body)
    place.environment["PYTHONPATH"] = "custom"
    expected, got = place.both("-c", WHERE_AM_I)
    # The interpreter that reads our command line has a sitecustomize too, and says its part first.
    assert got.stdout.endswith(expected.stdout)
    assert got.stderr == 2 * expected.stderr
    assert got.status == expected.status == 0


# --- how it ends

ENDINGS = {
    "return": "pass",
    "exit": "raise SystemExit",
    "exit_3": "import sys; sys.exit(3)",
    "exit_text": "import sys; sys.exit('no good')",
    "exit_object": "import sys; sys.exit((1, 2))",
    "exit_now": "import os; os._exit(7)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "def f():\n    raise KeyboardInterrupt\nf()",
    "signalled": "import signal\ndef f():\n    signal.raise_signal(signal.SIGINT)\nf()",
    "error": "def f():\n    return 1 / 0\n\nf()",
    "chained": "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e",
    "context": "try:\n    {}['a']\nexcept KeyError:\n    [][0]",
    "group": "raise ExceptionGroup('several', [ValueError(1), ExceptionGroup('inner', [KeyError('k')])])",
    "note": "e = ValueError('x')\ne.add_note('a note')\nraise e",
    "syntax": "x = 1\nfor in y:\n    pass",
    "indent": "if 1:\nx = 2",
    "null": "x = '\\0'\nimport nowhere",
    "hook": "import sys\nsys.excepthook = lambda kind, value, tb: print('hook', kind, tb.tb_lineno, tb.tb_next)\n1/0",
    "hook_fails": "import sys\ndef hook(*a): raise OSError\nsys.excepthook = hook\n1/0",
    "hook_gone": "import sys\ndel sys.excepthook\n1/0",
    "atexit": "import atexit\natexit.register(lambda: 1/0)",
    "thread": "import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()",
    "unraisable": "class A:\n    def __del__(self): 1/0\na = A()\ndel a",
    "warning": "import warnings\ndef f():\n    warnings.warn('careful', stacklevel=2)\nf()",
    "warning_above": "import warnings\nwarnings.warn('nobody called', stacklevel=9)",
    "deprecation": "import warnings\nwarnings.warn('old', DeprecationWarning)",
    "stack": "import traceback\ndef f():\n    traceback.print_stack()\nf()",
    "frames": "import sys\nsys._getframe(1)",
    "recursion": "import sys\nsys.setrecursionlimit(60)\ndef f(n):\n    print(n, flush=True)\n    f(n + 1)\nf(0)",
    "run_path": "import runpy, pathlib\npathlib.Path('other.py').write_text('1/0')\nrunpy.run_path('other.py')",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_ending_of_a_script(place: Place, ending: str) -> None:
    place.file("script.py", ENDINGS[ending])
    place.same("script.py")


@pytest.mark.parametrize("ending", ENDINGS)
def test_ending_of_code(place: Place, ending: str) -> None:
    place.same("-c", ENDINGS[ending])


@pytest.mark.parametrize("ending", ["error", "syntax", "interrupted", "stack"])
def test_ending_of_a_module_and_of_standard_input(place: Place, ending: str) -> None:
    place.file("program.py", ENDINGS[ending])
    place.same("-m", "program")
    place.same("-", stdin=ENDINGS[ending])


def test_interrupted_is_killed_by_the_signal(place: Place) -> None:
    assert place.same("-c", "raise KeyboardInterrupt").status == -signal.SIGINT


@pytest.mark.parametrize(
    "arguments", [["nowhere.py"], ["empty"], ["-m", "nowhere"], ["-m", "empty"], ["-m", "json.nowhere"]]
)
def test_program_that_is_not_there(place: Place, arguments: list[str]) -> None:
    place.file("empty/nothing.txt", "")
    assert place.same(*arguments).status in (1, 2)


def test_missing_file_says_what_python_says(place: Place) -> None:
    ended = place.same("nowhere.py")
    assert ended.status == 2
    assert ended.stderr.endswith("[Errno 2] No such file or directory\n")


def test_other_interpreters_in_the_process(place: Place) -> None:
    """They have no loop of riata's, which refuses them: the process ended when one was made."""
    place.file(
        "script.py",
        """
        import os, sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        other = interpreters.create()
        interpreters.run_string(other, "import os, sys; print(sys.path, os.environ.get('PYTHONPATH'), flush=True)")
        interpreters.destroy(other)
        print(sys.path, os.environ.get("PYTHONPATH"))
        """,
    )
    ended = place.same("script.py")
    assert (ended.status, len(ended.stdout.splitlines())) == (0, 2), ended


def test_ctrl_c(place: Place) -> None:
    # Where it strikes is chance, so of the traceback only the last line is held against python's;
    # "signalled" above is the same with the place fixed.
    # The alarm: were this run ended before it sends the signal, nobody would end the script.
    script = place.file(
        "script.py", "import signal\nsignal.alarm(60)\nprint('ready', flush=True)\nwhile True:\n    pass\n"
    )
    ends = []
    for command in (PYTHON, RIATA):
        with place.start([*command, str(script)]) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            ended = end(process)
        ends.append((ended.status, ended.stdout, ended.stderr.splitlines()[0], ended.stderr.splitlines()[-1]))
    assert ends[0] == ends[1]
    assert ends[1][0] == -signal.SIGINT


# --- what programs do


def test_input(place: Place) -> None:
    place.file("script.py", "import sys\nprint(input('name? '))\nprint(sys.stdin.read())\ninput()")
    assert place.same("script.py", stdin="riata\nand\nmore").stdout == "name? riata\nand\nmore\n"


def test_pickle_and_source_of_what_main_defines(place: Place) -> None:
    place.file(
        "script.py",
        """
        import inspect, linecache, pickle, sys
        class Point:
            x = 1
        def double(n):
            return 2 * n
        print(pickle.loads(pickle.dumps(Point())).__class__ is Point, pickle.loads(pickle.dumps(double)) is double)
        print(inspect.getsource(Point), inspect.getsource(double), linecache.getline(__file__, 2), sys.argv)
        """,
    )
    assert place.same("script.py").status == 0


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pool(place: Place, method: str) -> None:
    program = f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        class Number(int):
            pass
        def square(n):
            return Number(n * n), __name__ == {'"__main__"' if method == "fork" else '"__mp_main__"'}
        if __name__ == "__main__":
            with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:
                print(list(pool.map(square, range(5))))
        """
    place.file("script.py", program)
    assert place.same("script.py").stdout.count("True") == 5
    assert place.same("-m", "script").stdout.count("True") == 5


def test_pdb(place: Place) -> None:
    place.file("script.py", "x = 6\ny = 7\nprint(x * y)\n")
    assert "42" in place.same("-m", "pdb", "script.py", stdin="next\nnext\nwhere\np x\ncontinue\nquit\n").stdout


def test_children_are_plain_python(place: Place) -> None:
    child = "import asyncio; print(type(asyncio.new_event_loop()))"
    place.file(
        "script.py", f"import subprocess, sys\nsubprocess.run([sys.executable, '-W', 'ignore', '-c', {child!r}])"
    )
    assert "asyncio" in place.same("script.py").stdout


def test_output_into_a_closed_pipe(place: Place) -> None:
    program = "print('x' * 1000000)"
    ended = []
    for command in (PYTHON, RIATA):
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.run(
            [*command, "-c", program],
            env=place.environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writing)
        ended.append((process.returncode, process.stderr))
    assert ended[0] == ended[1]
    assert "BrokenPipeError" in ended[0][1]
