"""The memory of a dead future was given to the next one as it was. Python 3.11 makes an object's dictionary before the
object is initialized, which may start the collector: it then followed what the dead future had held.
"""

import asyncio
import gc
from collections.abc import Callable

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def test_the_collector_runs_while_a_future_is_made(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    thresholds = gc.get_threshold()
    try:
        for threshold in range(1, 20):
            for future in [loop.create_future() for _ in range(100)]:
                future.set_result([])
            del future
            gc.set_threshold(threshold, 1000, 1000)
            assert len([loop.create_future() for _ in range(100)]) == 100
            gc.set_threshold(*thresholds)
    finally:
        gc.set_threshold(*thresholds)
    loop.close()
