"""The machinery itself: what it calls a problem, and that substitution, hangs and crashes end as they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from . import baseline, expectations, verdict
from .expectations import Entry
from .plan import FILES, VARIANTS, Job, file_named
from .runner import JobResult, Outcome, interpreter
from .session import Session

JOB = Job("test_locks", "riata", False)
WORK = {"turns": 5, "task_steps": 5}


def entry(*tests: str, outcome: str = "fails") -> Entry:
    return Entry("test_locks", tests, outcome, "the reason it has", (), (), None)


def judge(
    outcomes: dict[str, str], asyncio: dict[str, str], *entries: Entry, counters: dict[str, int] = WORK
) -> list[tuple[str, str]]:
    result = JobResult(JOB, {test: Outcome(kind) for test, kind in outcomes.items()}, counters=counters)
    judged = verdict.judge(result, "3.13", asyncio, entries)
    return [(problem.test, problem.what) for problem in judged.problems]


def test_what_asyncio_passes_must_pass() -> None:
    assert judge({"A.a": "passed"}, {"A.a": "passed"}) == []
    for kind in ("failed", "hung", "crashed"):
        assert judge({"A.a": kind}, {"A.a": "passed"}) == [("A.a", kind)]


def test_a_test_that_did_not_run_is_a_problem() -> None:
    assert judge({}, {"A.a": "passed"}) == [("A.a", "did not run")]
    assert judge({"A.a": "skipped"}, {"A.a": "passed"}) == [("A.a", "did not run")]
    assert judge({}, {"A.a": "skipped"}) == []


def test_a_listed_test_may_fail_and_must_not_pass() -> None:
    assert judge({"A.a": "failed"}, {"A.a": "passed"}, entry("A.*")) == []
    assert judge({"A.a": "passed"}, {"A.a": "passed"}, entry("A.*")) == [("A.a", "passed though listed")]
    assert judge({}, {"A.a": "passed"}, entry("A.*")) == [("A.a", "did not run")]
    assert judge({}, {"A.a": "passed"}, entry("A.*", outcome="not run")) == []


def test_what_asyncio_fails_is_told_apart_unless_it_hangs() -> None:
    assert judge({"A.a": "failed"}, {"A.a": "failed"}) == []
    assert judge({"A.a": "hung"}, {"A.a": "failed"}) == [("A.a", "hung")]
    assert judge({"A.a": "failed"}, {}) == [("A.a", "failed")]


def test_idle_counters_are_a_problem() -> None:
    assert judge({"A.a": "passed"}, {"A.a": "passed"}, counters={}) == [("", "riata did no work")]


def test_an_entry_that_names_nothing_is_a_problem() -> None:
    result = JobResult(JOB, {"A.a": Outcome("passed")}, counters=WORK)
    unused = entry("A.gone")
    judged = verdict.judge(result, "3.13", {"A.a": "passed"}, [unused])
    assert [problem.test for problem in verdict.stale([unused], [judged], "3.13")] == [""]


def test_a_class_without_a_passing_test_is_a_problem() -> None:
    result = JobResult(JOB, {"A.a": Outcome("failed"), "B.b": Outcome("passed")})

    def problems(*entries: Entry) -> list[str]:
        return [
            problem.test for problem in verdict.whole_classes({"A.a": "passed", "B.b": "passed"}, [result], entries)
        ]

    assert problems() == ["A"]
    assert problems(entry("A.*", outcome="not run")) == ["A"]
    assert problems(replace(entry("A.*", outcome="not run"), reason="White-box test of a class")) == []


def test_a_class_that_needs_no_loop_must_be_listed() -> None:
    result = JobResult(JOB, {"A.a": Outcome("passed"), "B.b": Outcome("passed"), "B.c": Outcome("passed")}, {"B.b"})

    def problems(*entries: Entry) -> list[str]:
        return [problem.test for problem in verdict.without_loop([result], entries, "3.13")]

    assert problems() == ["A"]
    assert problems(entry("A.*", outcome="needs no loop")) == []
    assert problems(entry("*", outcome="needs no loop")) == ["B"]


def test_records_survive_writing_and_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "FOLDER", tmp_path)
    recorded: baseline.Recorded = {
        ("3.11.7", False): {"A.a": "passed", "A.b": "failed", "test_file": "skipped"},
        ("3.11.7", True): {"A.a": "passed", "A.b": "passed"},
        ("3.12.1", True): {"A.a": "passed"},
    }
    baseline.write("test_x", recorded)
    assert baseline.read("test_x") == recorded


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_list_can_be_read(file: object) -> None:
    name = getattr(file, "name")  # noqa: B009
    for one in expectations.read(name):
        assert one.file == name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[entry]]\ntests = ["A.a"]\noutcome = "fails"', "no reason"),
        ('[[entry]]\ntests = []\noutcome = "fails"\nreason = "some good reason"', "no tests"),
        ('[[entry]]\ntests = ["A.a"]\noutcome = "maybe"\nreason = "some good reason"', "outcome"),
        ('[[entry]]\ntests = ["A.a"]\noutcome = "fails"\nreason = "some good reason"\nwhy = 1', "unknown keys"),
    ],
    ids=["no reason", "no tests", "no outcome", "unknown key"],
)
def test_an_entry_must_say_what_it_must(
    text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expectations, "FOLDER", tmp_path)
    (tmp_path / "test_locks.toml").write_text(text)
    with pytest.raises(expectations.BadExpectation, match=complaint):
        expectations.read("test_locks")


def test_substituted_classes_are_what_the_suite_tests() -> None:
    """asyncio's classes under other names pass in every variant, on counters that only they keep."""
    session = Session(interpreter(), "standin", debug=[False])
    try:
        session.start([file_named("test_futures2")])
        judged = [session.judge(job) for job in session.jobs()]
    finally:
        session.close()
    assert [one.job.variant for one in judged] == list(VARIANTS)
    assert [problem for one in judged for problem in one.problems] == []


def test_a_hang_ends_one_test_and_not_the_run() -> None:
    """With no time at all for a test, each one that lasts is ended, named, and the next one started."""
    session = Session(interpreter(), "standin", debug=[False], test_limit=0.001)
    try:
        session.start([file_named("test_context")])
        judged = [session.judge(job) for job in session.jobs()]
    finally:
        session.close()
    assert judged
    for one in judged:
        assert ("DecimalContextTest.test_asyncio_task_decimal_context", "hung") in [
            (problem.test, problem.what) for problem in one.problems
        ]
