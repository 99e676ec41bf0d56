"""What a process holds: descriptors, children, threads, memory."""

from __future__ import annotations

import gc
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """What this process held at one time.

    Attributes:
        descriptors: what each open number named; of a socket or pipe its kind alone, as its inode is new each time.
        children: process ids.
        threads: how many.
        blocks: Python's allocated memory blocks.
        resident: bytes of memory in use.
    """

    descriptors: dict[int, str]
    children: frozenset[int]
    threads: int
    blocks: int
    resident: int


def held() -> Held:
    """Look now, after a collection."""
    for _ in range(3):
        gc.collect()
    children = frozenset(
        int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
    )
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        descriptors=_descriptors(),
        children=children,
        threads=len(os.listdir("/proc/self/task")),
        blocks=sys.getallocatedblocks(),
        resident=pages * resource.getpagesize(),
    )


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}").partition("[")[0]
        except FileNotFoundError:  # the one that was listing
            continue
    return found
