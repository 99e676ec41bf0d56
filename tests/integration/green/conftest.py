"""gevent's loops, libev's and riata's, for tests that both must pass."""

import gc
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import _open_fds

LOOPS: dict[str, Any] = {}
"""By their names; none where gevent is missing."""

try:
    import gevent.libev.corecext

    import riata.gevent
except ImportError:
    pass
else:
    LOOPS |= {"libev": gevent.libev.corecext.loop, "riata": riata.gevent.Loop}

READ, WRITE = 1, 2
"""What a descriptor can be ready for."""


@pytest.fixture(params=list(LOOPS))
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes loops of one kind, which are destroyed at the end."""
    made: list[Any] = []
    before = _open_fds()

    def make(**options: Any) -> Any:
        made.append(LOOPS[request.param](**{"default": False, **options}))
        return made[-1]

    yield make
    for loop in made:
        loop.destroy()
    if request.param == "riata":
        made.clear()
        gc.collect()
        assert len(_open_fds()) <= len(before)


@pytest.fixture
def loop(make: Callable[..., Any]) -> Any:
    return make()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


class Errors:
    """An error handler that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, type]] = []

    def handle_error(self, context: Any, kind: type, value: BaseException, traceback: Any) -> None:
        self.told.append((context, kind))


def fail(*_: Any) -> None:
    raise ZeroDivisionError
