"""Random programs: what tasks do with each other, with time, and with locks and queues, as nested tuples.

A program is a list of scripts, a script a list of operations, an operation a tuple of its name and its arguments;
`world.py` says what each does. Numbers of objects are taken modulo how many there are.
"""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import strategies as st

Script = list[tuple[Any, ...]]

number = st.integers(0, 3)
ticks = st.integers(0, 6)
flag = st.booleans()


def named(*names: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """Operations that have the number of an object as their one argument."""
    return st.tuples(st.sampled_from(names), number)


SHUTDOWN = ["queue_shutdown"] if sys.version_info >= (3, 13) else []

SIMPLE = st.one_of(
    st.tuples(st.just("sleep"), ticks),
    st.tuples(st.just("sleep"), st.just(0)),
    named("lock_acquire", "lock_release"),
    named("semaphore_acquire", "semaphore_release", "bounded_acquire", "bounded_release"),
    named("event_set", "event_clear", "event_wait"),
    named("queue_put", "queue_get", "queue_put", "queue_get", "queue_put_nowait", "queue_get_nowait"),
    named("queue_task_done", "queue_join", *SHUTDOWN),
    named("future_set", "future_fail", "future_cancel", "future_await", "future_callback", "future_await"),
    named("barrier_wait", "barrier_wait", "barrier_reset", "barrier_abort"),
    named("task_cancel", "task_await", "task_uncancel_self"),
    st.tuples(st.just("condition_notify"), number, st.integers(0, 3)),
    st.tuples(st.just("call_soon"), number),
    st.tuples(st.just("call_later"), number, ticks),
    st.tuples(st.just("handle_cancel"), number),
    st.tuples(st.just("fail")),
)


def compound(script: st.SearchStrategy[Script]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Operations with scripts inside."""
    scripts = st.lists(script, max_size=3)
    return st.one_of(
        st.tuples(st.sampled_from(["with_lock", "with_semaphore", "with_condition"]), number, script),
        st.tuples(st.just("condition_wait"), number, ticks),
        st.tuples(st.sampled_from(["timeout", "wait_for"]), ticks, script),
        st.tuples(st.just("catch_cancel"), flag, script),
        st.tuples(st.just("finally"), script, script),
        st.tuples(st.just("spawn"), script),
        # One task: a group cancels its tasks in the order of a set, which is any order.
        st.tuples(st.just("group"), st.lists(script, max_size=1), script),
        st.tuples(st.just("gather"), scripts, flag),
        st.tuples(st.just("wait"), scripts, st.none() | ticks, st.integers(0, 2)),
        st.tuples(st.just("as_completed"), scripts, st.none() | ticks),
        st.tuples(st.just("shield"), script),
    )


def scripts() -> st.SearchStrategy[Script]:
    """A list of operations, some of them nested."""
    operation = st.deferred(lambda: SIMPLE | compound(st.lists(SIMPLE | nested, max_size=4)))
    nested = st.deferred(lambda: compound(st.lists(SIMPLE, max_size=3)))
    return st.lists(operation, min_size=1, max_size=6)


def programs() -> st.SearchStrategy[list[Script]]:
    """Scripts that begin together."""
    return st.lists(scripts(), min_size=1, max_size=5)
