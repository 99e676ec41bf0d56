"""Holds what happened against what asyncio passes and against the list of what riata need not.

What asyncio passes, less the listed, is what riata passes. Every departure from that is a problem, and any
problem makes the run fail: a test that failed, one that did not run, and a listed one that passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .baseline import Outcomes
from .expectations import Entry
from .plan import NEVER, VARIANTS, Job, TestFile, file_named
from .runner import Interpreter, JobResult


@dataclass(frozen=True)
class Problem:
    """One reason for the run to fail.

    Attributes:
        job: where it happened.
        test: id of the test, or empty when it concerns the whole job.
        what: `failed`, `hung`, `crashed`, `did not run`, `passed though listed`, or a sentence.
        detail: traceback or explanation.
    """

    job: Job
    test: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.job} {self.test}: {self.what}" if self.test else f"{self.job}: {self.what}"


@dataclass
class Verdict:
    """What a job amounts to.

    Attributes:
        job: the job judged.
        passed: how many tests passed.
        failed: how many failed, hung or crashed without being listed.
        listed: how many failed as listed.
        skipped: how many the suite itself or the list left out.
        asyncio_fails: ids that failed here and fail on asyncio too; not held against riata.
        problems: why the run fails; empty if it does not.
        used: the entries of the list that named a test of this job.
    """

    job: Job
    passed: int = 0
    failed: int = 0
    listed: int = 0
    skipped: int = 0
    asyncio_fails: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    used: set[Entry] = field(default_factory=set)

    @property
    def run(self) -> int:
        """How many tests ran to an end, whatever it was."""
        return self.passed + self.failed + self.listed + len(self.asyncio_fails)


def not_run(job: Job, python: str, known: Iterable[str], entries: Sequence[Entry]) -> list[str]:
    """The ids among those known that the list says not to run."""
    applying = [entry for entry in entries if entry.not_run and entry.applies(job, python)]
    return [test for test in known if any(entry.matches(test) for entry in applying)]


def judge(result: JobResult, python: str, baseline: Outcomes, entries: Sequence[Entry]) -> Verdict:
    """Compare a job's result with asyncio's outcomes and the list.

    Args:
        result: what the job came to.
        python: version of the interpreter, as `3.13`.
        baseline: what asyncio does with the same file on the same interpreter in the same debug mode.
        entries: the list for this file.
    """
    job = result.job
    verdict = Verdict(job)
    applying = [entry for entry in entries if entry.applies(job, python)]
    for test, outcome in result.outcomes.items():
        naming = [entry for entry in applying if entry.matches(test)]
        verdict.used.update(naming)
        listed = any(entry.fails for entry in naming)
        before = baseline.get(test)
        if outcome.kind == "passed":
            verdict.passed += 1
            if listed:
                verdict.problems.append(Problem(job, test, "passed though listed", naming[0].reason))
        elif outcome.kind == "skipped":
            verdict.skipped += 1
            if before == "passed":
                verdict.problems.append(Problem(job, test, "did not run", f"skipped: {outcome.detail}"))
        elif listed:
            verdict.listed += 1
        elif before == "failed" and outcome.kind == "failed":
            verdict.asyncio_fails.append(test)
        else:
            verdict.failed += 1
            verdict.problems.append(Problem(job, test, outcome.kind, outcome.detail))

    for test in baseline.keys() - result.outcomes.keys():
        naming = [entry for entry in applying if entry.matches(test)]
        verdict.used.update(naming)
        if any(entry.not_run for entry in naming):
            verdict.skipped += 1
        elif baseline[test] == "passed":
            verdict.problems.append(Problem(job, test, "did not run", "asyncio passes it, and no entry lists it"))

    for trouble in result.trouble:
        verdict.problems.append(Problem(job, "", "trouble outside the tests", trouble))
    if not proves_work(result):
        verdict.problems.append(Problem(job, "", "riata did no work", f"counters: {result.counters}"))
    return verdict


def proves_work(result: JobResult) -> bool:
    """Whether the job's counters, or its kind, show that what was to be tested is what ran."""
    if result.job.variant not in VARIANTS:
        return True
    if not result.in_place:
        return False
    if not VARIANTS[result.job.variant].own_loop or file_named(result.job.file).loopless:
        return True  # No loop of riata's need run; its classes were in place, as just seen.
    turns = result.counters.get("turns", 0)
    work = result.counters.get("callbacks", 0) + result.counters.get("task_steps", 0)
    return turns > 0 and work > 0


def stale(entries: Iterable[Entry], verdicts: Sequence[Verdict], python: str) -> list[Problem]:
    """Entries that named no test although every job they could speak of was run."""
    problems = []
    for entry in entries:
        jobs = [verdict.job for verdict in verdicts if entry.applies(verdict.job, python)]
        if jobs and not any(entry in verdict.used for verdict in verdicts):
            what = f"the list names no test with {', '.join(entry.tests)}"
            problems.append(Problem(jobs[0], "", what, entry.reason))
    return problems


def whole_classes(baseline: Outcomes, results: Sequence[JobResult], entries: Sequence[Entry]) -> list[Problem]:
    """Classes of which asyncio passes something and riata nothing, in any variant: only white-box ones may be."""
    passed = {test for result in results for test, outcome in result.outcomes.items() if outcome.kind == "passed"}
    classes = {test.rpartition(".")[0] for test, outcome in baseline.items() if outcome == "passed"}
    white_box = {
        test.removesuffix(".*")
        for entry in entries
        for test in entry.tests
        if entry.not_run and entry.reason.lstrip().startswith("White-box")
    }
    silent = sorted(classes - {test.rpartition(".")[0] for test in passed} - white_box)
    return [Problem(results[0].job, case, "no test of the class passed", "see the list for why") for case in silent]


def without_loop(results: Sequence[JobResult], entries: Sequence[Entry], python: str) -> list[Problem]:
    """Classes that passed although no loop of riata's was ever made for them, but those of which the list says so."""
    passed = {(result.job, test) for result in results for test, one in result.outcomes.items() if one.kind == "passed"}
    on_loop = {test.rpartition(".")[0] for result in results for test in result.on_loop}
    problems = []
    for case in sorted({test.rpartition(".")[0] for _, test in passed}):
        tests = [(job, test) for job, test in passed if test.rpartition(".")[0] == case]
        needs_none = any(
            entry.outcome == "needs no loop" and entry.applies(job, python) and entry.matches(test)
            for entry in entries
            for job, test in tests
        )
        if needs_none == (case in on_loop):
            what = "needs a loop, and the list denies it" if needs_none else "no loop of riata's was made for the class"
            problems.append(Problem(results[0].job, case, what, "see `needs no loop` in expectations.py"))
    return problems


def unknown_files(python: Interpreter, planned: Iterable[TestFile]) -> list[str]:
    """Test files that the interpreter has and this folder knows nothing of: a new one must be put in a table."""
    return sorted(python.files - {file.name for file in planned} - NEVER.keys())
