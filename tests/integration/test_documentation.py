"""The examples of the documentation do what stands below them, and are typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import riata
import riata.gevent
import riata.legacy
import riata.watchdog

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
    # Debug mode says which callback took longer than 0.1 s: on a busy machine, that is any.
    errors = re.sub(r"^Executing <.*> took [\d.]+ seconds\n", "", run.stderr, flags=re.MULTILINE)
    assert (run.stdout, errors) == (output, "")


def test_every_public_name_is_in_an_example() -> None:
    programs = "".join(program for program, _ in examples())
    for module in (riata, riata.gevent, riata.legacy, riata.watchdog):
        assert [name for name in module.__all__ if f"{module.__name__}.{name}" not in programs] == []


README = DOCS.parent / "README.md"
# Pages that show a part of the README.
PARTS = {"differences.md", "speed.md"}
LINK = re.compile(r"\]\((?!\w+:|#)(?P<path>[^)#\s]+)(?:#(?P<heading>[^)\s]*))?\)")


def links(page: Path) -> list[tuple[Path, str | None]]:
    found = LINK.finditer(page.read_text())
    return [(Path(os.path.normpath(page.parent / link["path"])), link["heading"]) for link in found]


def headings(page: Path) -> set[str]:
    """As the places that links lead to are named: lower case, dashes for spaces, no punctuation."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")], ids=lambda page: str(page.name))
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target, _ in links(page) if not target.exists()] == []
    assert [(target, name) for target, name in links(page) if name and name not in headings(target)] == []


def test_the_readme_leads_to_every_page() -> None:
    linked = {target for target, _ in links(README)}
    assert [page for page in DOCS.rglob("*.md") if page not in linked and page.name not in PARTS] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set((DOCS / "index.md").read_text().split())
    pages = [str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")]
    assert [page for page in pages if page not in listed and page != "index"] == []


def test_the_readmes_program_runs() -> None:
    program = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert program is not None
    run = subprocess.run([sys.executable, "-W", "error", "-c", program[1]], capture_output=True, text=True, timeout=60)
    assert (sorted(run.stdout.splitlines()), run.stderr) == (["a 0", "a 1", "a 2", "b 0", "b 1", "b 2"], "")


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


def rows(text: str) -> list[list[str]]:
    """The cells of all tables' rows, without emphasis."""
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip("*") for cell in cells] for cells in found]


def part(begin: str, end: str) -> str:
    return README.read_text().partition(begin)[2].partition(end)[0]


def test_the_readmes_readings_of_python_are_those_of_the_page() -> None:
    page = (DOCS / "benchmarks" / "python.md").read_text()
    shown = rows(part("| uvloop's CPU time over riata's |", "[Every row]"))[1:]
    assert len(shown) > 10
    means = {title: rows(table)[-1] for title, table in re.findall(r"^## (.+)\n\n((?:\|.*\n)+)", page, re.MULTILINE)}
    measured = {row[0]: row for row in rows(page)}
    for name, *ratios in shown:
        title, is_mean, _ = name.partition(": geometric mean")
        assert ratios == (means[title] if is_mean else measured[name])[-2:], name


def test_the_readmes_readings_of_rust_are_those_of_the_page() -> None:
    page = (DOCS / "benchmarks" / "rust.md").read_text()
    measured = [[cell.partition(" ")[0] for cell in row[-3:]] for row in rows(page)]
    shown = rows(part("`make bench-rust` measures", "## What differs"))
    assert len(shown) > 10
    assert [row for row in shown[2:] if row[1:] not in measured] == []
    mean = re.search(r"geometric\nmean over tokio ([\d.]+)", README.read_text())
    assert mean is not None
    assert f"geometric mean of 14 rows: {mean[1]}\n" in page
