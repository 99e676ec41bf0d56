"""`riata completion` in real shells, set up by the documentation's lines: what is typed is completed, and runs."""

import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
PROMPT = b"ready> "
# How each shell starts for somebody at a terminal, and what makes its prompt known.
SHELLS = {
    "bash": (["bash", "--noprofile", "-i"], ".bashrc", "PS1='ready> '\n"),
    "zsh": (["zsh", "-i"], ".zshrc", "PS1='ready> '\n"),
    "fish": (["fish", "-i"], ".config/fish/config.fish", "function fish_prompt; printf 'ready> '; end\n"),
}


# Makes the terminal the shell's own.
BEGIN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """A shell in a terminal."""

    def __init__(self, arguments: list[str], home: Path, environment: dict[str, str]) -> None:
        self.seen = b""
        try:
            self._fd, its = os.openpty()
        except OSError:
            pytest.skip("no pseudo-terminals here")
        self._shell = subprocess.Popen(
            [sys.executable, "-c", BEGIN, *arguments],
            cwd=home,
            env=environment,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
        os.close(its)

    def prompted(self) -> None:
        """Wait for a prompt."""
        while PROMPT not in self.seen:
            self._read()
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def shows(self, file: Path, wanted: str) -> None:
        """Wait until a file has what the shell was told to write there."""
        while not (file.exists() and wanted in file.read_text(encoding="utf-8")):
            self._read(seconds=0.1)

    def _read(self, seconds: float | None = None) -> None:
        if select.select([self._fd], [], [], seconds)[0]:
            self.seen += os.read(self._fd, 65536)

    def close(self) -> None:
        self._shell.kill()
        os.close(self._fd)
        self._shell.wait()


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """A new shell of somebody who has typed the documentation's line before."""
    shell = request.param
    arguments, settings, prompt = SHELLS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    kept = ("XDG", "ZDOTDIR", "PYTHON", "BASH", "ZSH", "FISH", "PS1", "PROMPT")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(kept)}
    environment |= {"HOME": str(tmp_path), "TERM": "xterm"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    line = re.search(rf"^\$ (.*riata completion {shell}.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    subprocess.run(["sh", "-c", line[1]], env=environment, cwd=tmp_path, check=True)
    (tmp_path / ".local/share/fish/generated_completions").mkdir(parents=True)  # or fish reads all manual pages
    file = tmp_path / settings
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(before + prompt, encoding="utf-8")
    made = Terminal(arguments, tmp_path, environment)
    yield made
    made.close()


@pytest.mark.parametrize("terminal", list(SHELLS), indirect=True)
def test_a_shell_completes_commands_options_and_files(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "crawler.py").write_text("import sys; print('ran', sys.argv[1:])")
    terminal.prompted()
    terminal.type("riata doct\t --he\t > seen\r")
    terminal.shows(tmp_path / "seen", "Usage: riata doctor")
    terminal.prompted()
    terminal.type("riata run --leg\t craw\t x > ran\r")
    terminal.shows(tmp_path / "ran", "ran ['x']")
