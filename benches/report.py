"""What was measured, as a page of Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import geometric_mean, median

from benches.loops import NAMES, OURS, RIVALS, version
from benches.measure import Reading


@dataclass
class Row:
    """One case: for each loop what each round took, or why it cannot do this."""

    group: str
    name: str
    unit: str
    rounds: dict[str, list[Reading]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def cpu(self, loop: str) -> float | None:
        """The median of the rounds."""
        found = self.rounds.get(loop)
        return median(reading.cpu for reading in found) if found else None

    def ratios(self, other: str, ours: str) -> list[float]:
        """How many times what `ours` took `other` took, round by round, sorted."""
        pairs = zip(self.rounds.get(other, []), self.rounds.get(ours, []), strict=False)
        return sorted(theirs.cpu / mine.cpu for theirs, mine in pairs if mine.cpu > 0)


def machine() -> str:
    """Processor, cores, kernel, Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    name = names[0] if names else platform.machine()
    return f"{name}, {cores} cores; Linux {platform.release()}; Python {platform.python_version()}"


def versions(loops: list[str]) -> str:
    """The versions of the loops."""
    others = [f"{name} {version(name)}" for name in loops if name not in ("asyncio", "installed")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return ", ".join(others) + (f" ({commit.stdout.strip()})" if commit.returncode == 0 else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _cell(row: Row, loop: str) -> str:
    found = row.rounds.get(loop)
    if not found:
        return "-"
    text = _number(median(reading.cpu for reading in found))
    if row.unit == "µs":
        text += f" ({_number(median(reading.wall for reading in found))})"
    return text


def _ratio(row: Row, other: str, ours: str) -> str:
    ratios = row.ratios(other, ours)
    if not ratios:
        return "-"
    return f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def means(rows: list[Row], other: str, ours: str) -> float | None:
    """The geometric mean over the rows of the medians of the ratios."""
    found = [median(ratios) for row in rows if (ratios := row.ratios(other, ours))]
    return geometric_mean(found) if found else None


def grown(rows: list[Row], loops: list[str]) -> list[str]:
    """By how much one of the most costs more than one of the fewest, a line for each kind of thing."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.name.partition(", ")[0], []).append(row)
    lines = []
    for kind, of_kind in kinds.items():
        few, many = of_kind[0], of_kind[-1]
        sizes = " to ".join(row.name.partition(", ")[2] for row in (few, many))
        pairs = ((loop, few.cpu(loop), many.cpu(loop)) for loop in loops)
        more = [f"{loop} {last - first:+.2f}" for loop, first, last in pairs if first is not None and last is not None]
        lines.append(f"- {kind}, from {sizes}, µs: {', '.join(more)}")
    return lines


def write(rows: list[Row], loops: list[str], rounds: int, path: Path, plots: list[str]) -> None:
    """Write the page."""
    busy = os.getloadavg()
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`, which measures on the machine at hand; do not edit.",
        "",
        f"- machine: {machine()}",
        f"- loops: {versions(loops)}; *installed* is riata with its building blocks in the place of asyncio's",
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {rounds} rounds, in which the loops took turns; "
        f"load of the machine at the end: {busy[0]:.1f}, {busy[1]:.1f}, {busy[2]:.1f} (1, 5, 15 minutes)",
        "",
        "Each cell is CPU time, with the wall clock in parentheses, of one operation: the median of the rounds. ",
        "Servers are measured by their own CPU time; a compiled program makes the load. The columns on the right say ",
        f"how many times riata's CPU time {' and '.join(name for name in RIVALS if name in loops)} took: "
        "the median of the rounds, and the least and the most.",
        "",
        *[f"![{plot.removesuffix('.svg')}]({plot})\n" for plot in plots],
    ]
    for group in dict.fromkeys(row.group for row in rows):
        inside = [row for row in rows if row.group == group]
        present = [name for name in NAMES if any(name in row.rounds for row in inside)]
        extra = ["floor"] if any("floor" in row.rounds for row in inside) else []
        shown = [*extra, *present]
        compare = [(other, name) for other in RIVALS if other in present for name in OURS if name in present]
        heads = [inside[0].unit, *shown, *(f"{other} / {name}" for other, name in compare)]
        lines += [f"## {group}", "", "| " + " | ".join(heads) + " |", "| " + " | ".join(["---"] * len(heads)) + " |"]
        for row in inside:
            cells = [row.name, *(_cell(row, name) for name in shown), *(_ratio(row, *pair) for pair in compare)]
            lines.append("| " + " | ".join(cells) + " |")
        overall = [f"**{mean:.2f}**" if (mean := means(inside, *pair)) else "" for pair in compare]
        if len(inside) > 1 and any(overall):
            lines.append("| " + " | ".join(["geometric mean", *[""] * len(shown), *overall]) + " |")
        lines.append("")
        if group == "growth":
            lines += ["By how much the cost of one grows:", "", *grown(inside, shown), ""]
        for row in inside:
            lines += [f"- {row.name}: {name} {why}" for name, why in row.failed.items()]
        if any(row.failed for row in inside):
            lines.append("")
    path.write_text("\n".join(lines))
