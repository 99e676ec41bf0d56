"""The greenlet that is switched to at every call that riata's native code makes into Python.

A debug build of riata calls `switch` before and after each such call, if the environment variable `RIATA_SWITCHING`
names this module when it is imported. Imported early, it begins the main thread's partner near the bottom of the
stack: whoever switches to it has the frames above copied away, and the partner writes over them.
"""

import atexit
import gc
import sys
from _thread import _local  # gevent's patches leave it alone
from typing import Any

from greenlet import getcurrent, greenlet

DEEP: list[Any] = []
for _ in range(60):
    DEEP = [DEEP]


class _State:
    count = 0
    ended = False


class _Cycle:
    """What the collector finds."""

    def __init__(self) -> None:
        self.me = self


def _end() -> None:
    _State.ended = True


atexit.register(_end)
_here = _local()


def _work(turn: int) -> None:
    """Harmless, as far as anybody can see."""
    repr(DEEP)  # a call in C for each list, over the stack that was copied away
    _Cycle()
    if turn % 64 == 0:
        gc.collect(0)
    asyncio = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)
    if asyncio is not None and running is not None and (loop := running()) is not None:
        asyncio.current_task(loop)


def _partner(caller: Any) -> None:
    turn = 0
    while True:
        turn += 1
        raised: BaseException | None = None
        try:
            _work(turn)
        except BaseException as error:  # of a signal's handler, for whom it interrupted
            raised = error
        caller = greenlet.switch(caller, raised)  # not what a subclass has, such as a hub


def _begin() -> Any:
    main = getcurrent()
    while main.parent is not None:
        main = main.parent
    _here.partner = greenlet(_partner, main)
    return _here.partner


def switch(state: type[_State] = _State) -> None:
    """Switches to this thread's partner and back."""
    if state.ended:
        return
    state.count += 1
    partner = getattr(_here, "partner", None)
    raised = greenlet.switch(partner or _begin(), getcurrent())
    if raised is not None:
        raise raised


def count() -> int:
    """How often it was switched so far."""
    return _State.count


switch()
_State.count = 0
