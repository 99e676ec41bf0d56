"""The child process: runs one CPython test file and writes one JSON line for each thing that happens.

Started by `runner` as `python -m tests.conformance.child ORDER`, where ORDER is the JSON of an `Order`. Events
go to a file, not to a pipe, so that what was reported before a crash or a hang survives it. A test that takes
longer than its limit ends the process, after every thread's stack was written to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import importlib
import json
import signal
import sys
import tempfile
import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, TextIO

from .plan import BASELINE

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


@dataclass
class Order:
    """What a child is to do.

    Attributes:
        file: module name inside `test.test_asyncio`.
        module: what stands in for asyncio (`riata`, the stand-in), unused when the variant is the baseline.
        variant: a name of `plan.VARIANTS`, or the baseline's.
        events: path of the file that events are appended to.
        test_limit: seconds that one test may take.
        leave_out: ids of tests not to be run.
        only: ids to run, or None for all.
    """

    file: str
    module: str
    variant: str
    events: str
    test_limit: float
    leave_out: list[str] = field(default_factory=list)
    only: list[str] | None = None

    def to_json(self) -> str:
        """The command-line argument."""
        return json.dumps(asdict(self))


def test_id(test: unittest.TestCase) -> str:
    """`Class.test_method`: the same in every variant, without the module it is in."""
    return ".".join(test.id().split(".")[3:]) if test.id().startswith("test.test_asyncio.") else test.id()


test_id.__test__ = False  # type: ignore[attr-defined]


class Recorder(unittest.TestResult):
    """A test result that writes each outcome down at once.

    A test has one outcome: the worst of what was reported for it and for its subtests.
    """

    def __init__(self, events: TextIO, test_limit: float) -> None:
        super().__init__()
        self._events = events
        self._test_limit = test_limit
        self._outcome: dict[str, str] = {}
        self.work: Callable[[], int] = lambda: 0  # Grows with what riata's loops do.
        self._work_before = 0

    def write(self, event: dict[str, Any]) -> None:
        """Append an event, all the way to the file."""
        self._events.write(json.dumps(event) + "\n")
        self._events.flush()

    def startTest(self, test: unittest.TestCase) -> None:
        """Note which test is running, so that a crash can be laid at its door, and set its limit."""
        super().startTest(test)
        self._outcome = {}
        self._work_before = self.work()
        self.write({"event": "start", "id": test_id(test)})
        faulthandler.dump_traceback_later(self._test_limit, exit=True)

    def stopTest(self, test: unittest.TestCase) -> None:
        """Write down how the test ended."""
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        outcome = self._outcome or {"outcome": "passed", "detail": ""}
        self.write({"event": "end", "id": test_id(test), "on_loop": self.work() > self._work_before, **outcome})

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """The test raised, or one of its fixtures did."""
        self._failed(test, err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """An assertion of the test failed."""
        self._failed(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """A subtest ended; a failure counts for the test it belongs to."""
        if err is not None:
            self._failed(test, err, subtest)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """The test was marked as failing in CPython, and passed."""
        self._outcome = {"outcome": "failed", "detail": "unexpected success"}

    def addSkip(self, test: Any, reason: str) -> None:
        """The test decided not to run here; a fixture of a whole class may do so too."""
        if isinstance(test, unittest.TestCase):
            self._outcome.setdefault("outcome", "skipped")
            self._outcome.setdefault("detail", reason)
        else:
            self.write({"event": "end", "id": str(test), "outcome": "skipped", "detail": reason})

    def _failed(self, test: Any, err: ExcInfo, subtest: unittest.TestCase | None = None) -> None:
        detail = "".join(traceback.format_exception(*err))
        if subtest is not None:
            detail = f"{subtest}\n{detail}"
        if isinstance(test, unittest.TestCase):
            if self._outcome.get("outcome") != "failed":
                self._outcome = {"outcome": "failed", "detail": detail}
        else:  # setUpClass, tearDownModule: unittest passes a description instead of a test.
            self.write({"event": "end", "id": str(test), "outcome": "failed", "detail": detail})


def _each_test(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _each_test(test)
        else:
            yield test


def _run(order: Order, recorder: Recorder) -> None:
    """Load the file with its variant in place and run its tests.

    Raises:
        ImportError: riata, or the test file, cannot be imported.
    """
    substitution = None
    if order.variant != BASELINE:
        from .substitution import Substitution

        substitution = Substitution(order.module, order.variant)
        substitution.before_loading()
        recorder.work = substitution.work
    tests = importlib.import_module(f"test.test_asyncio.{order.file}")
    if substitution is not None:
        substitution.after_loading(tests)

    suite = unittest.TestSuite()
    left_out = set(order.leave_out)
    for test in _each_test(unittest.defaultTestLoader.loadTestsFromModule(tests)):
        name = test_id(test)
        if name in left_out or (order.only is not None and name not in order.only):
            recorder.write({"event": "left out", "id": name})
        else:
            suite.addTest(test)
    suite.run(recorder)

    if substitution is not None:
        counters = {name: count for name, count in sorted(substitution.counters.items()) if count}
        recorder.write(
            {
                "event": "stats",
                "loops": substitution.loops,
                "counters": counters,
                "in_place": substitution.still_in_place(),
            }
        )


def main() -> int:
    """Carry out the order given as the first argument; 0 if every test came to an outcome."""
    order = Order(**json.loads(sys.argv[1]))
    faulthandler.enable()
    # A job that a shell started in the background inherits SIGINT ignored; tests of Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not sys.warnoptions:
        warnings.simplefilter("default")  # As unittest's own runner does: some tests count warnings.
    with open(order.events, "a", encoding="utf-8") as events:
        recorder = Recorder(events, order.test_limit)
        recorder.write({"event": "python", "version": ".".join(map(str, sys.version_info[:3]))})
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder, contextlib.chdir(folder):
            try:
                _run(order, recorder)
            except unittest.SkipTest as skip:
                recorder.write({"event": "file skipped", "detail": str(skip)})
            except Exception:
                recorder.write({"event": "broken", "detail": traceback.format_exc()})
                return 1
        # The interpreter's own end belongs to the run: a crash there must be seen.
        recorder.write({"event": "done", "asyncio_debug": asyncio.coroutines._is_debug_mode()})  # type: ignore[attr-defined]
    return 0


if __name__ == "__main__":
    sys.exit(main())
