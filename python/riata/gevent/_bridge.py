"""From one world to the other: a coroutine waits for a greenlet, a greenlet waits for a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import gevent
from gevent._waiter import Waiter

import riata
from riata import _native

T = TypeVar("T")


async def wait(greenlet: Any) -> Any:
    """Wait for a greenlet, and return what it returns; other tasks go on meanwhile.

    Anything of gevent's that can be linked will do: an event is waited for until it is set, a queue or a semaphore
    until it is ready. For what they give, spawn a greenlet: `await wait(gevent.spawn(queue.get))`.

    Cancelling the task kills the greenlet.

    Raises:
        BaseException: what the greenlet raised, with its traceback.
    """
    done = asyncio.get_running_loop().create_future()

    def link(_: Any) -> None:
        if not done.done():
            done.set_result(None)

    is_greenlet = isinstance(greenlet, gevent.Greenlet)
    greenlet.rawlink(link)
    try:
        gevent.get_hub()  # whoever is waited for needs one that runs
        await done
    except asyncio.CancelledError:
        if is_greenlet:
            greenlet.kill(block=False)
        raise
    finally:
        greenlet.unlink(link)
    if not is_greenlet:
        return greenlet
    return greenlet.get(block=False)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Wait for a coroutine, in a greenlet, and return what it returns; other greenlets go on meanwhile.

    It becomes a task of the loop that runs in this thread: that of the coroutine which calls this, or else the one that
    another greenlet has run first. If none runs, it is run on a new one, as by `riata.run`.

    Killing the greenlet cancels the task.

    Raises:
        BaseException: what the coroutine raised, with its traceback.
        asyncio.CancelledError: the task was cancelled.
    """
    hub = gevent.get_hub()
    loop = asyncio._get_running_loop() or _guest_of(hub)
    if loop is None:
        return riata.run(coroutine)
    waiter = Waiter(hub)
    task = loop.create_task(coroutine)

    def wake(_: Any) -> None:
        hub.loop.run_callback(waiter.switch, None)

    task.add_done_callback(wake)
    try:
        waiter.get()
    except BaseException:
        task.remove_done_callback(wake)
        task.cancel()
        raise
    return task.result()


def _guest_of(hub: Any) -> asyncio.AbstractEventLoop | None:
    if not isinstance(hub.loop, _native.GreenLoop):
        return None
    guests: list[Any] = [*hub.loop._guests()]
    return guests[0] if guests else None
