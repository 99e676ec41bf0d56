"""One interpreter's share of a run: the jobs it needs, in their order, and what they amount to.

The command line and the pytest items both go through here, so that they cannot disagree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from . import baseline, expectations, verdict
from .baseline import Outcomes
from .expectations import Entry
from .plan import BASELINE, FILES, Job, TestFile
from .runner import TEST_LIMIT, Interpreter, JobResult, Run
from .verdict import Problem, Verdict

MODULES = {"riata": "riata", "standin": f"{__package__}.standin"}
"""What can stand in for asyncio, by the name it has on the command line, and the module that holds it."""

BOTH_MODES = (False, True)


def _no_news(_: str) -> None:
    """Tell nobody."""


class Session:
    """Test files on one interpreter, on riata or on asyncio."""

    def __init__(
        self,
        python: Interpreter,
        loop: str = "riata",
        *,
        debug: Sequence[bool] = BOTH_MODES,
        test_limit: float = TEST_LIMIT,
        news: Callable[[str], None] = _no_news,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            python: the interpreter that runs the children.
            loop: a key of `MODULES`; of no account to `run_asyncio`.
            debug: debug modes to run in.
            test_limit: seconds a single test may take.
            news: is told of each job as it ends.
        """
        self.python = python
        self._lists_apply = loop == "riata"  # The lists are riata's; asyncio's classes under other names pass it all.
        self._debug = debug
        self._news = news
        self._run = Run(python, MODULES.get(loop, ""), test_limit=test_limit)
        self._known: dict[tuple[str, bool], Outcomes] = {}
        self._jobs: dict[Job, Future[JobResult]] = {}

    def start(
        self,
        files: Sequence[TestFile],
        *,
        variants: Sequence[str] | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        """Get hold of asyncio's outcomes, by running it where none are recorded, and queue all jobs.

        Args:
            files: the files to run.
            variants: names of the variants to run; None for all that a file has.
            only: ids of the only tests to run.
        """
        self._learn_baseline([Job(file.name, BASELINE, debug) for file in files for debug in self._debug])
        for file in files:
            entries = self._entries(file.name)
            for variant in file.variants:
                if variants is not None and variant not in variants:
                    continue
                for debug in self._debug:
                    job = Job(file.name, variant, debug)
                    leave_out = verdict.not_run(job, self.python.minor, self._known[file.name, debug], entries)
                    self._jobs[job] = self._run.submit(job, leave_out, only)

    def judge(self, job: Job, *, complete: bool = True) -> Verdict:
        """Wait for a job and judge it; if not `complete`, without asking for tests that did not run."""
        result = self._jobs[job].result()
        entries = self._entries(job.file)
        judged = verdict.judge(result, self.python.minor, self._known[job.file, job.debug], entries)
        if not complete:
            judged.problems = [problem for problem in judged.problems if problem.what != "did not run"]
        self._news(f"{self.python.minor} {job}: {judged.passed} passed, {len(judged.problems)} problems")
        return judged

    def jobs(self, file: TestFile | None = None) -> list[Job]:
        """The jobs that were queued, for one file or for all."""
        return [job for job in self._jobs if file is None or job.file == file.name]

    def judge_file(self, file: TestFile, verdicts: Sequence[Verdict]) -> list[Problem]:
        """What is wrong with a file as a whole, after all its jobs were judged: stale entries, silent classes."""
        jobs = self.jobs(file)
        entries = self._entries(file.name)
        passing: Outcomes = {}
        for debug in {job.debug for job in jobs}:
            passing.update(self._known[file.name, debug])
        results = [self._jobs[job].result() for job in jobs]
        found = verdict.whole_classes(passing, results, entries)
        if self._lists_apply and not file.loopless:
            found += verdict.without_loop(results, entries, self.python.minor)
        if set(self._debug) == set(BOTH_MODES):
            found += verdict.stale(entries, verdicts, self.python.minor)
        return found

    def run_asyncio(self, jobs: Sequence[Job], only: Sequence[str] | None = None) -> dict[Job, Outcomes]:
        """Run jobs of the baseline; a hang or a crash counts as a failure."""
        futures = {job: self._run.submit(job, only=only) for job in jobs}
        outcomes: dict[Job, Outcomes] = {}
        for job, future in futures.items():
            result = future.result()
            for trouble in result.trouble:
                self._news(f"{self.python.minor} {job}: {trouble}")
            outcomes[job] = {
                test: outcome.kind if outcome.kind in ("passed", "skipped") else "failed"
                for test, outcome in result.outcomes.items()
            }
            kinds = list(outcomes[job].values())
            self._news(f"{self.python.minor} {job}: {kinds.count('passed')} passed, {kinds.count('failed')} failed")
            for test, outcome in result.outcomes.items():
                if outcome.kind not in ("passed", "skipped"):
                    self._news(f"    {outcome.kind} {test}: {outcome.detail.rstrip().splitlines()[-1]}")
        return outcomes

    def close(self) -> None:
        """Drop what is queued and wait for the children that run."""
        self._run.close()

    def _entries(self, file: str) -> list[Entry]:
        return expectations.read(file) if self._lists_apply else []

    def _learn_baseline(self, jobs: Sequence[Job]) -> None:
        missing = []
        for job in jobs:
            recorded = baseline.read(job.file).get((self.python.version, job.debug))
            if recorded is None:
                missing.append(job)
            else:
                self._known[job.file, job.debug] = recorded
        if missing:
            self._news(f"nothing recorded of {self.python.version} for {len(missing)} jobs: running asyncio first")
        for job, outcomes in self.run_asyncio(missing).items():
            self._known[job.file, job.debug] = outcomes


def planned(python: Interpreter) -> list[TestFile]:
    """The files of the plan that an interpreter has."""
    return [file for file in FILES if file.name in python.files]


def say(text: str) -> None:
    """Tell the user of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
