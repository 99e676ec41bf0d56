"""Run CPython's asyncio tests on riata, or on asyncio itself for the baseline."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import baseline, table, verdict
from .baseline import Outcomes
from .plan import BASELINE, FILES, VARIANTS, Job, TestFile, file_named
from .runner import TEST_LIMIT, Interpreter, interpreter
from .session import BOTH_MODES, MODULES, Session, planned, say
from .verdict import Problem, Verdict


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="test files, as test_tasks; default: all")
    add("--loop", choices=["asyncio", *MODULES], default="riata", help="what to test; default: riata")
    add("--python", action="append", metavar="PATH", help="interpreter to use; may be repeated; default: this one")
    add("--debug", choices=["on", "off", "both"], default="both", help="asyncio's debug mode; default: both")
    add("--variant", action="append", choices=list(VARIANTS), help="only this variant; may be repeated")
    add("--test", action="append", metavar="ID", help="only this test, as Class.test_method; may be repeated")
    add("--test-limit", type=float, default=TEST_LIMIT, metavar="SECONDS", help="for a single test; default: 60")
    add("--record", action="store_true", help="with --loop asyncio: write down the baseline")
    add("--verbose", action="store_true", help="print a traceback for each cause of failure")
    add("--problems-to", type=Path, metavar="PATH", help="write every problem there, as JSON lines")
    arguments = parser.parse_args(argv)
    if arguments.record and (arguments.loop != "asyncio" or arguments.test or arguments.debug != "both"):
        parser.error("--record needs --loop asyncio, whole files and both debug modes")
    return arguments


def _selected(arguments: argparse.Namespace, python: Interpreter) -> list[TestFile]:
    if not arguments.files:
        return planned(python)
    return [file for file in map(file_named, arguments.files) if file.name in python.files]


def _check(arguments: argparse.Namespace, session: Session, files: Sequence[TestFile]) -> tuple[
    list[Verdict], list[Problem]
]:  # fmt: skip
    """Run on riata and judge every job, and each file as a whole unless only a part of it was asked for."""
    problems = [
        Problem(Job(name, BASELINE, False), "", "a test file that plan.py knows nothing of", "")
        for name in verdict.unknown_files(session.python, FILES)
    ]
    session.start(files, variants=arguments.variant, only=arguments.test)
    verdicts = [session.judge(job, complete=not arguments.test) for job in session.jobs()]
    for judged in verdicts:
        problems += judged.problems
    if not (arguments.test or arguments.variant):
        for file in files:
            problems += session.judge_file(file, [one for one in verdicts if one.job.file == file.name])
    return verdicts, problems


def _record(outcomes: dict[Job, Outcomes], version: str) -> None:
    for name in {job.file for job in outcomes}:
        recorded = baseline.read(name)
        recorded.update({(version, job.debug): ids for job, ids in outcomes.items() if job.file == name})
        baseline.write(name, recorded)


def _run_baseline(arguments: argparse.Namespace, session: Session, files: Sequence[TestFile]) -> None:
    modes = {"on": [True], "off": [False], "both": BOTH_MODES}[arguments.debug]
    jobs = [Job(file.name, BASELINE, debug) for file in files for debug in modes]
    outcomes = session.run_asyncio(jobs, arguments.test)
    if arguments.record:
        _record(outcomes, session.python.version)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; 1 if anything is not as the lists say, 2 if an interpreter is of no use."""
    arguments = _arguments(argv)
    by_python: dict[str, list[Verdict]] = {}
    found: list[dict[str, str]] = []
    for path in arguments.python or [sys.executable]:
        try:
            python = interpreter(path)
            files = _selected(arguments, python)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            say(f"{path}: {error!r}")
            return 2
        if not files:
            say(f"{path} came without these tests (on Debian they are in libpython{python.minor}-testsuite)")
            return 2
        debug = {"on": [True], "off": [False], "both": BOTH_MODES}[arguments.debug]
        session = Session(python, arguments.loop, debug=debug, test_limit=arguments.test_limit, news=say)
        try:
            if arguments.loop == "asyncio":
                _run_baseline(arguments, session, files)
                continue
            verdicts, problems = _check(arguments, session, files)
        finally:
            session.close()
        by_python[python.minor] = verdicts
        if problems:
            print(f"\nPython {python.version}: {len(problems)} problems")
            print(table.problems(problems, verbose=arguments.verbose))
        found += [
            {"python": python.version, "job": str(one.job), "test": one.test, "what": one.what, "detail": one.detail}
            for one in problems
        ]
    if by_python:
        print("\n" + table.table(by_python))
    if arguments.problems_to:
        arguments.problems_to.write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
