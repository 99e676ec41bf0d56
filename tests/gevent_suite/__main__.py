"""Runs gevent's own tests on libev and on riata, a process for each file, and compares what failed.

1 if anything fails on riata that libev passes and that is not listed.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gevent.tests

LOOPS = {"libev": "libev-cext", "riata": "riata.gevent.Loop"}

EXCEPTIONS = {
    "test__environ": "GEVENT_BACKEND=select: riata has no backend but epoll, and says so",
}
"""Files that may fail on riata, and why."""

CORE = (
    "test__core*",
    "test__loop_callback",
    "test__hub*",
    "test__socket*",
    "test__subprocess*",
    "test__signal",
    "test__threadpool",
    "test__destroy*",
    "test__close_backend_fd",
)
"""Of these none may be listed above."""

NOT_RUN = {
    "test_support": "holds no tests",
    "test__monkey_patching": "runs CPython's tests from gevent's source tree, which the package does not bring",
}

LIMIT = 150
"""Seconds that a file may take."""

AGAIN = 3
"""How often a file is run again, on both, that fails on riata alone."""

_FAILED = re.compile(r"^(?:FAIL|ERROR|UNEXPECTED SUCCESS): (.+)$", re.MULTILINE)
_RAN = re.compile(r"^Ran (\d+) tests?", re.MULTILINE)
_SKIPPED = re.compile(r"skipped=(\d+)")


@dataclass(frozen=True)
class Result:
    """How a file's run ended.

    Attributes:
        failed: the names of tests, or what the process did instead of telling them.
        ran: how many tests ran.
        skipped: how many of them were skipped.
        output: what the process wrote.
    """

    failed: frozenset[str]
    ran: int
    skipped: int
    output: str


def _run(name: str, loop: str) -> Result:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    environment |= {"GEVENT_LOOP": LOOPS[loop], "GEVENTTEST_USE_RESOURCES": "none", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", f"gevent.tests.{name}"]
    folder = Path(gevent.tests.__file__).parent
    with subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=LIMIT)
            failed = set(_FAILED.findall(output))
            if process.returncode and not failed:
                failed = {f"exit status {process.returncode}"}
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, _ = process.communicate()
            failed = {f"no end within {LIMIT} s"}
    ran, skipped = _RAN.search(output), _SKIPPED.findall(output)
    return Result(
        frozenset(failed), int(ran[1]) if ran else int(not failed), int(skipped[-1]) if skipped else 0, output
    )


def _both(name: str, pool: ThreadPoolExecutor) -> dict[str, Result]:
    return dict(zip(LOOPS, pool.map(lambda loop: _run(name, loop), LOOPS), strict=True))


def _judge(name: str, results: dict[str, Result], pool: ThreadPoolExecutor) -> tuple[set[str], set[str]]:
    """What is broken on riata, and what is unsteady: fails among others, but not again, or on libev as well."""
    suspects = set(results["riata"].failed - results["libev"].failed)
    broken: set[str] = set()
    for _ in range(AGAIN if suspects else 0):
        again = _both(name, pool)
        broken |= suspects & again["riata"].failed
        suspects -= again["libev"].failed
    return broken & suspects, (results["riata"].failed - results["libev"].failed) - (broken & suspects)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the files that the arguments name, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.gevent_suite", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a file without .py, or a pattern; default: all")
    parser.add_argument("--but", action="append", default=[], metavar="NAME", help="a file that is left out")
    options = parser.parse_args(argv)
    patterns = options.names or ["*"]
    listed_core = [name for name in EXCEPTIONS if any(fnmatch.fnmatch(name, pattern) for pattern in CORE)]
    assert not listed_core, f"no exceptions among the core: {listed_core}"
    files = sorted(path.stem for path in Path(gevent.tests.__file__).parent.glob("test_*.py"))
    names = [name for name in files if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    names = [name for name in names if name not in NOT_RUN and name not in options.but]
    totals = {loop: [0, 0, 0] for loop in LOOPS}
    bad = 0
    with ThreadPoolExecutor(len(LOOPS)) as pool:  # both at once: under the same conditions
        for name in names:
            results = _both(name, pool)
            for loop, result in results.items():
                for place, count in enumerate((result.ran, len(result.failed), result.skipped)):
                    totals[loop][place] += count
            broken, unsteady = _judge(name, results, pool)
            excused = EXCEPTIONS.get(name) if broken else None
            bad += bool(broken and not excused)
            told = [f"{one}: BROKEN" for one in sorted(broken) if not excused]
            told += [f"{excused}"] if excused else []
            told += [f"{one}: unsteady" for one in sorted(unsteady)]
            told += [f"{one}: fails on both" for one in sorted(results["riata"].failed & results["libev"].failed)]
            print("\n    ".join([f"{name} {results['riata'].ran}", *told]), flush=True)
            if broken and not excused:
                print(results["riata"].output[-6000:], flush=True)
    for loop, (ran, failed, skipped) in totals.items():
        print(f"{loop}: {ran} tests, {failed} failed, {skipped} skipped")
    print(f"{bad} of {len(names)} files are broken on riata")
    return int(bool(bad) or not names)


if __name__ == "__main__":
    sys.exit(main())
