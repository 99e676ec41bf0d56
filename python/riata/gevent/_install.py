"""Making gevent's loop riata's."""

from __future__ import annotations

import gevent
from gevent import _hub_local


def install() -> None:
    """Have gevent make its hubs on riata's loop.

    Doing it twice changes nothing.

    Raises:
        RuntimeError: gevent has a hub in this thread already, on another loop.
    """
    from riata.gevent.core import Loop

    hub = _hub_local.get_hub_if_exists()
    if hub is not None and not isinstance(hub.loop, Loop):
        raise RuntimeError("gevent is running already: riata.gevent.install() must come before its first use")
    gevent.config.loop = Loop
