"""gevent on riata's loop.

`GEVENT_LOOP=riata.gevent.Loop` in the environment is enough, or `riata.gevent.install()` before gevent is first used;
`riata run script.py` does it for a program that imports gevent. gevent is not imported before that:
`pip install riata[gevent]` brings it.

asyncio and gevent share a thread: `asyncio.run(main())` in a greenlet waits like a greenlet, in any number of greenlets
at once; a coroutine that calls what waits in gevent (`gevent.sleep`, a patched socket) suspends its task and no other.
`await riata.gevent.wait(greenlet)` and `riata.gevent.run(coroutine)` lead from one world to the other.
"""

from __future__ import annotations

from riata.gevent._bridge import run, wait
from riata.gevent._install import install
from riata.gevent.core import Loop

__all__ = ["Loop", "install", "run", "wait"]
