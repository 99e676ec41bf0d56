"""`riata doctor`, `compare`, `completion`, and the options of `riata run`: as a shell would use them."""

import os
import pstats
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from riata.cli import main

RIATA = [sys.executable, "-m", "riata"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def riata(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*RIATA, *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
    )


COMMANDS = sorted(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    ended = riata(command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"  riata {command}" in ended.stdout.partition("Examples:")[2]
    assert "\x1b" not in ended.stdout


def test_every_option_of_run_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    options = [name for option in main.commands["run"].params for name in option.opts if name.startswith("--")]
    assert options
    assert [name for name in options if f"`{name}" not in page] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_told_of(command: str) -> None:
    root = Path(__file__).parents[2]
    assert f"riata {command}" in (root / "docs" / "command-line.md").read_text(encoding="utf-8")
    if command != "completion":
        for readme in ("README.md", "README.zh-CN.md"):
            assert f"`riata {command}" in (root / readme).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_nonsense_is_refused_without_a_traceback(command: str) -> None:
    ended = riata(command, "--no-such-option", "x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "No such option" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_list_of_commands_is_not_cut_off() -> None:
    assert "..." not in riata("--help").stdout.partition("Commands:")[2].partition("Examples:")[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--watchdog"], "'--watchdog' requires an argument"),
        (["--watchdog", "x", "x.py"], "is not a valid float"),
        *((["--watchdog", value, "x.py"], "is no number of seconds above 0") for value in ("0", "-1", "nan", "inf")),
        (["--profile=/no/such/folder/x", "x.py"], "cannot be written"),
        (["--profile=/", "x.py"], "cannot be written"),
    ],
)
def test_a_wrong_value_is_refused_before_the_program_begins(arguments: list[str], told: str) -> None:
    ended = riata("run", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_such_command() -> None:
    ended = riata("runn")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "No such command" in ended.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["completion", "bash"]])
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*RIATA, *arguments], env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_doctor_looks_at_everything() -> None:
    ended = riata("doctor")
    assert ended.stderr == ""
    assert ended.returncode == (1 if "problem" in ended.stdout else 0)
    for subject in ("Python", "kernel", "pidfd", "io_uring", "RLIMIT_NOFILE", "somaxconn", "a coroutine on riata"):
        assert subject in ended.stdout
    assert "\x1b" not in ended.stdout


def test_doctor_names_libraries_with_a_loop_of_their_own(tmp_path: Path) -> None:
    for name in ("uvloop", "nest_asyncio"):
        metadata = tmp_path / f"{name}-9.9.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    ended = subprocess.run(
        [*RIATA, "doctor"],
        env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path), "PYTHONASYNCIODEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert re.search(r"problem  nest-asyncio: 9.9\n +\S", ended.stdout)
    assert re.search(r"hint  uvloop: 9.9\n +\S", ended.stdout)
    assert "PYTHONASYNCIODEBUG" in ended.stdout


def test_doctor_tells_of_few_descriptors() -> None:
    ended = subprocess.run(
        ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *RIATA, "doctor"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"hint  open files \(RLIMIT_NOFILE\): 256, at most 256\n +\S.*ulimit", ended.stdout)


@pytest.mark.parametrize("wanted", [True, False])
def test_colours_on_a_terminal(wanted: bool) -> None:
    try:
        ours, its = os.openpty()
    except OSError:
        pytest.skip("no pseudo-terminals here")
    environment = {**ENVIRONMENT, "NO_COLOR": "" if wanted else "1"}
    process = subprocess.Popen([*RIATA, "doctor"], env=environment, stdout=its)
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    process.wait()
    assert b"Python" in shown
    assert (b"\x1b[" in shown) is wanted


def test_compare_runs_a_program_on_each_loop(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import asyncio, sys\n"
        "async def main(): return type(asyncio.get_running_loop()).__module__\n"
        "with open('loops.txt', 'a') as file: print(asyncio.run(main()), sys.argv[1:], file=file)\n"
        "print('shown')\n"
    )
    ended = riata("compare", "--rounds", "2", "program.py", "--rounds", "x", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "shown" not in ended.stdout
    assert [line.split("  ")[0] for line in ended.stdout.splitlines()[1:5]] == [
        "wall clock, s",
        "CPU, s",
        "memory, MiB",
        "context switches",
    ]
    assert "Medians of 2 runs" in ended.stdout
    loops = (tmp_path / "loops.txt").read_text().splitlines()
    assert {line.partition(" ")[2] for line in loops} == {"['--rounds', 'x']"}
    assert [line.split(".")[0].split(" ")[0] for line in loops if "uvloop" not in line] == ["asyncio", "riata"] * 2
    assert "shown" in riata("compare", "--show", "--rounds", "1", "program.py", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import sys; sys.exit(3)", "status 3"),
        ("import sys; sys.exit(200)", "status 200"),
        ("this is no Python", "status 1"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)", f"signal {signal.SIGRTMIN + 1}"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    ],
)
def test_compare_tells_of_programs_that_fail(program: str, told: str) -> None:
    ended = riata("compare", "--rounds", "1", "-c", program)
    assert ended.returncode == 1
    assert f"On riata the program {'ended with' if 'status' in told else 'was killed by'} {told}." in ended.stderr


def test_compare_runs_a_program_that_always_fails_once() -> None:
    ended = riata("compare", "/no/such/file.py")
    assert ended.returncode == 1
    assert ended.stderr.count("can't open file") == ended.stderr.count("ended with status 2")
    assert "Medians of 1 run," in ended.stdout


def test_compare_of_nothing() -> None:
    assert riata("compare").returncode == 2
    assert riata("compare", "-").returncode == 2
    assert riata("compare", "--rounds", "0", "x.py").returncode == 2
    assert riata("compare", "--rounds", "1", "/no/such/file.py").returncode == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_RIATA_COMPLETE" in riata("completion", shell).stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("riata do", "plain,doctor"),
        ("riata run --le", "plain,--legacy"),
        ("riata run pro", "file,pro"),
        ("riata run --reload pro", "file,pro"),
        ("riata run program.py --le", "file,--le"),
        ("riata compare pro", "file,pro"),
        ("riata modernize pro", "file,pro"),
        ("riata completion z", "plain,zsh"),
    ],
)
def test_what_is_completed(words: str, completed: str) -> None:
    shown = subprocess.run(
        [Path(sys.executable).with_name("riata")],
        env={
            **ENVIRONMENT,
            "_RIATA_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.splitlines() == [completed]


def test_debug_is_asyncios_debug_mode() -> None:
    program = """
import asyncio
async def main(): return asyncio.get_running_loop().get_debug()
print(asyncio.run(main()))
"""
    assert riata("run", "--debug", "-c", program).stdout == "True\n"
    assert riata("run", "-c", program).stdout == "False\n"


def test_profile(tmp_path: Path) -> None:
    program = "def find_me(): return sum(range(10**6))\nfind_me()"
    ended = riata("run", "--profile", "-c", program)
    assert ended.returncode == 0
    assert "find_me" in ended.stderr
    kept = tmp_path / "a file.prof"
    ended = riata("run", f"--profile={kept}", "-c", program + "\nraise SystemExit(3)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")
    assert any(name == "find_me" for _, _, name in pstats.Stats(str(kept)).stats)  # type: ignore[attr-defined]


def test_reload(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    text = "import signal\nprint({!r}, flush=True)\nsignal.pause()\n"
    program.write_text(text.format("first"))
    with subprocess.Popen(
        [*RIATA, "run", "--reload", "program.py"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        changed = False
        while not changed:  # until somebody watches: nothing tells when that begins
            program.write_text(text.format("second"))
            changed = bool(select.select([process.stdout], [], [], 1)[0])
        assert process.stdout.readline() == "second\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    assert "program.py changed, starting again" in errors


def test_reload_ends_a_program_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import signal\nprint('ready', flush=True)\nsignal.pause()\n")
    with subprocess.Popen(
        [*RIATA, "run", "--reload", "program.py"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")
    assert process.returncode == 128 + signal.SIGINT


def test_reload_leaves_other_errors_their_tracebacks(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('begins', flush=True)\n1 / 0\n")
    with subprocess.Popen(
        [*RIATA, "run", "--reload", "program.py"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        told = [process.stderr.readline()]
        while "waiting for a change" not in told[-1]:
            told.append(process.stderr.readline())
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert told[-2] == "ZeroDivisionError: division by zero\n"


# Says how many signals it got: a second one comes at once, or not at all.
COUNTS_SIGNALS = """
import signal
numbers = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
print(signal.Signals(signal.sigwait(numbers)).name, signal.sigtimedwait(numbers, 0.5), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_reload_passes_a_signal_on_once(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "program.py").write_text(COUNTS_SIGNALS)
    with subprocess.Popen(
        [*RIATA, "run", "--reload", "program.py"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"{number.name} None\n"
    assert process.returncode == 0


def test_ctrl_c_in_a_terminal_interrupts_a_reloaded_program_once(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(COUNTS_SIGNALS)
    try:
        ours, its = os.openpty()
    except OSError:
        pytest.skip("no pseudo-terminals here")
    begin = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    with (
        open(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(
            [sys.executable, "-c", begin, *RIATA, "run", "--reload", "program.py"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=its,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        os.close(its)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        terminal.write(b"\x03")
        assert process.stdout.read() == "SIGINT None\n"
    assert process.returncode == 0


def test_reload_says_that_a_program_has_ended(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("raise SystemExit(3)")
    with subprocess.Popen(
        [*RIATA, "run", "--reload", "program.py"], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "riata run: the program has ended; waiting for a change\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == 3


def test_reload_without_the_library_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "watchfiles.py").write_text("raise ImportError")
    ended = subprocess.run(
        [*RIATA, "run", "--reload", "x.py"],
        env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "riata[reload]" in ended.stderr
