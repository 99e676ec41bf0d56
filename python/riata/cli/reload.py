"""`riata run --reload`: starts the program again whenever a source file changes.

Ctrl-C in a terminal goes to every process in front, the program among them: a second signal would cut short what the
program does about the first. So it is the kernel that is asked whom a signal came from, by a thread that waits for it;
it is blocked everywhere else, and in the program it is not.
"""

import os
import signal
import threading
import time
from typing import Final

import click

from riata.cli.interpreter import CommandLine, started_by

# `si_code` of a signal that no process sent (asm-generic/siginfo.h): one from the terminal.
_SI_KERNEL: Final = 0x80
# What an interpreter ignores and a program may expect not to be, as `subprocess` has it.
_IGNORED_HERE: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_PATIENCE: Final = 5.0
_STEP: Final = 0.01
# Milliseconds between two looks at whether the program has ended by itself.
_LOOK: Final = 500


class _Program:
    """The program, running or ended."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.pid = os.posix_spawn(words[0], words, environment, setsigmask=(), setsigdef=_IGNORED_HERE)
        self._status: int | None = None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._poll() is None:
            os.kill(self.pid, number)

    def has_ended(self) -> bool:
        """Whether it has ended since this was asked last."""
        return self._status is None and self._poll() is not None

    def end(self) -> int:
        """Wait for its end, at most 5 s before it is killed; its exit status, negative for a signal."""
        deadline = time.monotonic() + _PATIENCE
        while (status := self._poll()) is None:
            if time.monotonic() >= deadline:
                os.kill(self.pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(_STEP)
        return status

    def _poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status


class _Stop:
    """The signal that asks for the end. From here on those signals are blocked in this process."""

    def __init__(self) -> None:
        asked = {number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN}
        signal.pthread_sigmask(signal.SIG_BLOCK, asked)
        self.event = threading.Event()
        self.number = 0
        self.from_terminal = False
        if asked:
            threading.Thread(target=self._wait, args=[asked], name="signals", daemon=True).start()

    def _wait(self, asked: set[signal.Signals]) -> None:
        came = signal.sigwaitinfo(asked)
        self.number, self.from_terminal = came.si_signo, came.si_code == _SI_KERNEL
        self.event.set()


def run_again(command: CommandLine, options: dict[str, object]) -> int:
    """Run `command` until a signal asks for the end, and again after each change of a Python file below this folder.

    The program gets SIGINT before each restart, and SIGKILL 5 s later. One that ends by itself is started again after
    the next change. The signal that asks for the end is passed on, unless it is Ctrl-C, which the program has had from
    the terminal. Returns the exit status of the last run.

    Raises:
        click.ClickException: the library that watches files is not installed.
        StartError: an option keeps the loop from being installed.
    """
    try:
        from watchfiles import PythonFilter, watch
    except ImportError:
        raise click.ClickException("--reload needs a library that watches files: pip install 'riata[reload]'") from None
    words, environment = started_by(command, {**options, "quiet": True})
    stop = _Stop()
    program = _Program(words, environment)
    try:
        for changes in watch(
            os.getcwd(), watch_filter=PythonFilter(), stop_event=stop.event, rust_timeout=_LOOK, yield_on_timeout=True
        ):
            if not changes:
                if program.has_ended():
                    click.secho("riata run: the program has ended; waiting for a change", fg="yellow", err=True)
                continue
            names = ", ".join(sorted({os.path.relpath(path) for _, path in changes})[:3])
            click.secho(f"riata run: {names} changed, starting again", fg="yellow", err=True)
            program.send_signal(signal.SIGINT)
            program.end()
            if stop.event.is_set():
                break
            program = _Program(words, environment)
    finally:
        if not (stop.event.is_set() and stop.from_terminal):
            program.send_signal(stop.number or signal.SIGINT)
        status = program.end()
    return 128 - status if status < 0 else status
