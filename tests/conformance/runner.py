"""Starts a child for each job and gathers what it reports; a hang or a crash costs one test, not the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .child import Order
from .plan import Job

PROJECT = Path(__file__).resolve().parents[2]
"""The folder from which `tests.conformance` can be imported."""

PARALLEL = 2
"""Children at a time. The tests mostly wait; more of them would disturb those that measure time."""

TEST_LIMIT = 60.0
"""Seconds a single test may take before its process is ended."""

FILE_LIMIT = 600.0
"""Seconds a child may take for all its tests."""

RESTARTS = 25
"""How many tests of one job may hang or crash before the rest of it is given up."""


@dataclass(frozen=True)
class Outcome:
    """How one test ended.

    Attributes:
        kind: `passed`, `failed`, `skipped` (by the test itself), `hung` or `crashed`.
        detail: traceback, reason of the skip, or what the process said last.
    """

    kind: str
    detail: str = ""


@dataclass
class JobResult:
    """What came of one job.

    Attributes:
        job: what was run.
        outcomes: by id of the test.
        on_loop: ids of the tests during which a loop of riata's was made or turned.
        left_out: ids that exist but were not run, as the order asked.
        counters: `loop.stats()` summed over all loops that were closed.
        in_place: the substituted classes were still there when the tests were over.
        trouble: what went wrong outside of any test; empty if nothing did.
    """

    job: Job
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    on_loop: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    counters: dict[str, int] = field(default_factory=dict)
    in_place: bool = True
    trouble: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Interpreter:
    """A Python to run tests with.

    Attributes:
        path: its executable.
        version: all three numbers, as in `3.13.0`.
        files: the files of its `test.test_asyncio`, by module name; empty if it came without its test suite.
    """

    path: str
    version: str
    files: frozenset[str]

    @property
    def minor(self) -> str:
        """The first two numbers of the version."""
        return ".".join(self.version.split(".")[:2])


_PROBE = """
import importlib.util, json, pathlib, sys
spec = importlib.util.find_spec("test.test_asyncio")
files = [] if spec is None else [p.stem for p in pathlib.Path(spec.origin).parent.glob("test_*.py")]
print(json.dumps({"version": ".".join(map(str, sys.version_info[:3])), "files": files}))
"""


def interpreter(path: str = sys.executable) -> Interpreter:
    """Ask an interpreter what it is.

    Raises:
        OSError: there is no such program.
        subprocess.CalledProcessError: it is no Python, or has no `test` package.
    """
    answer = subprocess.run([path, "-c", _PROBE], check=True, capture_output=True, text=True, cwd=PROJECT)
    told = json.loads(answer.stdout)
    return Interpreter(path, told["version"], frozenset(told["files"]))


class Run:
    """Jobs of one interpreter, on a fixed number of children at a time."""

    def __init__(self, python: Interpreter, module: str, *, test_limit: float = TEST_LIMIT) -> None:
        """Prepare to run.

        Args:
            python: the interpreter that runs the children.
            module: what stands in for asyncio, unless a job's variant is the baseline.
            test_limit: seconds a single test may take.
        """
        self._python = python
        self._module = module
        self._test_limit = test_limit
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="conformance")

    def submit(self, job: Job, leave_out: Sequence[str] = (), only: Sequence[str] | None = None) -> Future[JobResult]:
        """Queue a job; its result never raises on account of the tests."""
        return self._pool.submit(self._run_job, job, list(leave_out), None if only is None else list(only))

    def close(self) -> None:
        """Wait for the children that run and drop the jobs that are queued."""
        self._pool.shutdown(cancel_futures=True)

    def _run_job(self, job: Job, leave_out: list[str], only: list[str] | None) -> JobResult:
        result = JobResult(job)
        for _ in range(RESTARTS):
            finished = self._run_child(result, leave_out + list(result.outcomes), only)
            if finished:
                break
        else:
            result.trouble.append(f"given up after {RESTARTS} processes that did not finish")
        result.left_out -= result.outcomes.keys()
        return result

    def _run_child(self, result: JobResult, leave_out: list[str], only: list[str] | None) -> bool:
        """Run one child; false if it must be started again for the tests that are left."""
        job = result.job
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            events = Path(folder, "events")
            events.touch()
            order = Order(
                file=job.file,
                module=self._module,
                variant=job.variant,
                events=str(events),
                test_limit=self._test_limit,
                leave_out=leave_out,
                only=only,
            )
            command = [self._python.path, "-m", f"{__package__}.child", order.to_json()]
            with Path(folder, "stderr").open("w+", encoding="utf-8", errors="replace") as said:
                try:
                    status = subprocess.run(
                        command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=_environment(job),
                        cwd=PROJECT, timeout=FILE_LIMIT,
                    ).returncode  # fmt: skip
                except subprocess.TimeoutExpired:
                    status = None
                said.seek(0)
                last_words = said.read()[-6000:]
            return _read_events(events.read_text(encoding="utf-8"), result, status, last_words)


def _environment(job: Job) -> dict[str, str]:
    """The environment of a child: ours, but for what would change how its tests run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(PROJECT) if __package__.startswith("tests.") else str(PROJECT / "tests")
    if job.debug:
        environment["PYTHONASYNCIODEBUG"] = "1"  # Any text at all means debug mode, "0" too.
    return environment


def _read_events(text: str, result: JobResult, status: int | None, last_words: str) -> bool:
    running = None
    done = False
    for line in text.splitlines():
        event = json.loads(line)
        match event["event"]:
            case "start":
                running = event["id"]
            case "end":
                running = None
                result.outcomes[event["id"]] = Outcome(event["outcome"], event["detail"])
                if event.get("on_loop"):
                    result.on_loop.add(event["id"])
            case "left out":
                result.left_out.add(event["id"])
            case "stats":
                for name, count in event["counters"].items():
                    result.counters[name] = result.counters.get(name, 0) + count
                result.in_place = result.in_place and event["in_place"]
            case "file skipped":
                result.outcomes[result.job.file] = Outcome("skipped", event["detail"])
            case "broken":
                result.trouble.append(event["detail"])
                return True
            case "done":
                done = True
                if event["asyncio_debug"] is not result.job.debug:
                    result.trouble.append(f"asyncio's debug mode was {event['asyncio_debug']} in the child")
    if running is not None:
        hung = status is None or "Timeout (" in last_words
        result.outcomes[running] = Outcome("hung" if hung else "crashed", f"exit status {status}\n{last_words}")
        return False
    if status != 0:
        how = "did not end" if status is None else f"ended with status {status}"
        result.trouble.append(f"the process {how} {'after all tests' if done else 'between tests'}\n{last_words}")
    return True
