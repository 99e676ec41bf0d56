"""Programs in processes of their own: for what may hang, crash or end the interpreter."""

import os
import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent

# What every program may use: the loop of the kind it is run for.
PRELUDE = """
import asyncio, gc, os, signal, sys, threading, time

def new_event_loop():
    if KIND == "riata":
        import riata
        return riata.new_event_loop()
    return asyncio.SelectorEventLoop()

def run(main):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)

"""


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it wrote."""

    status: int
    stdout: str
    stderr: str


def run_program(kind: str, program: str, *options: str, limit: float = 60) -> Ended:
    """Run `program` with the loop of `kind`, for at most `limit` seconds.

    Raises:
        AssertionError: it hung, and was killed.
    """
    text = f"KIND = {kind!r}\n{PRELUDE}{dedent(program)}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *options, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise AssertionError(f"{kind} hung; it wrote:\n{stdout}\n{stderr}") from None
    return Ended(process.returncode, stdout, stderr)


def output(kind: str, program: str, *options: str) -> list[str]:
    """The lines that `program` prints; it must end well and write nothing to stderr."""
    ended = run_program(kind, program, *options)
    assert (ended.status, ended.stderr) == (0, ""), ended
    return ended.stdout.splitlines()
