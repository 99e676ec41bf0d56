"""Real threads for a loop's blocking jobs, where gevent's patches have made greenlets of the others."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

import gevent
from gevent.threadpool import ThreadPool


class RealThreads(concurrent.futures.Executor):
    """An executor for one hub's thread, on gevent's pool of native threads."""

    def __init__(self, hub: Any) -> None:
        # As many as asyncio's default executor has.
        self._pool = ThreadPool(min(32, (os.cpu_count() or 1) + 4), hub)
        self._jobs: set[Any] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Run `fn(*args, **kwargs)` in a thread; return a future."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        job = gevent.spawn(self._run, future, fn, args, kwargs)  # waits for a thread that is free
        self._jobs.add(job)
        job.rawlink(self._jobs.discard)
        return future

    def _run(
        self, future: concurrent.futures.Future[Any], fn: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> None:
        if not future.set_running_or_notify_cancel():
            return
        result, error = self._pool.apply(outcome, (fn, args, kwargs))
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads; with `wait` when the jobs are done."""
        if wait:
            gevent.joinall(list(self._jobs))
        self._pool.kill()


def outcome(fn: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> tuple[Any, BaseException | None]:
    """What `fn(*args, **kwargs)` returns, or raises: gevent's pool would print that."""
    try:
        return fn(*args, **kwargs), None
    except BaseException as error:
        return None, error
