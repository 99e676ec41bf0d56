"""`riata compare`: one program on asyncio, on uvloop if it is there, and on riata."""

import importlib.util
import os
import signal
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from riata.cli.interpreter import CommandLine, StartError, started_by

MEASURE: Final = str(Path(__file__).with_name("measure.py"))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run of the program took."""

    status: int
    """Negative for a program that a signal killed."""
    wall: float
    """Seconds."""
    cpu: float
    """Seconds, of user and system time."""
    memory: float
    """MiB, at most."""
    switches: float
    """How often the kernel switched away from it."""


ROWS: Final = (
    ("wall clock, s", "wall", 3),
    ("CPU, s", "cpu", 3),
    ("memory, MiB", "memory", 1),
    ("context switches", "switches", 0),
)


def loops() -> list[str]:
    """The loops that there are to compare, riata's last."""
    return ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else []), "riata"]


def run_once(loop: str, command: CommandLine, show: bool) -> Reading:
    """Run the program on one loop.

    Raises:
        StartError: an option keeps the loop from being installed.
    """
    words, environment = started_by(command, {"loop": loop})
    reading, writing = os.pipe()
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", MEASURE, str(writing), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if show else subprocess.DEVNULL,
            pass_fds=[writing],
            check=False,
        )
        os.close(writing)
        writing = -1
        line = os.read(reading, 1000).split()
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if not line:
        raise StartError(f"the program could not be started (status {ended.returncode})")
    code = os.waitstatus_to_exitcode(int(line[0]))
    wall, cpu, kib, switches = map(float, line[1:])
    return Reading(code, wall, cpu, kib / 1024, switches)


def median(readings: list[Reading], name: str) -> float:
    """The median of one thing over all runs."""
    return statistics.median(float(getattr(reading, name)) for reading in readings)


def table(readings: dict[str, list[Reading]]) -> list[str]:
    """Lines of text: a row a thing, a column a loop, and how many times riata's the others took."""
    others = [loop for loop in readings if loop != "riata"]
    titles = [f"{loop:>12}" for loop in readings] + [f"{f'{other} / riata':>18}" for other in others]
    lines = [" " * 18 + "".join(titles)]
    for title, name, digits in ROWS:
        values = {loop: median(taken, name) for loop, taken in readings.items()}
        ratios = [f"{values[other] / values['riata']:.2f}" if values["riata"] else "-" for other in others]
        cells = "".join(f"{value:>12.{digits}f}" for value in values.values()) + "".join(f"{r:>18}" for r in ratios)
        lines.append(f"{title:<18}{cells}")
    return lines


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time ones have no name
        return f"signal {number}"


def compare(arguments: tuple[str, ...], rounds: int, show: bool) -> None:
    """Run the program on each loop in turn, and print what it took."""
    command = CommandLine.parse(arguments)
    if not command.program:
        raise click.UsageError("name a program to run: -m MODULE, SCRIPT or -c CODE")
    if command.program[0] == "-":
        raise click.UsageError("a program on standard input can be read only once: name a file")
    readings: dict[str, list[Reading]] = {loop: [] for loop in loops()}
    try:
        for _ in range(rounds):
            for loop, taken in readings.items():
                taken.append(run_once(loop, command, show))
            if all(taken[0].status for taken in readings.values()):
                break
    except StartError as error:
        raise click.ClickException(str(error)) from None
    for line in table(readings):
        click.echo(line)
    if "uvloop" not in readings:
        click.echo("uvloop is not installed, and so not compared.")
    runs = len(readings["riata"])
    click.echo(f"Medians of {runs} run{'s' * (runs != 1)}, in turn.")
    failed = {loop: one.status for loop, taken in readings.items() for one in taken if one.status}
    for loop, status in failed.items():
        how = f"was killed by {_signal(-status)}" if status < 0 else f"ended with status {status}"
        click.secho(f"On {loop} the program {how}.", fg="red", err=True)
    if failed:
        raise click.exceptions.Exit(1)
