"""What is done at random: a job is a coroutine function that finds a fault itself and leaves nothing behind.

A job takes its surroundings and its own source of chance, may be cancelled wherever it waits, and then cleans up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from ..surroundings import Surroundings
from .children import child_echoes, child_ends, child_is_killed
from .coordination import groups_are_cancelled, queue_loses_nothing, threads_answer
from .datagrams import datagrams_come_back
from .pipes import pipe_carries
from .sockets import raw_socket_echoes, sendfile_arrives
from .streams import tcp_echoes, tls_echoes, unix_echoes, upgraded_echoes
from .timers import timeouts_end, timers_keep_time

Job = Callable[[Surroundings, Random], Awaitable[None]]

WEIGHTS: dict[Job, int] = {
    tcp_echoes: 8,
    unix_echoes: 4,
    tls_echoes: 6,
    upgraded_echoes: 3,
    raw_socket_echoes: 4,
    sendfile_arrives: 2,
    datagrams_come_back: 6,
    pipe_carries: 3,
    child_echoes: 1,
    child_ends: 1,
    child_is_killed: 1,
    timers_keep_time: 8,
    timeouts_end: 6,
    queue_loses_nothing: 6,
    groups_are_cancelled: 6,
    threads_answer: 3,
}
"""How often each job is drawn beside the others."""
