"""A task that was cancelled twice told its message to everyone who awaited it; asyncio's tells it to the first."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


def test_the_message_is_told_once(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel("first")
        task.cancel("second")
        with pytest.raises(asyncio.CancelledError, match="first"):
            await task
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ()
        assert task._cancel_message is None  # type: ignore[attr-defined]

    run(main())
