"""`call_later` and `call_at`: never early, any number, forgotten when cancelled."""

import asyncio
import gc
import math
import random
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_no_timer_is_early() -> None:
    # asyncio fires what is due within the clock's resolution, a nanosecond early at most; riata never.
    import riata

    loop = riata.new_event_loop()
    early: list[float] = []
    left = 1000
    chance = random.Random(1)

    def fired(when: float) -> None:
        nonlocal left
        if loop.time() < when:
            early.append(when - loop.time())
        left -= 1
        if not left:
            loop.stop()

    def start() -> None:
        for _ in range(left):
            when = loop.time() + chance.random() / 1000
            loop.call_at(when, fired, when)

    loop.call_soon(start)
    loop.run_forever()
    assert not early
    assert loop.stats()["timers"] == 1000
    loop.close()


def test_a_timer_wakes_the_loop_once() -> None:
    # A poll that returns a little too soon and polls again would show as several polls a timer.
    import riata

    loop = riata.new_event_loop()

    async def main() -> int:
        before: int = loop.stats()["polls"]
        for _ in range(50):
            await asyncio.sleep(0.0003)
        return int(loop.stats()["polls"]) - before

    assert loop.run_until_complete(main()) <= 55
    loop.close()


def test_times_that_have_passed_come_at_once(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    got: list[str] = []
    loop.call_later(-5, got.append, "negative")
    loop.call_at(-math.inf, got.append, "minus infinity")
    loop.call_at(0, got.append, "zero")
    turn(loop)
    assert sorted(got) == ["minus infinity", "negative", "zero"]
    loop.close()


@pytest.mark.parametrize("delay", [math.inf, 1e300, sys.float_info.max, 10**15, 1e9])
def test_times_that_never_come(loop_factory: LoopFactory, delay: float) -> None:
    loop = loop_factory()
    fired: list[int] = []
    timer = loop.call_later(delay, fired.append, 1)
    assert timer.when() == pytest.approx(loop.time() + delay)
    loop.call_later(0.002, loop.stop)
    loop.run_forever()
    assert not fired
    timer.cancel()
    loop.close()


def test_a_time_that_is_not_a_number(loop_factory: LoopFactory) -> None:
    # asyncio compares `handle._when >= end_time`, which is false for NaN: it comes at once.
    loop = loop_factory()
    fired: list[int] = []
    timer = loop.call_later(math.nan, fired.append, 1)
    assert math.isnan(timer.when())
    turn(loop)
    assert fired == [1]
    loop.close()


def test_sleep_refuses_nan(run: Callable[..., Any]) -> None:
    if sys.version_info < (3, 13):
        pytest.skip("asyncio.sleep looks at NaN since 3.13")
    with pytest.raises(ValueError, match="Invalid delay: NaN"):
        run(asyncio.sleep(math.nan))


def test_none_is_refused_in_asyncios_words(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    with pytest.raises(TypeError) as later:
        loop.call_later(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError) as at:
        loop.call_at(None, print)  # type: ignore[arg-type]
    assert (str(later.value), str(at.value)) == ("delay must not be None", "when cannot be None")
    loop.close()


@pytest.mark.parametrize("delay", ["1", b"1", [], {}, object()])
def test_what_is_no_number_is_refused(loop_factory: LoopFactory, delay: Any) -> None:
    loop = loop_factory()
    with pytest.raises(TypeError):
        loop.call_later(delay, print)
    loop.close()


def test_numbers_of_other_types(loop_factory: LoopFactory) -> None:
    from fractions import Fraction

    loop = loop_factory()
    fired: list[Any] = []
    for delay in (Fraction(1, 2), True, 0):
        loop.call_later(delay, fired.append, delay)  # type: ignore[arg-type]
    loop.call_later(1.01, loop.stop)
    loop.run_forever()
    assert fired == [0, Fraction(1, 2), True]
    loop.close()


def test_cancelling_before_and_after_and_twice(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    fired: list[int] = []
    before = loop.call_later(0, fired.append, 1)
    before.cancel()
    before.cancel()
    after = loop.call_later(0, fired.append, 2)
    by_another: list[asyncio.TimerHandle] = []
    loop.call_soon(lambda: by_another[0].cancel())
    by_another.append(loop.call_later(0, fired.append, 3))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert fired == [2]
    after.cancel()
    assert [timer.cancelled() for timer in (before, after, by_another[0])] == [True, True, True]
    loop.close()


def test_a_timer_that_is_due_can_still_be_cancelled(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    fired: list[int] = []
    now = loop.time() - 1
    timers: list[asyncio.TimerHandle] = []
    loop.call_at(now - 1, lambda: timers[0].cancel())
    timers.append(loop.call_at(now, fired.append, 1))
    turn(loop)
    assert not fired
    loop.close()


def test_cancelled_timers_leave_nothing(loop_factory: LoopFactory) -> None:
    class Held:
        pass

    loop = loop_factory()
    held = [Held() for _ in range(1000)]
    references = [weakref.ref(one) for one in held]
    timers = [loop.call_later(3600, id, one) for one in held]
    del held
    gc.collect()
    assert all(reference() for reference in references)
    for timer in timers:
        timer.cancel()
    del timer
    assert not any(reference() for reference in references)
    loop.close()


def test_100_000_cancelled_timers_are_freed_at_once() -> None:
    # asyncio keeps them in its heap until the next turn at least; riata takes each out when it is cancelled.
    import riata

    loop = riata.new_event_loop()
    kept = loop.call_later(3600, print)
    alive: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()
    for _ in range(100_000):
        timer = loop.call_later(3600, print)
        alive.add(timer)
        timer.cancel()
    del timer
    assert len(alive) == 0
    assert sum(isinstance(one, asyncio.TimerHandle) for one in gc.get_objects()) == 1
    kept.cancel()
    loop.close()


def test_a_timer_in_a_timer_waits_for_its_turn(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    order: list[int] = []

    def first() -> None:
        order.append(1)
        loop.call_at(loop.time() - 100, order.append, 3)
        loop.stop()

    now = loop.time()
    loop.call_at(now - 2, first)
    loop.call_at(now - 1, order.append, 2)
    loop.run_forever()
    assert order == [1, 2]
    turn(loop)
    assert order == [1, 2, 3]
    loop.close()


def test_many_timers_in_random_order(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    chance = random.Random(2)
    got: list[float] = []
    start = loop.time() - 1000
    timers = []
    for _ in range(20_000):
        when = start + chance.random()
        timers.append(loop.call_at(when, got.append, when))
    cancelled = chance.sample(timers, 10_000)
    for timer in cancelled:
        timer.cancel()
    turn(loop)
    assert len(got) == 10_000
    assert got == sorted(got)
    loop.close()


def test_comparisons_and_hashes(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    early, late = loop.call_at(1e9, print), loop.call_at(2e9, print)
    twin = loop.call_at(1e9, print)
    assert early < late
    assert late > early
    assert early <= twin
    assert early >= twin
    assert early == twin
    assert hash(early) == hash(twin)
    assert early != late
    assert (early == object()) is False
    with pytest.raises(TypeError):
        assert early < 1  # type: ignore[operator]
    twin.cancel()
    assert early != twin
    for timer in (early, late):
        timer.cancel()
    loop.close()
