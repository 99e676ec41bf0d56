"""`riata run --reload`: starts the program again whenever a source file changes."""

import os
import signal
import subprocess
from types import FrameType
from typing import Never

import click

from riata.cli.interpreter import CommandLine, started_by


class _Stop(Exception):
    """A signal asked for the end."""


def _stop(number: int, _frame: FrameType | None) -> Never:
    raise _Stop(number)


def _end(program: "subprocess.Popen[bytes]") -> int:
    """End the program, first kindly; its exit status."""
    if program.poll() is None:
        program.send_signal(signal.SIGINT)
        try:
            program.wait(timeout=5)
        except subprocess.TimeoutExpired:
            program.kill()
    return program.wait()


def run_again(command: CommandLine, options: dict[str, object]) -> int:
    """Run `command` until a signal asks for the end, and again after each change of a Python file below this folder.

    The program gets SIGINT before each restart, and SIGKILL 5 s later. One that ends by itself is started again after
    the next change. Returns the exit status of the last run.

    Raises:
        click.ClickException: the library that watches files is not installed.
        StartError: an option keeps the loop from being installed.
    """
    try:
        from watchfiles import PythonFilter, watch
    except ImportError:
        raise click.ClickException("--reload needs a library that watches files: pip install 'riata[reload]'") from None
    words, environment = started_by(command, options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    program = subprocess.Popen(words, env=environment)
    try:
        for changes in watch(os.getcwd(), watch_filter=PythonFilter(), raise_interrupt=False):
            names = ", ".join(sorted({os.path.relpath(path) for _, path in changes})[:3])
            click.secho(f"riata run: {names} changed, starting again", fg="yellow", err=True)
            _end(program)
            program = subprocess.Popen(words, env=environment)
    except _Stop:
        pass
    finally:
        status = _end(program)
    return 128 - status if status < 0 else status
