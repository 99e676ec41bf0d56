"""riata beside other loops, in one run, in turn, by CPU time, with the wall clock beside it.

Each measurement is a process of its own. The loops take turns, so that a machine that gets slower slows all of them;
what is compared is the median of the ratios, round by round, with their spread. Writes a page of Markdown and plots.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benches import children, database, growth, memory, micro, network, plot, programs, report
from benches.loops import available
from benches.measure import FailedError, Measure, Patience, alone
from benches.report import Row


def plan(tools: network.Tools, address: Callable[[], str], count: int, *, quick: bool) -> list[tuple[Row, Measure]]:
    """Every case, in the order of the page."""
    found: list[tuple[Row, Measure]] = []

    def add(group: str, name: str, measure: Measure, unit: str = "µs") -> None:
        found.append((Row(group, name, unit), measure))

    for name in micro.CASES:
        group = "network" if name == "churn" else "small things"
        add(group, micro.TITLES.get(name, name), alone("benches.micro", name, count))
    for name, measure in network.cases(tools, count, quick=quick).items():
        add("network", name, measure)
    for name in ("spawn",) if quick else children.CASES:
        add("children", children.TITLES[name], alone("benches.children", name, max(30, count // 1000)))
    for name, measure in programs.cases(address, quick=quick).items():
        add("programs", name, measure)
    for name in growth.CASES:
        for size in growth.SIZES:
            measure = alone("benches.growth", name, max(count, 2 * size if not quick else size), size=size)
            add("growth", f"{name}, {size:,}", measure)
    for connections in growth.CONNECTIONS[: 2 if quick else 3]:
        messages = max(count // 4, 2 * connections)
        echo = network.echo(tools, "protocol", connections, 1024, messages)
        add("growth", f"connections, {connections:,}", echo)
    for name in memory.CASES:
        things = 1000 if name == "idle_connection" and quick else memory.COUNTS[name]
        add("memory", name.replace("_", " "), alone("benches.memory", name, things, scale=1), "bytes")
    return found


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of fewer cases, in less than two minutes")
    parser.add_argument("--rounds", type=int, help="measurements of each loop; default: 5, or 1 with --quick")
    parser.add_argument("--count", type=int, help="operations of a measurement; default: 100000, or 10000 with --quick")
    parser.add_argument("--only", default="", help="only cases whose group or name has this in it; writes no page")
    parser.add_argument("--loops", nargs="+", help="only these loops")
    parser.add_argument("--page", help="what the page is called; default: python, or quick with --quick")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"), help="where the page goes")
    parser.add_argument("--tools", type=Path, required=True, help="the folder of the compiled programs")
    parser.add_argument("--tls-load", type=Path, required=True, help="the program tls_load, which loads over TLS")
    options = parser.parse_args()
    if options.quick:
        Patience.seconds = 20.0
    rounds = options.rounds or (1 if options.quick else 5)
    count = options.count or (10_000 if options.quick else 100_000)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    loops = plot.order(options.loops or available())
    console = Console(width=160)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="riata-bench-"))
        postgresql = functools.cache(lambda: stack.enter_context(database.running()))
        tools = network.Tools(
            echo_load=options.tools / "echo_load",
            udp_load=options.tools / "udp_load",
            tls_load=options.tls_load,
            echo_server=options.tools / "echo_server",
            certificate=network.make_certificate(Path(folder)),
        )
        rows: list[Row] = []
        for row, measure in plan(tools, postgresql, count, quick=options.quick):
            if options.only not in f"{row.group}: {row.name}":
                continue
            rows.append(row)
            floor = ["floor"] if row.group == "network" and row.name.startswith("protocol,") else []
            for _ in range(rounds):
                for loop in [*loops, *floor]:
                    if loop in row.failed:
                        continue
                    try:
                        row.rounds.setdefault(loop, []).append(measure(loop))
                    except FailedError as error:
                        row.failed[loop] = str(error)
            readings = ", ".join(f"{loop} {row.cpu(loop):.3g}" for loop in row.rounds if row.cpu(loop) is not None)
            failures = "".join(f"; {loop}: {why}" for loop, why in row.failed.items())
            console.print(f"{row.group}: {row.name}: {readings} {row.unit}{failures}", highlight=False)

    for ours in ("riata", "installed"):
        mean = report.means([row for row in rows if row.group == "small things"], "uvloop", ours)
        if mean:
            console.print(f"small things, geometric mean, uvloop / {ours}: {mean:.2f}", highlight=False)
    if options.only:
        return
    name = options.page or ("quick" if options.quick else "python")
    options.output.mkdir(parents=True, exist_ok=True)
    chosen = [row for row in rows if row.group in ("small things", "network", "children", "programs")]
    plot.speeds(plot.selected(chosen), loops, options.output / f"{name}.svg")
    plot.growth(plot.by_size(rows), loops, options.output / f"{name}-growth.svg")
    plot.memory(rows, loops, options.output / f"{name}-memory.svg")
    pictures = [f"{name}.svg", f"{name}-growth.svg", f"{name}-memory.svg"]
    report.write(rows, loops, rounds, options.output / f"{name}.md", pictures)
    console.print(f"written: {options.output / name}.md, {', '.join(pictures)}")


if __name__ == "__main__":
    main()
