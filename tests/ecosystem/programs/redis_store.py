"""redis-py's asyncio client with a Redis: over TCP, a Unix socket and TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..servers import Server

WAYS = ["tcp", "unix", "tls"]


def client(server: Server, way: str) -> Any:
    """A client that waits for one of eight connections when there is much to do."""
    match way:
        case "tcp":
            url = f"redis://{server.host}:{server.port}"
        case "unix":
            url = f"unix://{server.socket}"
        case _:
            url = f"rediss://localhost:{server.tls_port}?ssl_ca_certs={server.ca}"
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=8)
    return redis.asyncio.Redis.from_pool(pool)


@pytest.mark.parametrize("way", WAYS)
def test_commands_and_pipelines(run: Callable[..., Any], redis_server: Server, way: str) -> None:
    async def main() -> None:
        async with client(redis_server, way) as store:
            await store.flushall()
            assert await store.get("nothing") is None
            big = bytes(range(256)) * 20_000
            await store.set("big", big)
            assert await store.get("big") == big
            async with store.pipeline(transaction=True) as pipeline:
                for number in range(1000):
                    pipeline.rpush("list", number)
                assert await pipeline.execute() == list(range(1, 1001))
            assert await store.lrange("list", 0, -1) == [b"%d" % number for number in range(1000)]
            counted = await asyncio.gather(*(store.incr("count") for _ in range(200)))
            assert sorted(counted) == list(range(1, 201))

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_published_messages_arrive_in_order(run: Callable[..., Any], redis_server: Server, way: str) -> None:
    async def main() -> list[bytes]:
        async with client(redis_server, way) as store, store.pubsub() as subscription:
            await subscription.subscribe("news")
            confirmation = await subscription.get_message(timeout=30)
            assert confirmation["type"] == "subscribe"
            for number in range(200):
                await store.publish("news", number)
            return [(await subscription.get_message(timeout=30))["data"] for _ in range(200)]

    assert run(main()) == [b"%d" % number for number in range(200)]


def test_a_command_that_times_out_leaves_the_client_usable(run: Callable[..., Any], redis_server: Server) -> None:
    async def main() -> None:
        store = redis.asyncio.Redis(
            host=redis_server.host, port=redis_server.port, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)
        )
        async with store:
            await store.delete("empty")
            with pytest.raises(redis.exceptions.TimeoutError):
                await store.blpop(["empty"], timeout=60)
            assert await store.ping()

    run(main())
