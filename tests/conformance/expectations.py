"""The tests that riata is not expected to pass, each with its reason: `listed/<test file>.toml`.

    [[entry]]
    tests = ["SetMethodsTest.test_x", "*.test_y"]   # ids; `*` stands for any text
    outcome = "fails"             # or "not run", or "needs no loop"
    reason = "why a developer of CPython would agree"
    pythons = ["3.11"]            # optional: only there; absent, on all
    variants = ["loop-only"]      # optional: only these variants of `plan.VARIANTS`
    debug = true                  # optional: only with debug mode on (true) or off (false)

`fails` is run, and to pass is as wrong as an unlisted failure: the entry must go. `not run` is for what a run
would prove nothing about, or would hang on; a whole class (`Class.*`) only with a reason that begins `White-box`.
`needs no loop` says of whole classes that their tests pass without a loop of riata's ever being made: any other class
of which that is so makes the run fail.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .plan import VARIANTS, Job

FOLDER = Path(__file__).parent / "listed"

_OUTCOMES = ("fails", "not run", "needs no loop")
_KEYS = {"tests", "outcome", "reason", "pythons", "variants", "debug"}


class BadExpectation(Exception):
    """An entry that does not say what it must."""


@dataclass(frozen=True)
class Entry:
    """One entry of the list; the module's text explains its parts."""

    file: str
    tests: tuple[str, ...]
    outcome: str
    reason: str
    pythons: tuple[str, ...]
    variants: tuple[str, ...]
    debug: bool | None

    @property
    def fails(self) -> bool:
        """Whether the tests are run, and must fail."""
        return self.outcome == "fails"

    @property
    def not_run(self) -> bool:
        """Whether the tests are left out."""
        return self.outcome == "not run"

    def applies(self, job: Job, python: str) -> bool:
        """Whether the entry speaks of this job on this Python, given as `3.13`."""
        return (
            job.file == self.file
            and (not self.pythons or python in self.pythons)
            and (not self.variants or job.variant in self.variants)
            and (self.debug is None or self.debug == job.debug)
        )

    def matches(self, test: str) -> bool:
        """Whether the entry names this test."""
        return any(fnmatchcase(test, pattern) for pattern in self.tests)


def read(file: str) -> list[Entry]:
    """Read the entries for one test file; none if there is no list.

    Raises:
        BadExpectation: an entry lacks its reason, or has a key or value that means nothing.
        tomllib.TOMLDecodeError: the list is not TOML.
    """
    path = FOLDER / f"{file}.toml"
    if not path.exists():
        return []
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return [_entry(file, number, item) for number, item in enumerate(raw.get("entry", ()), 1)]


def _entry(file: str, number: int, item: dict[str, Any]) -> Entry:
    def wrong(what: str) -> BadExpectation:
        return BadExpectation(f"{file}.toml, entry {number}: {what}")

    if unknown := item.keys() - _KEYS:
        raise wrong(f"unknown keys {sorted(unknown)}")
    if item.get("outcome") not in _OUTCOMES:
        raise wrong(f"outcome must be one of {_OUTCOMES}")
    if not item.get("tests"):
        raise wrong("names no tests")
    if len(item.get("reason", "").split()) < 3:
        raise wrong("gives no reason")
    if unknown := set(item.get("variants", ())) - VARIANTS.keys():
        raise wrong(f"unknown variants {sorted(unknown)}")
    return Entry(
        file=file,
        tests=tuple(item["tests"]),
        outcome=item["outcome"],
        reason=item["reason"],
        pythons=tuple(item.get("pythons", ())),
        variants=tuple(item.get("variants", ())),
        debug=item.get("debug"),
    )
