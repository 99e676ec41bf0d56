"""What must be so when a soak is over."""

from __future__ import annotations

from collections.abc import Sequence

from .ledger import Ledger
from .resources import Held

MIBIBYTE = 1 << 20

BLOCKS_ALLOWED = 600
"""By how many Python's memory blocks may grow in the second half: caches and free lists that fill up. A leak of one
small object in each connection is more."""

RESIDENT_ALLOWED = 16 * MIBIBYTE
"""Memory that allocators may keep, or have in holes, beyond what was there half-way."""

JOBS_TO_JUDGE = 2_000
"""With fewer jobs, what grows is what is used for the first time."""


def problems(ledger: Ledger, quiet: Sequence[Held], told: Sequence[str]) -> list[str]:
    """Everything that is wrong; empty if nothing is.

    Args:
        ledger: what became of the jobs.
        quiet: what was held after each round. Descriptors are held against the first, memory against the middle one.
        told: what the loop's exception handler was told.
    """
    found = list(ledger.failures)
    found += [f"the loop's exception handler was told: {text}" for text in told]
    ended = ledger.finished + ledger.cancelled
    if not ledger.failures and ledger.started != ended:
        found.append(f"jobs were lost: {ledger.started - ended}")
    never = [name for name in sorted(ledger.started) if not ledger.finished[name]]
    if never and ledger.started.total() >= JOBS_TO_JUDGE:
        found.append(f"never finished: {', '.join(never)}")
    first, middle, last = quiet[0], quiet[len(quiet) // 2], quiet[-1]
    for number, now in enumerate(quiet):
        if now.children:
            found.append(f"round {number}: children are left: {sorted(now.children)}")
        if len(now.descriptors) != len(first.descriptors):
            changed = now.descriptors.items() ^ first.descriptors.items()
            found.append(f"round {number}: {len(now.descriptors)} descriptors, not {len(first.descriptors)}: {changed}")
    if ledger.started.total() < JOBS_TO_JUDGE:
        return found
    if (more := last.blocks - middle.blocks) > BLOCKS_ALLOWED:
        found.append(f"{more} more blocks of memory than half-way")
    if (more := last.resident - middle.resident) > RESIDENT_ALLOWED:
        found.append(f"{more / MIBIBYTE:.1f} MiB more resident memory than half-way")
    return found
