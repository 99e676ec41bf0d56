"""What asyncio itself passes on an interpreter: recorded in files, so that a test can not go missing unseen.

`recorded/<test file>.toml` holds every id once. Ids that went the same way on the same runs are written together:

    [[group]]
    outcome = "passed"
    runs = ["3.11.7", "3.12.1", "3.13.0 debug"]
    classes = ["CTask_CFuture_Tests", "PyTask_PyFuture_Tests"]
    tests = ["test_cancel"]

A run is a version of Python, followed by `debug` where only the run in debug mode is meant and by `plain`
where only the other is. Every class has every test of its group.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "recorded"

Outcomes = dict[str, str]
"""Outcome by id of the test: `passed`, `failed` or `skipped`."""

Recorded = dict[tuple[str, bool], Outcomes]
"""Outcomes of one test file by version of Python and debug mode."""

_HEADER = """\
# What asyncio itself does with this file of CPython's tests: written by `python -m tests.conformance --record`.
# The format is described in baseline.py.
"""


def read(file: str) -> Recorded:
    """Read what is recorded of a test file, for all versions; empty if nothing is."""
    path = FOLDER / f"{file}.toml"
    if not path.exists():
        return {}
    recorded: Recorded = defaultdict(dict)
    for group in tomllib.loads(path.read_text(encoding="utf-8"))["group"]:
        ids = [f"{case}.{test}" if case else test for case in group["classes"] for test in group["tests"]]
        for run in group["runs"]:
            for key in _parse_run(run):
                recorded[key].update(dict.fromkeys(ids, group["outcome"]))
    return dict(recorded)


def write(file: str, recorded: Mapping[tuple[str, bool], Outcomes]) -> None:
    """Write down all that is known of a test file, in an order that keeps differences small."""
    runs_of: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for run in sorted(recorded, key=_sort_key):
        for test, outcome in recorded[run].items():
            runs_of[test, outcome].append(run)

    tests_of: dict[tuple[str, tuple[str, ...], str], list[str]] = defaultdict(list)
    for (test, outcome), runs in runs_of.items():
        case, _, method = test.rpartition(".")
        tests_of[outcome, _format_runs(runs), case].append(method)

    classes_of: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for (outcome, labels, case), methods in tests_of.items():
        classes_of[outcome, labels, tuple(sorted(methods))].append(case)

    text = [_HEADER]
    for (outcome, labels, methods_), classes in sorted(classes_of.items()):
        text.append("[[group]]")
        text.append(f'outcome = "{outcome}"')
        text.append(f"runs = [{', '.join(_quoted(labels))}]")
        text.append(f"classes = {_array(sorted(classes))}")
        text.append(f"tests = {_array(methods_)}")
        text.append("")
    (FOLDER / f"{file}.toml").write_text("\n".join(text), encoding="utf-8")


def _parse_run(label: str) -> list[tuple[str, bool]]:
    version, _, mode = label.partition(" ")
    return [(version, debug) for debug in (False, True) if not mode or debug == (mode == "debug")]


def _format_runs(runs: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
    modes: dict[str, list[bool]] = defaultdict(list)
    for version, debug in runs:
        modes[version].append(debug)
    return tuple(
        version if len(both) == 2 else f"{version} {'debug' if both[0] else 'plain'}" for version, both in modes.items()
    )


def _sort_key(run: tuple[str, bool]) -> tuple[list[int], bool]:
    return [int(part) for part in run[0].split(".")], run[1]


def _quoted(values: Iterable[str]) -> list[str]:
    return ["'" + value + "'" if '"' in value or "\\" in value else f'"{value}"' for value in values]


def _array(values: Iterable[str]) -> str:
    return "[\n" + "".join(f"    {value},\n" for value in _quoted(values)) + "]"
