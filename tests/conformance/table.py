"""Prints what a run came to: a line per file, and the problems grouped by what they have in common."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from .verdict import Problem, Verdict

_COLUMNS = ("run", "passed", "failed", "listed", "skipped")


def table(by_python: Mapping[str, Sequence[Verdict]]) -> str:
    """A table with a line per file and a group of columns per Python; the counts add up variants and debug modes."""
    pythons = list(by_python)
    counts: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for python, verdicts in by_python.items():
        for verdict in verdicts:
            row = counts[verdict.job.file].setdefault(python, [0] * len(_COLUMNS))
            added = (verdict.run, verdict.passed, verdict.failed, verdict.listed, verdict.skipped)
            row[:] = [a + b for a, b in zip(row, added, strict=True)]

    name_width = max([len("file"), *(len(name) for name in counts)])
    width = 8 * len(_COLUMNS)
    lines = [
        " " * name_width + "".join(f"  {'Python ' + python:^{width}}" for python in pythons),
        f"{'file':<{name_width}}" + ("  " + "".join(f"{column:>8}" for column in _COLUMNS)) * len(pythons),
    ]
    for name, row_of in counts.items():
        lines.append(f"{name:<{name_width}}" + "".join("  " + _cells(row_of.get(python)) for python in pythons))
    totals = [
        [sum(row_of[python][column] for row_of in counts.values() if python in row_of) for column in range(5)]
        for python in pythons
    ]
    lines.append(f"{'all':<{name_width}}" + "".join("  " + _cells(total) for total in totals))
    for python, verdicts in by_python.items():
        both = sorted({f"{one.job.file} {test}" for one in verdicts for test in one.asyncio_fails})
        if both:
            lines.append(f"\nasyncio fails these too on Python {python}; they are run, and counted in no other column:")
            lines.extend(f"    {test}" for test in both)
    return "\n".join(lines)


def _cells(row: Sequence[int] | None) -> str:
    if row is None:
        return f"{'-':>8}" * len(_COLUMNS)
    return "".join(f"{count:>8}" for count in row)


def problems(found: Iterable[Problem], *, verbose: bool = False) -> str:
    """The problems, those of one cause together, the most frequent cause first.

    Args:
        found: what to print.
        verbose: with the whole traceback of one problem per cause.
    """
    causes: dict[str, list[Problem]] = defaultdict(list)
    for problem in found:
        causes[cause(problem)].append(problem)
    lines = []
    for text, members in sorted(causes.items(), key=lambda item: -len(item[1])):
        lines.append(f"\n{len(members)} x {text}")
        tests: dict[str, list[str]] = defaultdict(list)
        for problem in members:
            where = f"{problem.job.variant}{', debug' if problem.job.debug else ''}"
            tests[f"{problem.job.file} {problem.test}".rstrip()].append(where)
        for test, wheres in sorted(tests.items()):
            lines.append(f"    {test}  [{'; '.join(wheres)}]")
        if verbose:
            lines.extend(f"    | {line}" for line in members[0].detail.rstrip().splitlines()[-25:])
    return "\n".join(lines)


def cause(problem: Problem) -> str:
    """What a problem has in common with others: its kind and the last line of its traceback without particulars."""
    lines = [line for line in problem.detail.rstrip().splitlines() if line and not line.startswith(" ")]
    text = lines[-1] if lines and problem.what == "failed" else ""
    text = re.sub(r"0x[0-9a-f]+", "0x…", text)
    text = re.sub(r"\b\d+(\.\d+)?\b", "N", text)
    text = re.sub(r"'?Task-N'?", "Task-N", text)
    return f"{problem.what}: {text[:160]}" if text else problem.what
