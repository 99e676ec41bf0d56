"""The demo's crawl: `python -m benches.crawl LOOP - PAGES` prints its CPU and wall seconds for so many pages."""

from __future__ import annotations

import asyncio.events
import contextlib
import os
import runpy
import sys
import time
from pathlib import Path

from benches.loops import factory

CRAWL = Path(__file__).parent.parent / "examples" / "crawl.py"


def main() -> None:
    """One crawl in a process of its own: server and client on one loop."""
    name, _, pages = sys.argv[1:]
    asyncio.events.new_event_loop = factory(name)
    sys.argv = [str(CRAWL), "--limit", pages]
    cpu, wall = time.process_time(), time.perf_counter()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        with contextlib.suppress(SystemExit):
            runpy.run_path(str(CRAWL), run_name="__main__")
    print(time.process_time() - cpu, time.perf_counter() - wall)


if __name__ == "__main__":
    main()
