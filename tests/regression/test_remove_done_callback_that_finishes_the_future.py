"""remove_done_callback took the callbacks out while it compared them: a comparison that finished the future left the
others uncalled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


def test_the_other_callbacks_are_called(run: Callable[..., Any]) -> None:
    async def main() -> list[str]:
        called: list[str] = []
        future = asyncio.get_running_loop().create_future()

        class Finishing:
            def __call__(self, _: object) -> None:
                called.append("finishing")

            def __eq__(self, other: object) -> bool:
                if not future.done():
                    future.set_result(None)
                return False

            __hash__ = None  # type: ignore[assignment]

        future.add_done_callback(Finishing())
        future.add_done_callback(lambda _: called.append("other"))
        future.remove_done_callback(print)
        await asyncio.sleep(0)
        return called

    assert run(main()) == ["finishing", "other"]
