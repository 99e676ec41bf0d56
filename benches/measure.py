"""One measurement: CPU and wall microseconds an operation, or bytes a thing, of one loop, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Reading:
    """What one operation took, in microseconds; or `cpu` bytes, where a case is about memory."""

    cpu: float
    wall: float


Measure = Callable[[str], Reading]


class Patience:
    """How long a program may take, in seconds of wall time: some loops never end some cases."""

    seconds = 30.0


class FailedError(Exception):
    """A loop cannot do this; the text is the last line of what it said."""


def reading(text: str, count: int, scale: float = 1e6) -> Reading:
    """Two numbers, for so many operations."""
    cpu, wall = map(float, text.split())
    return Reading(cpu / count * scale, wall / count * scale)


def run(command: list[Any]) -> str:
    """The output of a program.

    Raises:
        FailedError: it ended with an error, or did not end.
    """
    try:
        done = subprocess.run(
            [*map(str, command)], cwd=ROOT, check=True, capture_output=True, text=True, timeout=Patience.seconds
        )
    except subprocess.CalledProcessError as error:
        raise FailedError((error.stderr.strip().splitlines() or ["no word of why"])[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise FailedError("does not end") from error
    return done.stdout


def alone(module: str, case: str, count: int, *, size: int | None = None, scale: float = 1e6) -> Measure:
    """A case of `module`, which prints what `count` operations took."""
    extra = [] if size is None else [size]
    return lambda loop: reading(run([sys.executable, "-m", module, loop, case, count, *extra]), count, scale)


def served(server: Callable[[str], list[Any]], load: Callable[[str], int]) -> Measure:
    """A server, which prints its port and, when its input ends, what it spent; and a program that makes the load.

    Args:
        server: the command, given the loop's name.
        load: makes the load, given the port, and says how many operations that was.
    """

    def measure(loop: str) -> Reading:
        command = [*map(str, server(loop))]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                port = process.stdout.readline().strip()
                if not port:
                    raise FailedError((process.stderr.read().strip().splitlines() or ["no word of why"])[-1])
                count = load(port)
                process.stdin.close()
                spent = process.stdout.readline()
                if not spent.strip():
                    raise FailedError("ended early")
                return reading(spent, count)
            finally:
                process.kill()

    return measure
