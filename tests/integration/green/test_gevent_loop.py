"""gevent's loop interface: callbacks, how long a loop runs, timers. What it promises, on libev and on riata."""

import sys
import threading
from typing import Any

import pytest

pytest.importorskip("gevent")

from tests.integration.green.conftest import READ, Errors, fail

import riata.gevent

# Callbacks.


def test_callbacks_run_in_order_with_their_arguments(loop: Any) -> None:
    seen: list[Any] = []
    for number in range(3):
        loop.run_callback(seen.append, number)
    loop.run()
    assert seen == [0, 1, 2]


def test_callbacks_that_callbacks_add_run_before_the_poll(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    seen: list[str] = []
    io = loop.io(pair[0].fileno(), READ)
    io.start(lambda: (seen.append("io"), io.stop()))

    def again(left: int) -> None:
        seen.append("callback")
        if left:
            loop.run_callback(again, left - 1)

    loop.run_callback(again, 3)
    loop.run()
    assert seen == ["callback"] * 4 + ["io"]


def test_a_callback_is_pending_until_it_is_called_and_true_until_it_is_over(loop: Any) -> None:
    seen: list[Any] = []
    callback = loop.run_callback(lambda: seen.append((callback.pending, bool(callback), callback.callback)))
    assert (callback.pending, bool(callback), callback.args) == (True, True, ())
    loop.run()
    assert seen == [(False, True, None)]
    assert (callback.pending, bool(callback), callback.args) == (False, False, None)


def test_a_stopped_callback_is_not_called(loop: Any) -> None:
    seen: list[int] = []
    callback = loop.run_callback(seen.append, 1)
    loop.run_callback(seen.append, 2)
    callback.stop()
    assert not callback
    loop.run()
    assert seen == [2]


def test_endless_callbacks_leave_room_for_io(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    done: list[int] = []
    io = loop.io(pair[0].fileno(), READ)
    io.start(lambda: (done.append(1), io.stop()))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:

        def again() -> None:
            if not done:
                loop.run_callback(again)

        again()
        loop.run()
    finally:
        sys.setswitchinterval(interval)
    assert done == [1]


def test_what_a_callback_raises_goes_to_the_error_handler(loop: Any) -> None:
    loop.error_handler = errors = Errors()
    seen: list[int] = []
    callback = loop.run_callback(fail)
    loop.run_callback(seen.append, 1)
    loop.run()
    assert errors.told == [(callback, ZeroDivisionError)]
    assert seen == [1]
    assert not callback


def test_without_an_error_handler_it_is_printed(loop: Any, capsys: pytest.CaptureFixture[str]) -> None:
    loop.run_callback(fail)
    loop.run()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_run_inside_a_callback(loop: Any) -> None:
    seen: list[Any] = []

    def outer() -> None:
        loop.run_callback(seen.append, "inner")
        loop.run(nowait=True)
        seen.append("outer")

    loop.run_callback(outer)
    loop.run_callback(seen.append, "second")
    loop.run()
    assert seen == ["second", "inner", "outer"]


def test_a_callback_from_another_thread_wakes_the_loop(loop: Any) -> None:
    seen: list[int] = []
    keep = loop.async_()
    keep.start(lambda: None)

    def done() -> None:
        seen.append(1)
        keep.stop()

    thread = threading.Timer(0.05, loop.run_callback_threadsafe, [done])
    thread.start()
    loop.run()
    thread.join()
    assert seen == [1]


# What the loop goes on for.


def test_run_ends_when_only_unreferenced_watchers_are_left(loop: Any, pair: Any) -> None:
    watchers = [loop.timer(100, ref=False), loop.io(pair[0].fileno(), READ, ref=False), loop.async_(ref=False)]
    for watcher in watchers:
        watcher.start(fail)
    loop.run()
    assert all(watcher.active for watcher in watchers)
    for watcher in watchers:
        watcher.close()


def test_ref_can_change_while_a_watcher_is_active(loop: Any) -> None:
    timer = loop.timer(100)
    timer.start(fail)
    assert timer.ref
    timer.ref = False
    loop.run()
    timer.ref = True
    short = loop.timer(0.001)
    short.start(timer.stop)
    loop.run()
    assert not timer.active


def test_the_loop_can_be_held_by_hand(loop: Any) -> None:
    before = loop.activecnt
    loop.ref()
    assert loop.activecnt == before + 1
    timer = loop.timer(0.001, ref=False)
    timer.start(loop.unref)
    loop.run()
    assert loop.activecnt == before


def test_break_ends_run(loop: Any) -> None:
    timer = loop.timer(100)
    timer.start(fail)
    loop.run_callback(loop.break_)
    loop.run()
    assert timer.active
    timer.close()


# Timers.


def test_a_timer_is_over_before_its_callback_runs(loop: Any) -> None:
    seen: list[Any] = []
    timer = loop.timer(0.001)
    timer.start(lambda *args: seen.append((timer.active, args)), 1, 2)
    assert timer.active
    loop.run()
    assert seen == [(False, (1, 2))]
    assert (timer.callback, timer.args, timer.pending) == (None, None, False)


def test_timers_of_one_time_fire_in_their_order(loop: Any) -> None:
    seen: list[int] = []
    timers = [loop.timer(0.002) for _ in range(10)]
    for number, timer in enumerate(timers):
        timer.start(seen.append, number)
    loop.run()
    assert sorted(seen) == list(range(10))
    if isinstance(loop, riata.gevent.Loop):  # libev promises no order
        assert seen == list(range(10))


def test_a_timer_that_sets_itself_for_now_leaves_room_for_others(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    done: list[int] = []
    io = loop.io(pair[0].fileno(), READ)
    io.start(lambda: (done.append(1), io.stop()))
    timer = loop.timer(0)

    def again() -> None:
        if not done:
            timer.start(again)

    timer.start(again)
    loop.run()
    assert done == [1]


def test_a_repeating_timer_fires_until_it_is_stopped(loop: Any) -> None:
    seen: list[int] = []
    timer = loop.timer(0.001, 0.001)

    def tick() -> None:
        seen.append(len(seen))
        if len(seen) == 3:
            timer.stop()

    timer.start(tick)
    loop.run()
    assert seen == [0, 1, 2]


def test_again_uses_repeat(loop: Any) -> None:
    seen: list[int] = []
    timer = loop.timer(100, 0.001)
    timer.again(lambda: (seen.append(1), timer.stop()))
    assert timer.active
    loop.run()
    assert seen == [1]
    once = loop.timer(100)
    once.start(fail)
    once.again(fail)
    assert not once.active


def test_a_negative_repeat_is_refused(loop: Any) -> None:
    with pytest.raises(ValueError, match="repeat must be positive or zero"):
        loop.timer(1, -1)


def test_time_stands_still_until_it_is_updated(loop: Any) -> None:
    before = loop.now()
    assert loop.now() == before
    while loop.now() == before:
        loop.update_now()
