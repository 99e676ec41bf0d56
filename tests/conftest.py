"""What every Python test may ask for.

A behaviour test takes `loop_factory` or `run` and so runs twice, on asyncio and on riata: asyncio checks the test,
the test checks riata. Either way it must give back what it took.
"""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


# A shell starts what it runs in the background with SIGINT ignored, nohup with SIGHUP, and so would be every program
# that a test starts and ends by them.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


def _riata() -> asyncio.AbstractEventLoop:
    import riata

    return riata.new_event_loop()


LOOPS: dict[str, LoopFactory] = {"asyncio": asyncio.SelectorEventLoop, "riata": _riata}


def _open_fds() -> dict[str, str]:
    """Every open file descriptor of this process, with what it is."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the one that was listing
            continue
    return found


@pytest.fixture(params=list(LOOPS))
def loop_factory(request: pytest.FixtureRequest) -> Iterator[LoopFactory]:
    """Makes loops of one kind, and sees that each was closed with no task left and no descriptor open."""
    make = LOOPS[request.param]
    made: list[asyncio.AbstractEventLoop] = []

    def factory() -> asyncio.AbstractEventLoop:
        loop = make()
        made.append(loop)
        return loop

    before = _open_fds()
    yield factory
    for loop in made:
        assert loop.is_closed(), f"{loop!r} was not closed"
        assert not asyncio.all_tasks(loop), "tasks were left pending"
    after = _open_fds()
    if len(after) > len(before):
        gc.collect()  # sockets in a cycle, which asyncio leaves to the collector too
        after = _open_fds()
    assert len(after) <= len(before), f"left open: {after.items() - before.items()}"


@pytest.fixture
def run(loop_factory: LoopFactory) -> Callable[[Coroutine[Any, Any, T]], T]:
    """`asyncio.run` on a loop of one kind."""

    def run(main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected stream sockets."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs
