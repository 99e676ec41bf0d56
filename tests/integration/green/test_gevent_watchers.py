"""gevent's watchers: descriptors, moments, signals, children, files. What they promise, on libev and on riata."""

import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("gevent")

from tests.integration.green.conftest import READ, WRITE, Errors, fail

import riata.gevent

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
