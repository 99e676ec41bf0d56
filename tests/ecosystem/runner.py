"""Runs a suite on one loop and gathers how each test ended; a hang or a crash costs one test, not the run."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from .environment import variables
from .suites import Suite

TEST_LIMIT = 60
"""Seconds a single test may take before its process is ended."""

RUN_LIMIT = 2700
"""Seconds one process may take for all its tests."""

RESTARTS = 20
"""How many tests of one run may hang or crash before the rest of it is given up."""


@dataclass(frozen=True)
class Outcome:
    """How one test ended.

    Attributes:
        kind: `passed`, `failed`, `skipped`, `xfailed`, `hung`, `crashed` or `strange loop`.
        detail: traceback, or what the process said last.
        loops: whether the test made loops.
    """

    kind: str
    detail: str = ""
    loops: bool = False


@dataclass
class Result:
    """What came of a suite on one loop.

    Attributes:
        collected: the ids that pytest found.
        outcomes: by id.
        turns: how many riata's loops made, where it was riata that ran.
        trouble: what went wrong outside of any test.
    """

    collected: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    turns: int = 0
    trouble: list[str] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """How many tests ended so."""
        return sum(outcome.kind == kind for outcome in self.outcomes.values())


def run(suite: Suite, loop: str, python: Path, source: Path, only: Collection[str] | None = None) -> Result:
    """Run the suite, or `only` some of its tests, on `asyncio` or on `riata`."""
    result = Result()
    for _ in range(RESTARTS):
        if _run_process(suite, loop, python, source, only, result):
            return result
    result.trouble.append(f"given up after {RESTARTS} processes that did not finish")
    return result


def _run_process(
    suite: Suite, loop: str, python: Path, source: Path, only: Collection[str] | None, result: Result
) -> bool:
    """Run one process; false if another is needed for the tests that are left."""
    with tempfile.TemporaryDirectory(prefix="ecosystem-") as folder:
        events, order, said = Path(folder, "events"), Path(folder, "order"), Path(folder, "said")
        events.touch()
        told = {
            "events": str(events),
            "only": None if only is None else list(only),
            "leave_out": list(result.outcomes),
        }
        order.write_text(json.dumps(told), encoding="utf-8")
        start = ["-m", "riata", "run"] if loop == "riata" else []  # what users do; building blocks are installed too
        command = [str(python), *start, "-m", "pytest", *suite.arguments, "-p", "ecosystem_report", "-q",
                   "-p", "no:cacheprovider", "--timeout", str(TEST_LIMIT), "--timeout-method", "thread"]  # fmt: skip
        environment = {**variables(loop), **suite.environment, "ECOSYSTEM_ORDER": str(order)}
        with said.open("w", encoding="utf-8") as output:
            try:
                status: int | None = subprocess.run(
                    command, cwd=source, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    timeout=RUN_LIMIT,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                status = None
        last_words = said.read_text(encoding="utf-8", errors="replace")[-8000:]
        return _read(events.read_text(encoding="utf-8"), status, last_words, result)


def _read(events: str, status: int | None, last_words: str, result: Result) -> bool:
    running, done = None, False
    for line in events.splitlines():
        event = json.loads(line)
        match event["event"]:
            case "collected":
                result.collected = event["ids"]
            case "start":
                running = event["id"]
            case "end":
                running = None
                result.outcomes[event["id"]] = Outcome(event["outcome"], event["detail"], bool(event["loops"]))
            case "done":
                done = True
                result.turns += event["turns"]
    if running is not None:
        kind = "hung" if status is None or "Timeout" in last_words else "crashed"
        result.outcomes[running] = Outcome(kind, f"exit status {status}\n{last_words}")
        return False
    if not done or status not in (0, 1, 5):  # 5: the tests asked for are not there
        result.trouble.append(f"the process ended with status {status} between tests\n{last_words}")
    return True
