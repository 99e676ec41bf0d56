"""Whole programs: web servers under wrk, the crawl of the demo, and queries to a database."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable

from benches import database
from benches.measure import FailedError, Measure, alone, reading, run, served


def under_wrk(program: str, seconds: int) -> Measure:
    """A request to the server `program`, with 64 connections kept open."""

    def load(port: str) -> int:
        said = run(["wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}/world"])
        requests = re.search(r"(\d+) requests in", said)
        if requests is None or "Non-2xx" in said:
            raise FailedError("answers errors")
        return int(requests[1])

    return served(lambda loop: [sys.executable, "-m", "benches.web", loop, program], load)


def queries(address: Callable[[], str], count: int) -> Measure:
    """A query of asyncpg's to the PostgreSQL at `address`."""
    return lambda loop: reading(run([sys.executable, "-m", "benches.database", loop, address(), count]), count)


def cases(address: Callable[[], str], *, quick: bool) -> dict[str, Measure]:
    """What this machine has the programs for; `address` starts a PostgreSQL when it is first asked."""
    found: dict[str, Measure] = {}
    if shutil.which("wrk"):
        found["aiohttp server, a request"] = under_wrk("aiohttp", 1 if quick else 3)
        found["uvicorn and FastAPI, a request"] = under_wrk("fastapi", 1 if quick else 3)
    pages = 200 if quick else 1000
    found["aiohttp client and server: the crawl, a page"] = alone("benches.crawl", "-", pages)
    if database.is_there():
        found["asyncpg, a query"] = queries(address, 1600 if quick else 16_000)
    return found
