"""That the soak itself works, on asyncio and on riata: a few seconds of it. `make soak` runs it for longer."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import LOOPS
from .ledger import Ledger
from .resources import Held
from .verdict import BLOCKS_ALLOWED, JOBS_TO_JUDGE, problems

PROJECT = Path(__file__).parents[2]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("loop", list(LOOPS))
def test_a_few_seconds(loop: str) -> None:
    command = [sys.executable, "-m", "tests.soak", "--seconds", "3", "--at-once", "20", "--loop", loop]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    assert ended.stdout.endswith("nothing was lost\n")


def ledger(jobs: int) -> Ledger:
    made = Ledger()
    made.started["job"] = made.finished["job"] = jobs
    return made


def held(blocks: int = 0, children: frozenset[int] = frozenset(), **descriptors: str) -> Held:
    return Held(dict(enumerate(descriptors)), children, 1, blocks, 0)


def test_what_is_wrong() -> None:
    same = [held(blocks=1000)] * 3
    assert problems(ledger(JOBS_TO_JUDGE), same, []) == []
    lost = ledger(10)
    lost.started["job"] += 1
    assert problems(lost, same, []) == ["jobs were lost: Counter({'job': 1})"]
    (kept,) = problems(ledger(1), [held(), held(socket="")], [])
    assert kept.startswith("round 1: 1 descriptors, not 0")
    (child,) = problems(ledger(1), [held(), held(children=frozenset({7}))], [])
    assert child == "round 1: children are left: [7]"
    grown = [held(), held(blocks=10**6), held(blocks=10**6 + BLOCKS_ALLOWED + 1)]
    (memory,) = problems(ledger(JOBS_TO_JUDGE), grown, [])
    assert "more blocks" in memory
    (told,) = problems(ledger(1), same, ["oh"])
    assert "oh" in told
