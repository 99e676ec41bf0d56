"""Servers, certificates and loops for the programs: each runs on asyncio and on riata, which must be seen to work."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import trustme

from .. import servers


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.Server]:
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Server]:
    with servers.redis() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def run(loop_factory: Callable[[], Any], request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """`asyncio.run` on a loop of one kind, which is asserted."""
    wanted = "riata" if "riata" in request.node.callspec.id else "asyncio"

    async def checked(main: Coroutine[Any, Any, Any]) -> Any:
        loop = asyncio.get_running_loop()
        assert type(loop).__module__.partition(".")[0] == wanted
        result = await main
        if wanted == "riata":
            import riata

            task = asyncio.current_task()
            assert type(task) is riata.Task
            assert loop.stats()["task_steps"] > 0  # type: ignore[attr-defined]
        return result

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(checked(main))

    return run
