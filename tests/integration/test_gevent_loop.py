"""gevent's loop interface: what it promises, on libev and on riata."""

import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("gevent")

import gevent.libev.corecext
from tests.conftest import _open_fds

import riata.gevent

LOOPS = {"libev": gevent.libev.corecext.loop, "riata": riata.gevent.Loop}
READ, WRITE = 1, 2


@pytest.fixture(params=list(LOOPS))
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes loops of one kind, which are destroyed at the end."""
    made: list[Any] = []
    before = _open_fds()

    def make(**options: Any) -> Any:
        made.append(LOOPS[request.param](**{"default": False, **options}))
        return made[-1]

    yield make
    for loop in made:
        loop.destroy()
    if request.param == "riata":
        made.clear()
        gc.collect()
        assert len(_open_fds()) <= len(before)


@pytest.fixture
def loop(make: Callable[..., Any]) -> Any:
    return make()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


class Errors:
    """An error handler that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, type]] = []

    def handle_error(self, context: Any, kind: type, value: BaseException, traceback: Any) -> None:
        self.told.append((context, kind))


def fail(*_: Any) -> None:
    raise ZeroDivisionError


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


# Descriptors.


def test_a_watcher_fires_as_long_as_the_descriptor_is_ready(loop: Any, pair: Any) -> None:
    pair[1].send(b"xy")
    seen: list[bytes] = []
    io = loop.io(pair[0].fileno(), READ)

    def ready() -> None:
        seen.append(pair[0].recv(1))
        if len(seen) == 2:
            io.stop()

    io.start(ready)
    loop.run()
    assert seen == [b"x", b"y"]


def test_events_can_be_passed(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    seen: list[Any] = []
    io = loop.io(pair[0].fileno(), READ | WRITE)
    io.start(lambda *args: (seen.append(args), io.stop()), 7, pass_events=True)
    loop.run()
    assert seen == [(READ | WRITE, 7)]


def test_several_watch_one_descriptor(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    seen: list[str] = []
    watchers = {name: loop.io(pair[0].fileno(), bits) for name, bits in (("a", READ), ("b", READ), ("w", WRITE))}
    for name, io in watchers.items():
        io.start(lambda name=name, io=io: (seen.append(name), io.stop()))
    loop.run()
    assert sorted(seen) == ["a", "b", "w"]


def test_a_watcher_that_another_stops_in_the_same_batch_is_not_called(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    seen: list[str] = []
    one, other = (loop.io(pair[0].fileno(), READ) for _ in range(2))

    def ready() -> None:
        seen.append("called")
        one.stop()
        other.stop()

    one.start(ready)
    other.start(ready)
    loop.run()
    assert seen == ["called"]


def test_higher_priorities_are_called_first(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    seen: list[int] = []
    for priority in (0, loop.MAXPRI, loop.MINPRI, 1):
        io = loop.io(pair[0].fileno(), READ, priority=priority)
        io.start(lambda io=io: (seen.append(io.priority), io.stop()))
    loop.run()
    assert seen == [2, 1, 0, -2]


def test_a_watcher_is_stopped_when_its_callback_raises(loop: Any, pair: Any) -> None:
    pair[1].send(b"x")
    loop.error_handler = errors = Errors()
    io = loop.io(pair[0].fileno(), READ)
    io.start(fail)
    loop.run()
    assert errors.told == [(io, ZeroDivisionError)]
    assert not io.active


def test_stopping_and_starting_again_goes_on(loop: Any, pair: Any) -> None:
    seen: list[bytes] = []
    io = loop.io(pair[0].fileno(), READ)

    def ready() -> None:
        io.stop()
        seen.append(pair[0].recv(1))
        if len(seen) < 3:
            pair[1].send(b"x")
            io.start(ready)

    pair[1].send(b"x")
    io.start(ready)
    loop.run()
    assert seen == [b"x"] * 3
    assert not io.active


def test_a_stopped_watcher_is_not_called_when_its_descriptor_becomes_ready(loop: Any, pair: Any) -> None:
    io = loop.io(pair[0].fileno(), READ)
    io.start(fail)
    loop.run(nowait=True)
    io.stop()
    pair[1].send(b"x")
    loop.error_handler = errors = Errors()
    timer = loop.timer(0.001)
    timer.start(lambda: None)
    loop.run()
    assert errors.told == []


def test_a_descriptors_number_is_used_again(loop: Any) -> None:
    first, peer = socket.socketpair()
    io = loop.io(first.fileno(), READ)
    io.start(fail)
    loop.run(nowait=True)
    io.stop()
    number = first.fileno()
    first.close()
    peer.close()
    reader, writer = socket.socketpair()
    with reader, writer:
        assert number in (reader.fileno(), writer.fileno())
        watched = reader if reader.fileno() == number else writer
        (writer if watched is reader else reader).send(b"x")
        seen: list[bytes] = []
        again = loop.io(number, READ)
        again.start(lambda: (seen.append(watched.recv(1)), again.stop()))
        loop.run()
        assert seen == [b"x"]
    io.close()


def test_who_watches_a_descriptor_that_is_about_to_be_closed_is_called(loop: Any, pair: Any) -> None:
    seen: list[int] = []
    io = loop.io(pair[0].fileno(), READ)
    io.start(lambda: (seen.append(1), io.stop()))
    assert loop.closing_fd(pair[0].fileno())
    assert not loop.closing_fd(pair[1].fileno())
    pair[0].close()
    loop.run()
    assert seen == [1]


def test_a_regular_file_is_always_ready(loop: Any) -> None:
    with tempfile.TemporaryFile() as file:
        seen: list[int] = []
        io = loop.io(file.fileno(), READ)

        def ready() -> None:
            seen.append(1)
            if len(seen) == 2:
                io.stop()

        io.start(ready)
        loop.run()
        assert seen == [1, 1]
        io.close()


def test_numbers_that_are_no_descriptors_are_refused(loop: Any, pair: Any) -> None:
    with pytest.raises(ValueError, match="fd must be non-negative"):
        loop.io(-1, READ)
    with pytest.raises(ValueError, match="illegal event mask"):
        loop.io(pair[0].fileno(), 0x100)
    number = pair[0].fileno()
    pair[0].close()
    with pytest.raises(OSError, match="file descriptor"):
        loop.io(number, READ)


# What all watchers have.


def test_callbacks_and_arguments_are_checked(loop: Any) -> None:
    timer = loop.timer(1)
    for wrong in (None, 5):
        with pytest.raises(TypeError):
            timer.start(wrong)
    timer.start(lambda: None)
    with pytest.raises(TypeError):
        timer.callback = 5
    with pytest.raises(TypeError):
        timer.args = [1]
    timer.args = None
    assert timer.args is None
    with pytest.raises((AttributeError, ValueError)):
        timer.priority = 1
    timer.close()


def test_a_watcher_can_be_fed(loop: Any, pair: Any) -> None:
    seen: list[Any] = []
    io = loop.io(pair[0].fileno(), READ)
    io.feed(WRITE, lambda *args: seen.append(args), 1)
    assert io.pending
    loop.run(nowait=True)
    assert seen == [(1,)]
    assert (io.pending, io.callback) == (False, None)


def test_an_active_watcher_is_kept_alive(loop: Any) -> None:
    seen: list[int] = []
    loop.timer(0.001).start(seen.append, 1)
    gc.collect()
    loop.run()
    assert seen == [1]


def test_a_closed_watcher_is_forgotten(loop: Any, pair: Any) -> None:
    class Target:
        pass

    for make in (lambda: loop.timer(100), lambda: loop.io(pair[0].fileno(), READ), lambda: loop.async_()):
        target = Target()
        watcher = make()
        watcher.start(lambda target=target: None)
        watcher.close()
        reference = weakref.ref(target)
        del target, watcher
        gc.collect()
        assert reference() is None


def test_a_forgotten_loop_is_collected() -> None:
    loop = riata.gevent.Loop(default=False)
    loop.timer(100).start(loop.ref)
    loop.run_callback(loop.ref)
    reference = weakref.ref(loop)
    del loop
    gc.collect()
    assert reference() is None


def test_a_destroyed_loop_refuses(loop: Any) -> None:
    timer = loop.timer(1)
    loop.destroy()
    assert "destroyed" in repr(loop)
    for call in (loop.run, loop.now, lambda: loop.run_callback(fail), lambda: timer.start(fail)):
        with pytest.raises(ValueError, match="destroyed"):
            call()


# Moments.


def test_moments_of_an_iteration(loop: Any) -> None:
    seen: list[str] = []
    watchers = {name: getattr(loop, name)() for name in ("idle", "check", "prepare")}
    for name, watcher in watchers.items():
        watcher.start(seen.append, name)
    loop.run(once=True)
    assert seen[0] == "prepare"
    assert sorted(seen) == ["check", "idle", "prepare"]
    for watcher in watchers.values():
        watcher.close()


def test_idle_waits_for_everything_else(loop: Any, pair: Any) -> None:
    pair[1].send(b"xyz")
    seen: list[Any] = []
    io = loop.io(pair[0].fileno(), READ)
    idle = loop.idle()

    def ready() -> None:
        seen.append(pair[0].recv(1))
        if len(seen) == 3:
            io.stop()

    io.start(ready)
    idle.start(lambda: (seen.append("idle"), idle.stop()))
    loop.run()
    assert seen == [b"x", b"y", b"z", "idle"]


def test_async_from_another_thread(loop: Any) -> None:
    seen: list[int] = []
    watcher = loop.async_()
    watcher.start(lambda: (seen.append(1), watcher.stop()))
    threads = [threading.Timer(0.05, watcher.send) for _ in range(3)]
    for thread in threads:
        thread.start()
    loop.run()
    for thread in threads:
        thread.join()
    assert seen == [1]


def test_a_fork_is_noticed_in_the_child(loop: Any, pair: Any) -> None:
    out, into = os.pipe()
    watcher = loop.fork(ref=False)
    watcher.start(lambda: os.write(into, b"fork "))
    loop.run(nowait=True)
    io = loop.io(pair[0].fileno(), READ)
    pid = subprocess_fork()
    if not pid:
        status = 1
        try:
            loop.reinit()
            io.start(lambda: (os.write(into, pair[0].recv(1)), io.stop()))
            pair[1].send(b"x")
            loop.run()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    loop.run(nowait=True)
    os.close(into)
    assert os.read(out, 100) == b"fork x"
    os.close(out)


def subprocess_fork() -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        return os.fork()


# Signals, children, files.


def test_a_signal_and_what_handled_it_before(make: Callable[..., Any]) -> None:
    loop = make()
    seen: list[int] = []
    if isinstance(loop, riata.gevent.Loop):  # libev leaves the default behind
        signal.signal(signal.SIGUSR1, before := lambda *_: None)
    watcher = loop.signal(signal.SIGUSR1)
    watcher.start(lambda: (seen.append(1), watcher.stop()))
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run()
    assert seen == [1]
    if isinstance(loop, riata.gevent.Loop):
        assert signal.getsignal(signal.SIGUSR1) is before
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    with pytest.raises(ValueError, match="illegal signal number"):
        loop.signal(1000)


def test_a_signal_ends_the_poll(loop: Any) -> None:
    seen: list[int] = []
    watcher = loop.signal(signal.SIGUSR1)
    watcher.start(lambda: (seen.append(1), watcher.stop()))
    killer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    killer.start()
    loop.run()
    killer.join()
    assert seen == [1]


def test_an_exception_of_a_signal_handler_is_the_programs(make: Callable[..., Any]) -> None:
    loop = make(default=True)
    loop.error_handler = errors = Errors()
    before = signal.signal(signal.SIGUSR1, fail)
    try:
        timer = loop.timer(0.01)
        timer.start(os.kill, os.getpid(), signal.SIGUSR1)
        loop.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [kind for _, kind in errors.told] == [ZeroDivisionError]


def begin(code: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-S", "-c", f"import os; os.read(0, 1); os._exit({code})"], stdin=-1)


def test_the_end_of_a_child(make: Callable[..., Any]) -> None:
    loop = make(default=True)
    loop.install_sigchld()
    child = begin(7)
    seen: list[Any] = []
    watchers = [loop.child(child.pid) for _ in range(2)]
    for watcher in watchers:
        watcher.start(lambda w=watcher: (seen.append((w.pid, w.rpid, os.waitstatus_to_exitcode(w.rstatus))), w.stop()))
    assert child.stdin
    child.stdin.close()
    loop.run()
    assert seen == [(child.pid, child.pid, 7)] * 2
    child.returncode = 7
    with pytest.raises(TypeError, match="only available on the default loop"):
        make().child(1)


def test_the_end_of_any_child(make: Callable[..., Any]) -> None:
    loop = make(default=True)
    loop.install_sigchld()
    watcher = loop.child(0)
    seen: list[Any] = []
    watcher.start(lambda: (seen.append((watcher.rpid, os.waitstatus_to_exitcode(watcher.rstatus))), watcher.stop()))
    child = begin(3)
    assert child.stdin
    child.stdin.close()
    loop.run()
    assert seen == [(child.pid, 3)]
    child.returncode = 3
    watcher.close()
    loop.reset_sigchld()


def test_a_file_that_changes(loop: Any, tmp_path: Any) -> None:
    path = tmp_path / "file"
    watcher = loop.stat(str(path), 0.11)
    watcher.start(lambda: watcher.stop())
    assert watcher.attr is None
    timer = loop.timer(0.05)
    timer.start(path.write_bytes, b"12345")
    loop.run()
    assert watcher.attr.st_size == 5
    assert watcher.path == str(path)
