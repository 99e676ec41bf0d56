"""asyncpg with a PostgreSQL: over TCP, a Unix socket and TLS, which both begin in the clear."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from ..servers import Server


def addresses(server: Server) -> dict[str, dict[str, Any]]:
    return {
        "tcp": {"host": server.host, "ssl": False},
        "unix": {"host": str(server.socket)},
        "tls": {"host": "localhost", "ssl": ssl.create_default_context(cafile=server.ca)},
    }


@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
def test_queries(run: Callable[..., Any], postgresql: Server, way: str) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(
            **addresses(postgresql)[way], port=postgresql.port, user="test", database="postgres"
        )
        try:
            assert await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()") is (
                way == "tls"
            )
            await connection.execute("create temporary table numbers (n bigint, t text)")
            rows = [(n, "x" * (n % 100)) for n in range(10_000)]
            await connection.copy_records_to_table("numbers", records=rows)
            assert await connection.fetchval("select sum(n) from numbers") == sum(n for n, _ in rows)
            assert [tuple(row) for row in await connection.fetch("select n, t from numbers order by n")] == rows
            copied = io.BytesIO()
            await connection.copy_from_query("select n from numbers order by n", output=copied)
            assert copied.getvalue() == b"".join(b"%d\n" % n for n, _ in rows)
            big = "é" * 3_000_000
            assert await connection.fetchval("select $1::text", big) == big
            async with connection.transaction():
                seen = [row["n"] async for row in connection.cursor("select n from numbers order by n", prefetch=50)]
            assert seen == [n for n, _ in rows]
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("select 1 / 0")
        finally:
            await connection.close()

    run(main())


@pytest.mark.parametrize("way", ["tcp", "unix", "tls"])
def test_a_pool_of_connections_under_load(run: Callable[..., Any], postgresql: Server, way: str) -> None:
    async def main() -> None:
        arguments = addresses(postgresql)[way]
        async with asyncpg.create_pool(
            **arguments, port=postgresql.port, user="test", database="postgres", min_size=2, max_size=8
        ) as pool:
            results = await asyncio.gather(*(pool.fetchval("select $1::int * 2", n) for n in range(1000)))
        assert results == [2 * n for n in range(1000)]

    run(main())


def test_what_is_cancelled_is_cancelled_in_the_server(run: Callable[..., Any], postgresql: Server) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(
            host=postgresql.host, port=postgresql.port, ssl=False, user="test", database="postgres"
        )
        try:
            with pytest.raises(asyncio.TimeoutError):
                await connection.execute("select pg_sleep(60)", timeout=0.1)
            assert await connection.fetchval("select 1") == 1
        finally:
            await connection.close()

    run(main())


def test_notifications_reach_a_listener(run: Callable[..., Any], postgresql: Server) -> None:
    async def main() -> None:
        arguments: dict[str, Any] = {"host": str(postgresql.socket), "port": postgresql.port, "user": "test"}
        listening, notifying = await asyncio.gather(
            asyncpg.connect(**arguments, database="postgres"), asyncpg.connect(**arguments, database="postgres")
        )
        try:
            heard: asyncio.Queue[str] = asyncio.Queue()
            await listening.add_listener("news", lambda connection, pid, channel, text: heard.put_nowait(text))
            for number in range(100):
                await notifying.execute(f"notify news, '{number}'")
            assert [await heard.get() for _ in range(100)] == [str(number) for number in range(100)]
        finally:
            await listening.close()
            await notifying.close()

    run(main())
