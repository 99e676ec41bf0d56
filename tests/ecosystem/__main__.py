"""Runs other projects' test suites, and real clients against real servers, on asyncio and on riata, and compares.

1 if riata fails anything that asyncio passes, 2 if something is missing that the comparison needs.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import packages
from .environment import environment, variables
from .runner import run
from .source import SourceError, source
from .suites import SUITES, Suite
from .verdict import GOOD, Verdict, judge

FOLDER = Path(__file__).resolve().parent
PROGRAMS = sorted(str(path) for path in (FOLDER / "programs").glob("*.py") if path.name != "conftest.py")
LOOPS = ("asyncio", "riata")
AGAIN = 3
"""How often a test is run again, alone on both loops, that failed on riata among all the others."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ecosystem", description=__doc__)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=f"of {', '.join([*SUITES, 'programs'])}; default: all")
    add("--wheel", type=Path, required=True, help="riata's, for the interpreter that runs this")
    add("--environments", type=Path, required=True, metavar="FOLDER", help="where to keep virtual environments")
    add("--store", type=Path, required=True, metavar="FOLDER", help="where to keep sources")
    arguments = parser.parse_args(argv)
    arguments.wheel, arguments.environments, arguments.store = (
        path.resolve() for path in (arguments.wheel, arguments.environments, arguments.store)
    )
    if unknown := set(arguments.names) - {*SUITES, "programs"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    return arguments


def _say(text: str) -> None:
    print(text, flush=True)


def _compare(suite: Suite, arguments: argparse.Namespace) -> Verdict:
    python = environment(suite.name, arguments.environments, arguments.wheel)
    folders = {loop: source(suite, arguments.store, loop) for loop in LOOPS}
    _say(f"{suite.name} {suite.version} on asyncio and on riata ...")
    with ThreadPoolExecutor(len(LOOPS)) as pool:  # at once: under the same conditions, and sooner
        results = dict(zip(LOOPS, pool.map(lambda loop: run(suite, loop, python, folders[loop]), LOOPS), strict=True))
    verdict = judge(suite.name, results["asyncio"], results["riata"])
    for _ in range(AGAIN if verdict.broken else 0):
        _run_again(suite, python, folders, verdict)
    verdict.settle()
    _report(verdict)
    return verdict


def _run_again(suite: Suite, python: Path, folders: dict[str, Path], verdict: Verdict) -> None:
    only = set(verdict.broken)
    _say(f"{suite.name}: {len(only)} again ...")
    again = {loop: run(suite, loop, python, folders[loop], only) for loop in LOOPS}
    for test in only:
        verdict.note_again(test, again["asyncio"], again["riata"])


def _programs(arguments: argparse.Namespace) -> bool:
    """Run the clients against the servers; false if a test fails."""
    python = environment("programs", arguments.environments, arguments.wheel)
    _say("programs on asyncio and on riata ...")
    command = [str(python), "-m", "pytest", *PROGRAMS, "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=FOLDER.parents[1], env={**variables("asyncio"), "PYTHONPATH": ""})
    return done.returncode == 0


def _table(verdicts: Sequence[Verdict]) -> str:
    lines = [f"{'':<12}{'collected':>10}{'asyncio':>10}{'riata':>10}{'broken':>8}{'unsteady':>10}"]
    for one in verdicts:
        passed = [
            sum(outcome.kind in GOOD for outcome in result.outcomes.values()) for result in (one.asyncio, one.riata)
        ]
        lines.append(
            f"{one.name:<12}{len(one.asyncio.collected):>10}{passed[0]:>10}{passed[1]:>10}"
            f"{len(one.broken):>8}{len(one.unsteady):>10}"
        )
    return "\n".join(lines)


def _report(verdict: Verdict) -> None:
    for test, detail in verdict.broken.items():
        _say(f"\n== {verdict.name}: {test}\n{detail[-3000:]}")
    for test in sorted(verdict.missing):
        _say(f"\n== {verdict.name}: {test}\ncollected on one of the two loops only")
    for text in verdict.trouble:
        _say(f"\n== {verdict.name}: {text}")
    for test, text in verdict.unsteady.items():
        _say(f"\n-- {verdict.name}: {test}\n{text}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for."""
    arguments = _arguments(argv)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts so what it runs in the background, and what tests interrupt would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    names = arguments.names or [*SUITES, "programs"]
    if "programs" in names and (missing := packages.install_missing(_say)):
        _say(f"missing, from Debian's packages: {' '.join(missing)} (apt-get install {' '.join(missing)}, as root)")
        return 2
    arguments.environments.mkdir(parents=True, exist_ok=True)
    # A copy: riata may be built again while this runs.
    arguments.wheel = Path(shutil.copy(arguments.wheel, arguments.environments))
    holds = True
    verdicts: list[Verdict] = []
    try:
        if "programs" in names:
            holds = _programs(arguments)
        verdicts += [_compare(suite, arguments) for name, suite in SUITES.items() if name in names]
    except SourceError as error:
        _say(str(error))
        return 2
    except subprocess.CalledProcessError as error:
        _say(f"{error.cmd} failed")
        return 2
    if verdicts:
        _say("\n" + _table(verdicts))
    return 0 if holds and all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
