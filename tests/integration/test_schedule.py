"""The order in which things run: `call_soon`, `call_soon_threadsafe`, timers, task steps, done callbacks."""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def turns(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run `count` turns of the loop."""
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


def test_calls_run_in_the_order_they_were_made(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    order: list[int] = []
    for number in range(100):
        schedule = loop.call_soon if number % 3 else loop.call_soon_threadsafe
        schedule(order.append, number)
    turns(loop)
    assert order == list(range(100))
    loop.close()


def test_what_a_callback_adds_is_for_the_next_turn(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    order: list[str] = []

    def first() -> None:
        order.append("first")
        loop.call_soon(order.append, "added")
        loop.stop()

    loop.call_soon(first)
    loop.call_soon(order.append, "second")
    loop.run_forever()
    assert order == ["first", "second"]
    turns(loop)
    assert order == ["first", "second", "added"]
    loop.close()


def test_stop_before_running_runs_one_turn(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    order: list[int] = []
    loop.call_soon(order.append, 1)
    loop.stop()
    loop.run_forever()
    assert order == [1]
    loop.close()


def test_a_due_timer_runs_behind_what_was_ready(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    order: list[str] = []
    loop.call_at(loop.time() - 1, order.append, "timer")
    loop.call_soon(order.append, "soon")
    turns(loop)
    assert order == ["soon", "timer"]
    loop.close()


def test_timers_run_in_the_order_of_their_times(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    order: list[int] = []
    now = loop.time()
    for number in (5, 3, 9, 1, 7):
        loop.call_at(now - 10 + number / 10, order.append, number)
    turns(loop)
    assert order == [1, 3, 5, 7, 9]
    loop.close()


def test_timers_of_one_time_run_in_the_order_they_were_made() -> None:
    # asyncio's heap promises no order among equals; ours is first in, first out.
    import riata

    loop = riata.new_event_loop()
    order: list[int] = []
    when = loop.time() - 1
    for number in range(50):
        loop.call_at(when, order.append, number)
    turns(loop)
    assert order == list(range(50))
    loop.close()


def test_tasks_and_callbacks_take_turns_in_the_order_they_came(run: Callable[..., Any]) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        order: list[str] = []
        future = loop.create_future()

        async def task(name: str) -> None:
            order.append(f"{name} begins")
            await future
            order.append(f"{name} ends")

        tasks = [asyncio.create_task(task("a"))]
        loop.call_soon(order.append, "soon")
        tasks.append(asyncio.create_task(task("b")))
        await asyncio.sleep(0)
        future.add_done_callback(lambda _: order.append("callback"))
        tasks.append(asyncio.create_task(task("c")))
        await asyncio.sleep(0)
        future.set_result(None)
        loop.call_soon(order.append, "last")
        await asyncio.gather(*tasks)
        return order

    assert run(main()) == [
        *("a begins", "soon", "b begins", "c begins"),
        *("a ends", "b ends", "callback", "c ends", "last"),
    ]


def test_two_tasks_alternate_through_sleep_zero(run: Callable[..., Any]) -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def say(name: str) -> None:
            for _ in range(3):
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(say("a"), say("b"))
        return order

    assert run(main()) == ["a", "b"] * 3


def test_calls_from_other_threads_arrive_once_each_and_in_order(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    got: list[tuple[int, int]] = []

    def send(thread: int) -> None:
        for number in range(2000):
            loop.call_soon_threadsafe(got.append, (thread, number))
        loop.call_soon_threadsafe(ended)

    left = 4

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(left)]
    loop.call_soon(lambda: [thread.start() for thread in threads])
    loop.run_forever()
    for thread in threads:
        thread.join()
    for thread in range(4):
        assert [number for who, number in got if who == thread] == list(range(2000))
    loop.close()


def test_a_call_from_another_thread_wakes_an_idle_loop(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    loop.call_soon(thread.start)
    loop.run_forever()  # would hang
    thread.join()
    loop.close()


def test_a_destructor_may_call_the_loop(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    got: list[str] = []

    class Dying:
        def __call__(self) -> None:
            got.append("called")

        def __del__(self) -> None:
            loop.call_soon_threadsafe(got.append, "died")

    loop.call_soon_threadsafe(Dying())
    loop.call_soon(Dying()).cancel()
    timer = loop.call_later(1000, Dying())
    timer.cancel()
    del timer
    turns(loop, 3)
    assert sorted(got) == ["called", "died", "died", "died"]
    loop.close()


def test_callbacks_run_in_their_contexts(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    got: list[str] = []

    def look() -> None:
        got.append(variable.get())
        variable.set("changed by a callback")

    context = contextvars.copy_context()
    context.run(variable.set, "given")
    variable.set("current")
    loop.call_soon(look)
    loop.call_soon(look, context=context)
    loop.call_soon(look, context=context)
    loop.call_soon_threadsafe(look, context=context)
    loop.call_at(loop.time() - 1, look, context=context)
    turns(loop)
    changed = "changed by a callback"
    assert got == ["current", "given", changed, changed, changed]
    assert variable.get() == "current"
    loop.close()


def test_a_context_that_is_entered_already_is_reported(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    reports: list[dict[str, Any]] = []
    # Not set_exception_handler: asyncio runs a handler in the failing callback's context, which cannot be entered.
    loop.call_exception_handler = reports.append  # type: ignore[method-assign, assignment]
    context = contextvars.copy_context()
    ran: list[int] = []

    def run_inside() -> None:
        loop.call_soon(ran.append, 1, context=context)
        turns(loop)

    context.run(run_inside)
    assert not ran
    assert [str(report["exception"])[:20] for report in reports] == ["cannot enter context"]
    turns(loop)
    loop.close()


def test_stats_prove_that_riata_did_the_work() -> None:
    import riata

    async def main() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)

    loop = riata.new_event_loop()
    before = loop.stats()
    assert set(before) == {"turns", "callbacks", "task_steps", "polls", "timers"}
    loop.run_until_complete(main())
    stats = loop.stats()
    assert stats["task_steps"] - before["task_steps"] == 102
    assert stats["timers"] - before["timers"] == 1
    assert stats["turns"] > 100
    assert stats["callbacks"] >= 2
    loop.close()


def test_an_idle_loop_does_not_wake_up() -> None:
    import riata

    loop = riata.new_event_loop()
    idle, checked = threading.Event(), threading.Event()
    polls: list[int] = []

    def wait_for_idleness() -> None:
        # Nothing to wait for: that nothing happens is what is looked for. The first half is the loop's to fall asleep.
        idle.wait()
        for _ in range(20):
            checked.wait(0.01)
            polls.append(loop.stats()["polls"])
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=wait_for_idleness)
    thread.start()
    timer = loop.call_later(10_000, print)
    loop.call_soon(idle.set)
    loop.run_forever()
    thread.join()
    timer.cancel()
    assert len(set(polls[10:])) == 1, polls
    loop.close()


@pytest.mark.parametrize("callback", [None, 1, "text"])
def test_what_cannot_be_called_fails_when_it_runs(loop_factory: LoopFactory, callback: Any) -> None:
    loop = loop_factory()
    reports: list[Any] = []
    loop.set_exception_handler(lambda _, report: reports.append(report["exception"]))
    loop.call_soon(callback)
    turns(loop)
    assert [type(report) for report in reports] == [TypeError]
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio's handles have a lock from Python 3.14 on")
def test_cancel_from_another_thread_waits_for_the_callback_that_is_running(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    running = threading.Event()
    cancelled = threading.Event()
    came_early: list[bool] = []

    def callback() -> None:
        running.set()
        came_early.append(cancelled.wait(0.05))  # what must not happen can only be waited for
        loop.stop()

    def cancel() -> None:
        running.wait()
        handle.cancel()
        cancelled.set()

    handle = loop.call_soon_threadsafe(callback)
    thread = threading.Thread(target=cancel)
    thread.start()
    loop.run_forever()
    thread.join()
    assert came_early == [False]
    assert handle.cancelled()
    loop.close()


def test_a_threadsafe_callback_that_was_cancelled_in_time_does_not_run(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    ran: list[str] = []
    cancelled = loop.call_soon_threadsafe(ran.append, "cancelled")
    loop.call_soon_threadsafe(ran.append, "kept")
    thread = threading.Thread(target=cancelled.cancel)
    thread.start()
    thread.join()
    turns(loop)
    assert ran == ["kept"]
    loop.close()


def test_debug_mode_notes_where_each_callback_was_scheduled(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.set_debug(True)
    handles: list[Any] = [
        loop.call_soon(int),
        loop.call_soon_threadsafe(int),
        loop.call_later(0, int),
        loop.call_at(loop.time(), int),
    ]
    here = "test_debug_mode_notes_where_each_callback_was_scheduled"
    assert [handle._source_traceback[-1].name for handle in handles] == [here] * 4
    turns(loop)
    loop.close()
