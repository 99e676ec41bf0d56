"""Random programs observe on riata what they observe on asyncio, turn by turn."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

import riata

from .clocks import Counted, Paced
from .programs import Script, programs
from .world import observe

WAYS: dict[str, tuple[Any, type[Counted | Paced]]] = {
    "the loop alone, time overridden": (asyncio, Counted),
    "building blocks, time overridden": (riata, Counted),
}
# A machine that is late may change what a program observes by the real clock: not for every change to be held up by.
if os.environ.get("RIATA_PROPERTIES") == "long":
    WAYS |= {"the loop alone": (asyncio, Paced), "building blocks": (riata, Paced)}


def compare(way: str) -> Callable[[list[Script]], bool]:
    """Whether a program was compared; the machine may have been late every time."""
    module, clock = WAYS[way]

    def compare(program: list[Script]) -> bool:
        expected = observe(asyncio, asyncio.SelectorEventLoop, Counted, program)
        observed = observe(module, riata.new_event_loop, clock, program, attempts=3)
        if clock is Paced and observed != expected:
            # Timers that were set in different ticks for the same one are a matter of microseconds. asyncio checks
            # whether this program has such; if not, riata has to differ again.
            for _ in range(3):
                if observe(asyncio, asyncio.SelectorEventLoop, Paced, program, attempts=3) != expected:
                    return False
                observed = observe(module, riata.new_event_loop, clock, program, attempts=3)
                if observed is None or observed == expected:
                    return observed is not None
        assert observed == expected
        return True

    return compare


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("way", WAYS)
def test_a_program_observes_the_same(way: str) -> None:
    if sys.version_info < (3, 13) and WAYS[way][0] is riata:
        pytest.skip("riata's locks and queues are those of the newest Python; asyncio's differ before 3.13")
    compared = []
    run = compare(way)

    @given(program=programs())
    def each(program: list[Script]) -> None:
        compared.append(run(program))

    each()
    if not any(compared):
        pytest.skip("this machine is too busy to keep time")


# What was found so, by what went wrong. Each is compared in every way.
FOUND: dict[str, list[Script]] = {
    "who looks twice at a task that was cancelled twice": [
        [("task_await", 0)],
        [("task_await", 0)],
        [("condition_wait", 0, 0)],
    ],
    "gather cancelled after its last child was looked at": [
        [("gather", [[("sleep", 0), ("task_await", 0)], [("queue_get", 0)]], True)],
    ],
}


@pytest.mark.parametrize("way", ["the loop alone, time overridden", "building blocks, time overridden"])
@pytest.mark.parametrize("found", FOUND)
def test_what_was_found(way: str, found: str) -> None:
    assert compare(way)(FOUND[found])
