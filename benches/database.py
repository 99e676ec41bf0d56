"""asyncpg's queries: `python -m benches.database LOOP ADDRESS COUNT` prints CPU and wall seconds of so many of them.

Of the client, that is: the server is a PostgreSQL of its own, which `running` starts in a folder of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benches.loops import factory

CONNECTIONS = 16
ROWS = 1000

START_LIMIT = 30.0
"""Seconds the server may take to answer."""


@functools.cache
def program(name: str) -> str | None:
    """Where a program of PostgreSQL's is, also where Debian keeps them; None if it is nowhere."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)]))


def is_there() -> bool:
    """Whether this machine has a PostgreSQL."""
    return None not in map(program, ("initdb", "postgres", "pg_isready"))


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A PostgreSQL that keeps nothing; the folder of its Unix socket."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="riata-bench-", dir="/tmp") as folder:  # short: a socket is made in it
        if user is not None:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        make = [program("initdb"), "--auth=trust", "--username=test", "--no-sync", "--locale=C", "-D", data]
        subprocess.run(make, check=True, cwd=folder, user=user, stdout=subprocess.DEVNULL)
        settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off"}
        serve = [program("postgres"), "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
        with subprocess.Popen(serve, cwd=folder, user=user, stderr=subprocess.DEVNULL) as server:
            try:
                deadline = time.monotonic() + START_LIMIT
                while subprocess.run([program("pg_isready"), "-h", folder], stdout=subprocess.DEVNULL).returncode:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError("PostgreSQL does not answer")
                    time.sleep(0.05)
                yield folder
            finally:
                server.terminate()


async def queries(address: str, count: int) -> tuple[float, float]:
    """CPU and wall seconds of `count` queries for a row by its key, by as many tasks as the pool has connections."""
    import asyncpg

    def spent() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()

    options: dict[str, Any] = {"host": address, "user": "test", "database": "postgres"}
    async with asyncpg.create_pool(**options, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        await pool.execute("create table if not exists things (key int primary key, name text)")
        fill = "insert into things select n, 'thing ' || n from generate_series(1, $1) n on conflict do nothing"
        await pool.execute(fill, ROWS)

        async def ask(times: int) -> None:
            for number in range(times):
                row = await pool.fetchrow("select key, name from things where key = $1", 1 + number % ROWS)
                assert row is not None

        async def together(times: int) -> None:
            await asyncio.gather(*(ask(times // CONNECTIONS) for _ in range(CONNECTIONS)))

        await together(10 * CONNECTIONS)  # each connection prepares the query once
        before = spent()
        await together(count)
        after = spent()
    return after[0] - before[0], after[1] - before[1]


def main() -> None:
    """One measurement in a process of its own."""
    name, address, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with asyncio.Runner(loop_factory=factory(name)) as runner:
        print(*runner.run(queries(address, count)))


if __name__ == "__main__":
    main()
