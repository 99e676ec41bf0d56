"""gevent on riata's loop.

`GEVENT_LOOP=riata.gevent.Loop` in the environment is enough, or `riata.gevent.install()` before gevent is first used;
`riata run script.py` does it for a program that imports gevent. gevent is not imported before that:
`pip install riata[gevent]` brings it.
"""

from __future__ import annotations

from riata.gevent._install import install
from riata.gevent.core import Loop

__all__ = ["Loop", "install"]
