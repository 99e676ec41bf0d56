"""Keeps account of jobs: each that was started must have ended, in a way that it may."""

from __future__ import annotations

import asyncio
import io
import traceback
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """What became of the jobs, by name."""

    started: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    cancelled: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def note_end(self, task: asyncio.Task[None], name: str, number: int, cancel_asked: bool) -> None:
        """A job's task is done."""
        if task.cancelled():
            self.cancelled[name] += 1
            if not cancel_asked:
                self.failures.append(f"job {number}, {name}: cancelled, and nobody asked for it")
        elif (error := task.exception()) is not None:
            self.failures.append(f"job {number}, {name}:\n" + "".join(traceback.format_exception(error)))
        else:
            self.finished[name] += 1

    def note_hang(self, task: asyncio.Task[None], name: str, number: int) -> None:
        """A job's task does not end: note where it waits, and leave it."""
        stack = io.StringIO()
        task.print_stack(file=stack)
        asked = "cancelled, and " if task.cancelling() else ""
        self.failures.append(f"job {number}, {name}: {asked}still waiting:\n{stack.getvalue()}")
        task.cancel()

    def lines(self) -> list[str]:
        """A line for each kind of job."""
        return [
            f"{name:<22} {self.finished[name]:>8} finished {self.cancelled[name]:>7} cancelled"
            for name in sorted(self.started)
        ]
