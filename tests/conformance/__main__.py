"""`python -m tests.conformance`: run CPython's asyncio tests on riata, or on asyncio for the baseline."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from . import baseline, expectations, table, verdict
from .baseline import Outcomes
from .plan import BASELINE, FILES, VARIANTS, Job, TestFile, file_named
from .runner import PROJECT, TEST_LIMIT, Interpreter, JobResult, Run, interpreter

MODULES = {"riata": "riata", "standin": "tests.conformance.standin"}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="test files, as test_tasks; default: all but the later"
    )
    parser.add_argument("--all", action="store_true", help="also the files of later milestones")
    parser.add_argument("--loop", choices=["riata", "asyncio", "standin"], default="riata", help="what to test")
    parser.add_argument(
        "--python", action="append", metavar="PATH", help="interpreter to test with; may be repeated; default: this one"
    )
    parser.add_argument("--debug", choices=["on", "off", "both"], default="both", help="asyncio's debug mode")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help="only these variants")
    parser.add_argument("--test", action="append", metavar="ID", help="only this test, as Class.test_method")
    parser.add_argument("--test-limit", type=float, default=TEST_LIMIT, metavar="SECONDS", help="for a single test")
    parser.add_argument("--record", action="store_true", help="with --loop asyncio: write the baseline files")
    parser.add_argument("--verbose", action="store_true", help="print a traceback for each cause of failure")
    parser.add_argument("--problems-to", type=Path, metavar="FILE", help="write every problem there, as JSON lines")
    arguments = parser.parse_args(argv)
    if arguments.record and (arguments.loop != "asyncio" or arguments.test or arguments.debug != "both"):
        parser.error("--record needs --loop asyncio, whole files and both debug modes")
    return arguments


def _selected(arguments: argparse.Namespace, python: Interpreter) -> list[TestFile]:
    if arguments.files:
        chosen = [file_named(Path(name).stem) for name in arguments.files]
    else:
        chosen = [file for file in FILES if arguments.all or not file.later]
    return [file for file in chosen if file.name in python.files]


class Session:
    """One interpreter's share of the run."""

    def __init__(self, arguments: argparse.Namespace, path: str) -> None:
        self._arguments = arguments
        self.python = interpreter(path)
        self._files = _selected(arguments, self.python)
        self._debug = {"on": [True], "off": [False], "both": [False, True]}[arguments.debug]
        self._run = Run(self.python, MODULES.get(arguments.loop, ""), test_limit=arguments.test_limit)
        self.verdicts: list[verdict.Verdict] = []
        self.problems: list[verdict.Problem] = []

    def check(self) -> None:
        """Run on riata and judge."""
        if not self.python.files:
            raise SystemExit(f"{self.python.path} came without its test suite (Debian: libpython3.x-testsuite)")
        for name in verdict.unknown_files(self.python, FILES):
            job = Job(name, BASELINE, False)
            self.problems.append(verdict.Problem(job, "", "a file that plan.py knows nothing of", ""))
        known = self._baseline_outcomes()
        futures = self._submit(known)
        results: dict[str, list[JobResult]] = {}
        for job, future in futures.items():
            result = future.result()
            entries = expectations.read(job.file)
            judged = verdict.judge(result, self.python.minor, known[job.file, job.debug], entries)
            if self._arguments.test:
                judged.problems = [problem for problem in judged.problems if problem.what != "did not run"]
            self.verdicts.append(judged)
            self.problems += judged.problems
            results.setdefault(job.file, []).append(result)
            _say(f"{self.python.minor} {job}: {judged.passed} passed, {len(judged.problems)} problems")
        if not (self._arguments.test or self._arguments.variant):
            self._check_lists(known, results)

    def _submit(self, known: dict[tuple[str, bool], Outcomes]) -> dict[Job, Future[JobResult]]:
        futures = {}
        for file in self._files:
            entries = expectations.read(file.name)
            for variant in file.variants:
                if self._arguments.variant and variant not in self._arguments.variant:
                    continue
                for debug in self._debug:
                    job = Job(file.name, variant, debug)
                    left_out = verdict.not_run(job, self.python.minor, known[file.name, debug], entries)
                    futures[job] = self._run.submit(job, left_out, self._arguments.test)
        return futures

    def _check_lists(
        self, known: dict[tuple[str, bool], Outcomes], results: dict[str, list[JobResult]]
    ) -> None:  # fmt: skip
        for file in self._files:
            judged = [one for one in self.verdicts if one.job.file == file.name]
            self.problems += verdict.stale(expectations.read(file.name), judged, self.python.minor)
            merged: Outcomes = {}
            for debug in self._debug:
                merged.update(known[file.name, debug])
            self.problems += verdict.whole_classes(file, merged, results.get(file.name, []))

    def _baseline_outcomes(self) -> dict[tuple[str, bool], Outcomes]:
        """What asyncio does on this interpreter: from the record, or from a run now if this version has none."""
        known: dict[tuple[str, bool], Outcomes] = {}
        missing = []
        for file in self._files:
            recorded = baseline.read(file.name)
            for debug in self._debug:
                key = self.python.version, debug
                if key in recorded:
                    known[file.name, debug] = recorded[key]
                else:
                    missing.append(Job(file.name, BASELINE, debug))
        if missing:
            _say(f"no baseline of {self.python.version} for {len(missing)} jobs: running asyncio first")
        for job, outcomes in self.run_asyncio(missing).items():
            known[job.file, job.debug] = outcomes
        return known

    def run_asyncio(self, jobs: Sequence[Job] | None = None) -> dict[Job, Outcomes]:
        """Run on asyncio; a hang or a crash counts as a failure."""
        if jobs is None:
            jobs = [Job(file.name, BASELINE, debug) for file in self._files for debug in self._debug]
        futures = {job: self._run.submit(job, only=self._arguments.test) for job in jobs}
        outcomes: dict[Job, Outcomes] = {}
        for job, future in futures.items():
            result = future.result()
            for trouble in result.trouble:
                _say(f"{self.python.minor} {job}: {trouble}")
            outcomes[job] = {
                test: outcome.kind if outcome.kind in ("passed", "skipped") else "failed"
                for test, outcome in result.outcomes.items()
            }
            kinds = list(outcomes[job].values())
            _say(f"{self.python.minor} {job}: {kinds.count('passed')} passed, {kinds.count('failed')} failed")
            for test, outcome in result.outcomes.items():
                if outcome.kind not in ("passed", "skipped"):
                    _say(f"    {outcome.kind} {test}: {outcome.detail.rstrip().splitlines()[-1]}")
        return outcomes

    def close(self) -> None:
        """Let go of the children."""
        self._run.close()


def _record(outcomes: dict[Job, Outcomes], version: str) -> None:
    for name in {job.file for job in outcomes}:
        recorded = baseline.read(name)
        for job in outcomes:
            if job.file == name:
                recorded[version, job.debug] = outcomes[job]
        baseline.write(name, recorded)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; 1 if anything is not as the lists say."""
    arguments = _arguments(argv)
    by_python: dict[str, list[verdict.Verdict]] = {}
    found: list[tuple[str, verdict.Problem]] = []
    for path in arguments.python or [sys.executable]:
        try:
            session = Session(arguments, path)
        except (OSError, subprocess.CalledProcessError) as error:
            _say(f"{path}: {error}")
            return 2
        try:
            if arguments.loop == "asyncio":
                outcomes = session.run_asyncio()
                if arguments.record:
                    _record(outcomes, session.python.version)
                continue
            session.check()
        finally:
            session.close()
        by_python[session.python.minor] = session.verdicts
        found += [(session.python.version, problem) for problem in session.problems]
        if session.problems:
            print(f"\nPython {session.python.version}: {len(session.problems)} problems")
            print(table.problems(session.problems, verbose=arguments.verbose))
    if by_python:
        print("\n" + table.table(by_python))
    if arguments.problems_to:
        lines = [json.dumps({"python": version, "job": str(p.job), "test": p.test, "what": p.what, "detail": p.detail})
                 for version, p in found]  # fmt: skip
        arguments.problems_to.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    assert Path.cwd() == PROJECT or __package__, "start this with -m from the project's folder"
    sys.exit(main())
