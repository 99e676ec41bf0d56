"""The recipes of docs/frameworks, each run as it stands: the files, then the command.

Run by `make recipes`, in an environment of its own with the frameworks in it.
"""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "frameworks" / "index.md"
FILE = re.compile(r"^`(?P<name>[\w./]+)`\n\n```\w+\n(?P<text>.*?)^```\n", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^```console\n\$ (?P<command>.*?)\n```\n", re.DOTALL | re.MULTILINE)
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
RECIPES = {section.partition("\n")[0]: section for section in SECTIONS[1:]}


def test_every_framework_has_a_recipe() -> None:
    assert len(RECIPES) == 10


@pytest.mark.parametrize("recipe", list(RECIPES.values()), ids=list(RECIPES))
def test_a_recipe(recipe: str, tmp_path: Path) -> None:
    for found in [*FILE.finditer(SECTIONS[0]), *FILE.finditer(recipe)]:
        file = tmp_path / found["name"]
        file.parent.mkdir(exist_ok=True)
        file.write_text(found["text"])
    command = COMMAND.search(recipe)
    assert command is not None
    serves = "8000" in recipe
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        ["sh", "-c", f"exec {command['command']}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            answer = ask(process) if serves else process.communicate(timeout=100)[0]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert "riata." in answer, answer
    if not serves:
        assert process.returncode == 0, answer


def ask(process: "subprocess.Popen[str]") -> str:
    """What the server says, as soon as it does."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=10) as response:
                answer: str = response.read().decode()
                return answer
        except OSError:  # not there yet; the test's own time limit ends this
            continue
    assert process.stdout is not None
    return f"ended with {process.returncode}: {process.stdout.read()}"
