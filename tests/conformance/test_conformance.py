"""CPython's asyncio tests on riata, for the interpreter that runs pytest: an item per test file and debug mode.

The items share one `Session`, which keeps two children busy with the jobs of all items that were selected;
an item waits for its own jobs and reports them. `python -m tests.conformance` prints the same as a table.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import table, verdict
from .plan import FILES, TestFile
from .runner import interpreter
from .session import BOTH_MODES, Session, planned

PYTHON = interpreter()

FILES_HERE = planned(PYTHON)


@pytest.fixture(scope="session")
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """All jobs of the selected items, queued."""
    selected = {
        item.callspec.params["file"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "file" in item.callspec.params
    }
    session = Session(PYTHON)
    session.start([file for file in FILES_HERE if file in selected])
    yield session
    session.close()


def test_the_interpreter_has_its_test_suite() -> None:
    assert FILES_HERE, f"{PYTHON.path} came without test.test_asyncio (Debian: libpython{PYTHON.minor}-testsuite)"
    assert verdict.unknown_files(PYTHON, FILES) == [], "plan.py must say what to do with these files"


# An item waits for those queued before it; a test that hangs is ended by its own limit.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("debug", BOTH_MODES, ids=["plain", "debug"])
@pytest.mark.parametrize("file", FILES_HERE, ids=lambda file: file.name)
def test_what_asyncio_passes_riata_passes(file: TestFile, debug: bool, session: Session) -> None:
    problems = [problem for job in session.jobs(file) if job.debug == debug for problem in session.judge(job).problems]
    assert not problems, f"{len(problems)} problems\n" + table.problems(problems, verbose=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file", FILES_HERE, ids=lambda file: file.name)
def test_the_list_names_what_exists_and_no_class_is_left_out(file: TestFile, session: Session) -> None:
    problems = session.judge_file(file, [session.judge(job) for job in session.jobs(file)])
    assert not problems, f"{len(problems)} problems\n" + table.problems(problems)
