"""The command line itself: that it installs the loop, and what it says of arguments it cannot use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from riata.cli.interpreter import BOOT, CommandLine

WHOSE = """
import asyncio
async def main():
    import riata
    return isinstance(asyncio.get_running_loop(), riata.Loop)
print(asyncio.run(main()))
"""


def riata(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables
    command = [sys.executable, "-m", "riata", *arguments]
    return subprocess.run(command, input=stdin, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_every_way_of_naming_a_program_runs_on_riata(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(WHOSE)
    for arguments in (
        ["script.py"],
        ["-m", "script"],
        ["-c", WHOSE],
        ["-"],
        ["-P", "script.py"],
        ["-W", "error", "script.py"],
    ):
        ended = riata("run", *arguments, stdin=WHOSE, cwd=tmp_path)
        assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0), arguments


def test_the_installed_command() -> None:
    command = Path(sys.executable).with_name("riata")
    ended = subprocess.run([command, "run", "-c", WHOSE], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0)


def test_the_process_stays_the_same() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "riata", "run", "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE, text=True
    ) as process:
        stdout, _ = process.communicate()
    assert int(stdout) == process.pid


def test_version_names_riata_and_python() -> None:
    ended = riata("--version")
    assert ended.stdout.startswith("riata 0.")
    assert sys.version.split()[0] in ended.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["run", "-h"]])
def test_help_has_examples(arguments: list[str]) -> None:
    ended = riata(*arguments)
    assert ended.returncode == 0
    assert "riata run server.py --port 8080" in ended.stdout


@pytest.mark.parametrize("arguments", [[], ["-O"], ["--"], ["-X", "dev"]])
def test_no_program_is_a_usage_error(arguments: list[str]) -> None:
    ended = riata("run", *arguments)
    assert ended.returncode == 2
    assert "name a program to run" in ended.stderr


def test_a_mistyped_option_is_told_from_pythons() -> None:
    ended = riata("run", "--lagacy", "script.py")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--legacy" in ended.stderr
    assert riata("run", "--legacy", "--check-hash-based-pycs", "always", "-c", "print(1)").stdout == "1\n"


def test_legacy_brings_back_what_is_gone() -> None:
    old = "import asyncio; print(hasattr(asyncio, 'coroutine'), hasattr(asyncio.Task, 'all_tasks'))"
    assert riata("run", "--legacy", "-c", old).stdout == "True True\n"
    assert riata("run", "--legacy", "--no-primitives", "-c", old).stdout == "True True\n"
    assert riata("run", "-c", old).stdout == "False False\n"


@pytest.mark.parametrize("option", ["-I", "-E", "-S", "-BE"])
def test_options_that_would_leave_riata_out_are_refused(option: str) -> None:
    ended = riata("run", option, "-c", "print('ran')")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "riata's loop" in ended.stderr


def test_a_loop_that_cannot_be_installed_ends_the_program_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "riata.py").write_text("raise RuntimeError('no loop today')")
    path = f"{BOOT}{os.pathsep}{tmp_path}"
    ended = subprocess.run(
        [sys.executable, "-c", "print('ran')"],
        env={**os.environ, "PYTHONPATH": path, "RIATA_RUN_PYTHONPATH": str(tmp_path), "RIATA_RUN_OPTIONS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no loop today" in ended.stderr


@pytest.mark.parametrize(
    ("line", "options", "program"),
    [
        ("script.py -c x", [], ["script.py", "-c", "x"]),
        ("-c code -O", [], ["-c", "code", "-O"]),
        ("-mmodule -O", [], ["-mmodule", "-O"]),
        ("-uBm module x", ["-uB"], ["-m", "module", "x"]),
        ("-W error -Xdev -O - x", ["-W", "error", "-Xdev", "-O"], ["-", "x"]),
        ("-bW error x", ["-bW", "error"], ["x"]),
        ("--check-hash-based-pycs always x", ["--check-hash-based-pycs", "always"], ["x"]),
        ("-u -- -x y", ["-u"], ["--", "-x", "y"]),
        ("-X", ["-X"], []),
        ("", [], []),
    ],
)
def test_a_command_line_is_split_where_python_splits_it(line: str, options: list[str], program: list[str]) -> None:
    command = CommandLine.parse(line.split())
    assert (list(command.options), list(command.program)) == (options, program)
