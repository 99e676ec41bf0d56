"""The examples of the documentation do what stands below them, and are typed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import riata

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([DOCS.parent / "README.zh-CN.md", *DOCS.glob("*.md"), *DOCS.glob("zh/*.md")])
EXAMPLE = re.compile(r"^```python\n(?P<program>.*?)^```\n\n```text\n(?P<output>.*?)^```\n", re.DOTALL | re.MULTILINE)


def examples() -> list[tuple[str, str]]:
    return [(found["program"], found["output"]) for page in PAGES for found in EXAMPLE.finditer(page.read_text())]


def test_each_program_has_its_output() -> None:
    programs = sum(page.read_text().count("```python\n") for page in PAGES)
    assert programs == len(examples()) > 0


@pytest.mark.parametrize(("program", "output"), examples())
def test_an_example(program: str, output: str) -> None:
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (run.stdout, run.stderr) == (output, "")


def test_every_public_name_is_in_an_example() -> None:
    programs = "".join(program for program, _ in examples())
    names = set(riata.__all__) - {"EventLoopPolicy"}  # not on every Python
    assert not {name for name in names if f"riata.{name}" not in programs}


def test_the_examples_are_typed(tmp_path: Path) -> None:
    for number, (program, _) in enumerate(examples()):
        tmp_path.joinpath(f"example_{number}.py").write_text(program)
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
