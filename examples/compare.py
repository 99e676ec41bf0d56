"""Run the crawl on asyncio and on riata in turn, and compare.

    python compare.py [--rounds N] [--rust PROGRAM] [-- OPTION OF crawl.py ...]

Each round runs every contender once, so that a busy moment of the machine falls on all of them alike;
the table shows the median round of each figure. Ends with status 1 where they did not do the same work.
"""

import argparse
import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

CRAWL = Path(__file__).with_name("crawl.py")


@dataclass
class Contender:
    """A way to run the crawl, and the reports of its rounds."""

    name: str
    command: list[str]
    reports: list[dict[str, Any]] = field(default_factory=list)

    def run(self, options: list[str]) -> None:
        """Crawl once."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            subprocess.run([*self.command, *options, "--json", str(report)], check=True)
            self.reports.append(json.loads(report.read_text(encoding="utf-8")))

    def work(self) -> set[tuple[int, int]]:
        """Pages and errors of every round; one pair where all rounds agree."""
        return {(report["pages"], sum(report["errors"].values())) for report in self.reports}

    def median(self, *keys: str) -> float:
        """The median over the rounds of one figure of the report."""
        values = []
        for report in self.reports:
            value: Any = report
            for key in keys:
                value = value[key]
            values.append(float(value))
        return statistics.median(values)


def contenders(rust: Path | None) -> list[Contender]:
    """Who takes part; the first is what the others are measured against."""
    riata = Path(sys.executable).with_name("riata")
    entered = [
        Contender("asyncio", [sys.executable, str(CRAWL)]),
        Contender("riata from Python", [str(riata), "run", str(CRAWL)]),
    ]
    if rust is not None:  # the same crawl in Rust, of the same folder
        entered.append(Contender("riata from Rust", [str(rust), sysconfig.get_path("stdlib")]))
    return entered


def table(entered: list[Contender], rounds: int) -> Table:
    """The comparison, one row a contender."""
    title = f"crawl.py, Python {sys.version.split()[0]}, median of {rounds} rounds"
    # Narrow enough for 80 columns, which is also what a pipe has: no number is cut.
    drawn = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.add_column("loop", no_wrap=True)
    for heading in ("pages", "errors", "pages/s", "CPU s", "p50 ms", "p99 ms", "speed", "CPU"):
        drawn.add_column(heading, justify="right")
    base = entered[0]
    for one in entered:
        pages, errors = min(one.work())
        drawn.add_row(
            one.name,
            str(pages),
            str(errors),
            f"{one.median('pages_per_second'):.0f}",
            f"{one.median('cpu_seconds'):.2f}",
            f"{one.median('latency_ms', 'p50'):.1f}",
            f"{one.median('latency_ms', 'p99'):.1f}",
            f"{one.median('pages_per_second') / base.median('pages_per_second'):.2f}x",
            f"{one.median('cpu_seconds') / base.median('cpu_seconds'):.2f}x",
        )
    return drawn


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--rust", type=Path, metavar="PROGRAM", help="crates/riata/examples/crawl, built")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="options of crawl.py, after --")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("--rounds must be positive")
    entered = contenders(asked.rust)
    console = Console()
    for number in range(1, asked.rounds + 1):
        for one in entered:
            console.rule(f"{one.name}, round {number} of {asked.rounds}")
            try:
                one.run(asked.options)
            except (subprocess.CalledProcessError, OSError) as error:
                print(f"compare.py: the crawl on {one.name} failed: {error}", file=sys.stderr)
                return 1
    console.print(table(entered, asked.rounds))
    done = set().union(*(one.work() for one in entered))
    if len(done) > 1:
        found = ", ".join(f"{pages} pages and {errors} errors" for pages, errors in sorted(done))
        print(f"compare.py: the rounds differ in what they found: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
