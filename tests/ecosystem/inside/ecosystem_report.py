"""A pytest plugin: writes down how each test ended and on which loops, as JSON lines.

It runs inside a suite's own environment, on asyncio and on riata alike. A test that makes a loop of another kind than
the run is for fails, whatever it says itself.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KIND = os.environ["ECOSYSTEM_LOOP"]

FROZEN_EACH = 100
"""After how many tests what has come together is taken out of the collector's sight."""


class Loops:
    """Which classes of loop were made, and how many turns riata's made."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.turns = 0
        self._note_what_is_made()
        if KIND == "riata":
            self._note_turns()

    def _note_what_is_made(self) -> None:
        init = asyncio.base_events.BaseEventLoop.__init__

        def noting_init(loop: Any) -> None:
            self.made[_kind(loop)] += 1
            init(loop)

        asyncio.base_events.BaseEventLoop.__init__ = noting_init  # type: ignore[method-assign]

    def _note_turns(self) -> None:
        import riata

        close = riata.Loop.close

        def counting_close(loop: Any) -> None:
            if not loop.is_closed():
                self.turns += loop.stats()["turns"]
            close(loop)

        riata.Loop.close = counting_close  # type: ignore[method-assign]

    def take(self) -> dict[str, int]:
        """What was made since this was last asked."""
        made = dict(self.made)
        self.made.clear()
        return made


def _kind(loop: Any) -> str:
    """`riata`, `asyncio`, or for a loop that derives from neither's the name of its class."""
    names = {base.__module__.partition(".")[0] for base in type(loop).__mro__}
    if "riata" in names:
        return "riata"
    selector_loop = any(base.__name__ == "_UnixSelectorEventLoop" for base in type(loop).__mro__)
    return "asyncio" if selector_loop else f"{type(loop).__module__}.{type(loop).__qualname__}"


class Report:
    """The events of one run, in a file that survives its process."""

    def __init__(self, path: Path, only: set[str] | None, leave_out: set[str]) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._only = only
        self._leave_out = leave_out
        self._loops = Loops()
        self._outcome = ("passed", "")
        self._count = 0

    def _write(self, **event: Any) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Say what was collected, and keep what this process is to run."""
        self._write(event="collected", ids=[item.nodeid for item in items])
        kept, dropped = [], []
        for item in items:
            wanted = item.nodeid not in self._leave_out and (self._only is None or item.nodeid in self._only)
            (kept if wanted else dropped).append(item)
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = kept

    def _freeze(self) -> None:
        """What is here by now stays: aiohttp's fixtures collect garbage after each test, over everything that is not
        frozen, what pytest keeps of the tests so far among it; and that took most of the run's time. What garbage has
        to say for itself is not said by the test that happens to come next.
        """
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        gc.collect()
        sys.unraisablehook = hook
        gc.freeze()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One test: from before its fixtures to after them."""
        if self._count % FROZEN_EACH == 0:
            self._freeze()
        self._count += 1
        self._outcome = ("passed", "")
        self._write(event="start", id=item.nodeid)
        yield
        made = self._loops.take()
        strangers = made.keys() - {KIND}
        if strangers and self._outcome[0] in ("passed", "xfailed"):
            self._outcome = ("strange loop", f"on {KIND}, but it made loops of {sorted(strangers)}")
        self._write(event="end", id=item.nodeid, outcome=self._outcome[0], detail=self._outcome[1], loops=made)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The worst of a test's phases is how it ended."""
        if report.failed:
            self._outcome = ("failed", f"[{report.when}] {report.longreprtext}")
        elif report.skipped and self._outcome[0] == "passed":
            self._outcome = ("xfailed" if hasattr(report, "wasxfail") else "skipped", report.longreprtext)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be loaded counts as a test that fails."""
        if report.failed:
            self._write(event="start", id=report.nodeid)
            self._write(event="end", id=report.nodeid, outcome="failed", detail=report.longreprtext, loops={})

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """The run is over: it was not cut short."""
        self._write(event="done", turns=self._loops.turns)


def pytest_configure(config: pytest.Config) -> None:
    """Start to report, in the process that runs the tests and in no session that a test starts within it."""
    order = os.environ.pop("ECOSYSTEM_ORDER", None)
    if order is None:
        return
    told = json.loads(Path(order).read_text(encoding="utf-8"))
    only = told["only"]
    report = Report(Path(told["events"]), None if only is None else set(only), set(told["leave_out"]))
    config.pluginmanager.register(report, "ecosystem-report-of-this-process")
