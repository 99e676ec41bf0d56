"""Greenlets that wait are woken in the same way and order on libev and on riata, where the hub is often passed by."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

pytest.importorskip("gevent")

LOOPS = {"libev": "libev-cext", "riata": "riata.gevent.Loop"}

HEAD = """
import gevent, greenlet, random, signal, socket, sys, threading
from gevent.event import Event
from gevent.hub import Waiter
hub = gevent.get_hub()
loop = hub.loop
"""


def output(program: str, loop: str) -> str:
    """What the program writes on that loop; it ends well."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GEVENT", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", HEAD + dedent(program)],
        env=environment | {"GEVENT_LOOP": LOOPS[loop]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


MIXED = """
choose = random.Random({seed})
seen = []
events = [Event() for _ in range(3)]

def work(name):
    for step in range(30):
        what = choose.randrange(7)
        seen.append((name, step, what))
        if what == 0:
            gevent.sleep(0)
        elif what == 1:
            loop.run_callback(seen.append, ("callback", name, step))
        elif what == 2:
            choose.choice(events).set()
        elif what == 3:
            event = choose.choice(events)
            event.wait()
            event.clear()
        elif what == 4:
            gevent.spawn(seen.append, ("spawned", name, step))
        elif what == 5:
            waiter = Waiter()
            loop.run_callback(waiter.switch, name)
            seen.append((waiter.get(), step))
        elif what == 6:
            waiter = Waiter()
            loop.run_callback(waiter.throw, ZeroDivisionError)
            try:
                waiter.get()
            except ZeroDivisionError:
                seen.append(("thrown", name, step))

def set_all():
    for _ in range(2000):
        for event in events:
            event.set()
        gevent.sleep(0)

greenlets = [gevent.spawn(work, number) for number in range(8)]
last = gevent.spawn(set_all)
gevent.joinall(greenlets)
last.kill()
for one in seen:
    print(*one)
"""


@pytest.mark.parametrize("seed", range(5))
def test_what_runs_when_is_the_same_on_both_loops(seed: int) -> None:
    program = MIXED.format(seed=seed)
    assert output(program, "libev") == output(program, "riata")


READY = """
pairs = [socket.socketpair() for _ in range(12)]
seen = []

def wait(number):
    watcher = loop.io(pairs[number][0].fileno(), 1, priority=number % 3 - 1)
    hub.wait(watcher)
    seen.append((number, "woken"))
    loop.run_callback(seen.append, (number, "callback"))
    gevent.sleep(0)
    seen.append((number, "slept"))
    watcher.close()

def call(number):
    watcher = loop.io(pairs[number][0].fileno(), 1, priority=number % 3 - 1)
    def ready():
        seen.append((number, "called"))
        watcher.stop()
        watcher.close()
    watcher.start(ready)

waiting = [gevent.spawn(wait, number) for number in range(12) if number % 4]
gevent.sleep(0.001)
for number in range(0, 12, 4):
    call(number)
for _, other in pairs:
    other.send(b"x")
gevent.joinall(waiting)
ranks = {1: [], 0: [], -1: []}
for number, what in seen:
    if what in ("woken", "called"):
        ranks[number % 3 - 1].append(number)
order = [number for number, what in seen if what in ("woken", "called")]
assert order == ranks[1] + ranks[0] + ranks[-1], seen  # by priority
last = max(place for place, (_, what) in enumerate(seen) if what in ("woken", "called"))
assert all(what not in ("callback", "slept") for _, what in seen[:last]), seen  # callbacks come after them
callbacks = [number for number, what in seen if what == "callback"]
assert callbacks == [number for number, what in seen if what == "slept"] == [n for n in order if n % 4]
"""


def test_of_those_that_are_ready_the_first_priority_comes_first_and_callbacks_last(loop: str) -> None:
    assert output(READY, loop) == ""


def test_a_greenlets_own_switch_is_called(loop: str) -> None:
    program = """
    seen = []
    class Own(gevent.Greenlet):
        def switch(self, *args):
            seen.append(greenlet.getcurrent() is hub)
            return super().switch(*args)
    def work():
        for _ in range(3):
            gevent.sleep(0)
            gevent.sleep(1e-4)
    def other():
        while not own.dead:
            gevent.sleep(0)
    own = Own(work)
    own.start()
    gevent.spawn(other)
    own.join()
    own = greenlet.getcurrent()
    assert seen == [True] * 7, seen
    """
    assert output(program, loop) == ""


def test_a_callback_is_over_when_whom_it_woke_waits_again(loop: str) -> None:
    program = """
    waiter = Waiter()
    callback = loop.run_callback(waiter.switch, 1)
    assert callback and callback.pending
    gevent.sleep(0)
    assert not callback.pending
    waiter = Waiter()
    callback = loop.run_callback(waiter.switch, 2)
    assert waiter.get() == 2
    assert callback and not callback.pending
    gevent.sleep(0)
    assert not callback and callback.args is None
    """
    assert output(program, loop) == ""


def test_handlers_of_signals_are_called_while_only_greenlets_wait(loop: str) -> None:
    program = """
    event = Event()
    signal.signal(signal.SIGALRM, lambda *_: event.set())
    for _ in range(10):
        gevent.sleep(1e-4)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    assert event.wait(50)
    event.clear()
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    with gevent.Timeout(50):
        while not event.is_set():
            gevent.sleep(1e-4)
    """
    assert output(program, loop) == ""


def test_the_interrupt_key_ends_a_long_sleep(loop: str) -> None:
    program = """
    hub.print_exception = lambda *_: None
    for _ in range(10):
        gevent.sleep(1e-4)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        gevent.sleep(50)
    except KeyboardInterrupt:
        print("ended")
    gevent.sleep(1e-4)
    """
    assert output(program, loop) == "ended\n"


def test_who_traces_switches_sees_those_to_the_hub(loop: str) -> None:
    program = """
    seen = []
    def trace(event, args):
        seen.append(["hub" if one is hub else "main" for one in args])
    gevent.sleep(0)
    greenlet.settrace(trace)
    gevent.sleep(0)
    gevent.sleep(1e-4)
    greenlet.settrace(None)
    assert seen == [["main", "hub"], ["hub", "main"]] * 2, seen
    """
    assert output(program, loop) == ""


def test_watchers_of_each_iteration_are_told_in_the_hub(loop: str) -> None:
    program = """
    seen = []
    gevent.sleep(1e-4)
    for kind in ("prepare", "check", "idle"):
        watcher = getattr(loop, kind)()
        watcher.start(lambda kind=kind: seen.append((kind, greenlet.getcurrent() is hub)))
        count = len(seen)
        for _ in range(6):  # of the last one this greenlet may be told first
            gevent.sleep(1e-4)
        assert len(seen) >= count + 5, (kind, seen)
        watcher.stop()
        watcher.close()
    assert all(where for _, where in seen), seen
    """
    assert output(program, loop) == ""


def test_what_ends_a_woken_greenlet_is_told_with_its_switch(loop: str) -> None:
    program = """
    told = []
    def handle_error(context, kind, value, tb):
        told.append((context, kind))
    hub.handle_error = handle_error
    def fail():
        gevent.sleep(0)
        gevent.sleep(1e-4)
        gevent.sleep(0)
        raise ZeroDivisionError
    def run():
        raw.switch()
    def partner():
        for _ in range(10):
            gevent.sleep(0)
    raw = greenlet.greenlet(fail, hub)
    loop.run_callback(run)
    gevent.spawn(partner).join()
    gevent.sleep(1e-2)
    assert [kind for _, kind in told] == [ZeroDivisionError], told
    assert told[0][0] == raw.switch, told
    """
    assert output(program, loop) == ""


def test_a_switch_that_a_program_has_put_into_the_class_is_called(loop: str) -> None:
    program = """
    from gevent.hub import Hub
    seen = []
    before = Hub.switch
    def switch(self):
        seen.append(1)
        return before(self)
    Hub.switch = switch
    gevent.sleep(0)
    gevent.sleep(1e-4)
    assert len(seen) == 2, seen
    """
    assert output(program, loop) == ""
